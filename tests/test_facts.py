"""`cmpl-zoo list` and `info`, and the page that is written from the registry."""

import re
import sys
from pathlib import Path

import pytest
from made_videos import refused

import cmpl_zoo
from cmpl_zoo.models.facts import catalog, facts, gmac
from cmpl_zoo_cli.main import main

REPO = Path(__file__).resolve().parents[1]


def test_the_page_is_the_registrys(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(REPO / "model_cards"))
    monkeypatch.delitem(sys.modules, "zoo_page", raising=False)
    import zoo_page

    page = zoo_page.page()
    assert zoo_page.PAGE.read_text(encoding="utf-8") == page, "run python model_cards/zoo_page.py"
    assert zoo_page.README.read_text(encoding="utf-8") == zoo_page.readme(), "run python model_cards/zoo_page.py"
    for card in re.findall(r"\.\./(model_cards/[\w./]+)\)", page):
        assert (REPO / card).exists(), card
    shown = set(re.findall(r"^\| \[?`([\w.]+)`", page, re.M))
    assert shown == {*cmpl_zoo.list_models(pretrained=True), *cmpl_zoo.list_models()}


def test_the_catalog_names_each_network_once() -> None:
    assert "r3d50.slow_k400" in catalog() and "r3d50_half" in catalog() and "r3d50" not in catalog()


def test_facts_of_a_network_and_of_weights() -> None:
    known = facts("r3d50_half")
    assert (known.parameters, known.classes, known.source, known.accuracy) == (8_486_192, 400, "", "")
    assert gmac("r3d50_half") == pytest.approx(14.05, abs=0.01)
    known = facts("tv_mvit_v2_s.k400")
    assert (known.parameters, known.frames, known.size, known.megabytes) == (34_537_744, 16, (224, 224), 138)
    assert gmac("tv_mvit_v2_s.k400") == pytest.approx(64.22, abs=0.01)  # as torchvision states it


def test_list_and_info_tell_them(capsys) -> None:
    assert main(["list", "mvit"]) == 0
    assert re.fullmatch(
        r"tv_mvit_v1_b\.k400 .*78\.48 %.*torchvision\)\ntv_mvit_v2_s\.k400 +34\.5 M +400 classes  80\.76 % .*\n",
        capsys.readouterr().out,
    )
    assert main(["info", "r3d50.slow_k400"]) == 0
    told = capsys.readouterr().out
    for fact in ("33,024,208", "51.48 GMAC", "stride 9 at 30", "10 x 3", "apache-2.0", "74.58 %", "SLOW_8x8_R50.pyth"):
        assert fact in told
    assert main(["info", "r3d50"]) == 0  # stands for these weights
    assert capsys.readouterr().out == told
    assert main(["info", "r3d50_half"]) == 0
    assert "none; they are random" in capsys.readouterr().out
    assert "README.md, tells what it is" in refused(capsys, "info", REPO / "model_cards" / "r3d50_quarter.cmpl_mocap13")
    assert "did you mean r3d50_half" in refused(capsys, "info", "r3d50_hal")
    assert "no network is called like x3d" in refused(capsys, "list", "x3d")
