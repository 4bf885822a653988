"""The docs: the site that is built of them, and what their pages promise."""

import importlib
import importlib.util
import re
import shutil
from pathlib import Path
from types import ModuleType

import pytest

import cmpl_zoo

REPO = Path(__file__).resolve().parents[1]


def load(script: Path) -> ModuleType:
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(f"docs_site_{script.stem}", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


site = load(REPO / "docs" / "site" / "build.py")
INDEX = """# Start
[The page](app.md#who-can-see-what), [numbers](../benchmarks/README.md#a-list), [cards](../model_cards/net),
![a picture](images/a.svg "A picture"), [![small](app.webp)](app.md), <img alt="large" src="app.webp"> and
<a href="app.md">the page</a>; [x.py](../package/x.py), [the code](../package/x.py), [package/](../package),
[elsewhere](https://example.org/a.md), `[no](link.md)` <!-- [no](link.md) -->
```
[no](link.md)
```
## Twice
## Twice
"""
REWRITTEN = """# Start
[The page](app.md#who-can-see-what), [numbers](benchmarks.md#a-list), [cards](cards/net.md),
![a picture](images/a.svg "A picture"), [![small](app.webp)](app.md), <img alt="large" src="app.webp"> and
<a href="app.html">the page</a>; `package/x.py`, the code (`package/x.py`), `package/`,
[elsewhere](https://example.org/a.md), `[no](link.md)`{.short} <!-- [no](link.md) -->
```
[no](link.md)
```
## Twice
## Twice
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A small repository with pages that link to each other in every way, and the settings of the real site."""
    root = tmp_path / "repository"
    files = {
        "docs/index.md": INDEX,
        "docs/app.md": "# The page\n## Who can see what?\n[up](#the-page) [start](index.md)\n",
        "docs/images/a.svg": "<svg/>",
        "docs/app.webp": "a picture",
        "benchmarks/README.md": "# Benchmarks\n## `A` list\n![growth](growth.svg) [card](../model_cards/net/README.md)",
        "benchmarks/growth.svg": "<svg/>",
        "model_cards/net/README.md": "---\nlicense: mit\n---\n# A network\n[picture](../../docs/images/a.svg)\n",
        "package/x.py": "",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    shutil.copytree(REPO / "docs" / "site", root / "docs" / "site")
    settings = root / "docs" / "site" / "mkdocs.yml"
    nav = "nav: [index.md, app.md, benchmarks.md]\nnot_in_nav"
    settings.write_text(re.sub(r"^nav:.*?^not_in_nav", nav, settings.read_text(), flags=re.MULTILINE | re.DOTALL))
    return root


def test_links_lead_to_places_in_the_site_or_become_names_of_files(repository: Path, tmp_path: Path) -> None:
    site.Site(repository).collect(tmp_path / "pages")
    assert (tmp_path / "pages" / "index.md").read_text() == REWRITTEN
    benchmarks = (tmp_path / "pages" / "benchmarks.md").read_text()
    assert "![growth](images/benchmarks/growth.svg) [card](cards/net.md)" in benchmarks
    assert "[picture](../images/a.svg)" in (tmp_path / "pages" / "cards" / "net.md").read_text()
    pictures = {"images/a.svg", "app.webp", "images/benchmarks/growth.svg"}
    collected = {file.relative_to(tmp_path / "pages").as_posix() for file in (tmp_path / "pages").rglob("*.*")}
    assert collected - {"index.md", "app.md", "benchmarks.md", "cards/net.md"} == pictures


@pytest.mark.parametrize(
    "link", ["missing.md", "app.md#who-can-see", "#the-start", "images/b.svg", "../../outside.md", "../package/y.py"]
)
def test_a_link_that_leads_nowhere_is_an_error_that_names_page_and_link(repository: Path, link: str) -> None:
    with (repository / "docs" / "app.md").open("a") as page:
        page.write(f"[words]({link})\n")
    with pytest.raises(site.BrokenLinkError, match=rf"^docs/app\.md: the link {re.escape(link)} "):
        site.Site(repository).collect(repository / "pages")


def test_links_to_other_sites_are_listed(repository: Path) -> None:
    (repository / "docs" / "app.md").write_text("<https://example.org/b> [![x](https://example.org/c.svg)](index.md)\n")
    found = {link for page in site.Site(repository).places for link in site.links(page) if "//" in link}
    assert found == {"https://example.org/a.md", "https://example.org/b", "https://example.org/c.svg"}


def test_mkdocs_fails_for_a_page_that_the_nav_lacks_and_for_an_anchor_that_it_makes_otherwise(
    repository: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert site.build(repository, tmp_path / "site") == 0
    assert (tmp_path / "site" / "html" / "cards" / "net.html").exists()
    (repository / "docs" / "forgotten.md").write_text("# Forgotten\n[again](index.md#twice-1)\n")
    capfd.readouterr()
    assert site.build(repository, tmp_path / "site") == 1
    said = capfd.readouterr().err
    assert re.search(r"WARNING.*not included in the \"nav\"[^\n]*\n\s*- forgotten\.md", said)
    assert re.search(r"WARNING.*'forgotten\.md' contains a link 'index\.md#twice-1'.*does not contain an anchor", said)


@pytest.mark.slow
def test_the_site_builds_strictly_and_has_every_public_name(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert site.build(REPO, tmp_path / "site") == 0, capfd.readouterr().err
    reference = (tmp_path / "site" / "html" / "api.html").read_text()
    groups = ("models", "video", "prediction", "training", "datasets", "storage", "hub", "pretext")
    packages = [importlib.import_module(f"cmpl_zoo.{group}") for group in groups]
    names = {name for package in packages for name in package.__all__}
    names |= {name for name in dir(cmpl_zoo) if callable(getattr(cmpl_zoo, name)) and name[0] != "_"}
    assert {"create_model", "Config", "suggest", "StorageError"} <= names
    assert not {name for name in names if not re.search(rf'id="cmpl_zoo[\w.]*\.{name}"', reference)}
    hosts = {re.sub("/.*", "", address) for address in re.findall(r'(?:src|href)="https?://([^"]+)"', reference)}
    assert hosts <= {"squidfunk.github.io"}, "no font, script or picture of another host"
