"""What a release says of itself: version, changelog, and the forms of issues."""

import re

import pytest
import yaml
from training import REPO

from cmpl_zoo_cli.version import __version__


def test_the_citation_has_the_version() -> None:
    assert str(yaml.safe_load((REPO / "CITATION.cff").read_text())["version"]) == __version__


def test_the_changelog_keeps_its_form() -> None:
    text = (REPO / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert versions[0] == "[Unreleased]" or versions[0].startswith(f"[{__version__}] - ")
    for version in versions[1:]:
        assert re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", version)
    kinds = set(re.findall(r"^### (.*)$", text, re.MULTILINE))
    assert kinds and kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


@pytest.mark.parametrize("form", ["bug", "question"])
def test_an_issue_form_asks_for_what_the_command_prints(form: str) -> None:
    asked = yaml.safe_load((REPO / ".github" / "ISSUE_TEMPLATE" / f"{form}.yml").read_text())
    fields = {field["id"]: field for field in asked["body"] if "id" in field}
    assert fields["env"]["validations"]["required"] and "cmpl-zoo env" in fields["env"]["attributes"]["label"]
