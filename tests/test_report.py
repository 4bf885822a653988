"""Pages of videos and reports: what stands in them, and that they are one small file without any address."""

import os
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from made_videos import encode
from training import read_rows, write_rows

from cmpl_zoo.report.contact_sheet import MOST_TILES, Tile, write_contact_sheet
from cmpl_zoo.report.pages import LARGEST
from cmpl_zoo.report.pictures import frames_of, strip
from cmpl_zoo.video.video import read_frames
from cmpl_zoo_cli.main import main

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """A page: its text, its pictures and its headings; fails where elements are not closed in order."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.pieces: list[str] = []
        assert file.stat().st_size < LARGEST
        self.html = file.read_text(encoding="utf-8")
        self.feed(self.html)
        self.close()
        assert not self.open
        assert len(self.ids) == len(set(self.ids))
        for image in self.images:
            assert image["alt"] and image["src"].startswith("data:image/jpeg;base64,")
        assert all((link.startswith("#") and link[1:] in self.ids) or link == "data:," for link in self.links)
        assert not re.search(r"https?:|//\w|@import|<script", re.sub(r"base64,[^\"]*", "", self.html))
        self.text = " ".join(" ".join(self.pieces).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes[name] for name in ("href", "xlink:href") if name in attributes]
        if tag == "img":
            self.images.append(attributes)
        if tag == "svg":
            assert attributes["role"] == "img" and attributes["aria-label"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.pieces.append(data)


def test_frames_are_spread_over_a_video_or_a_segment_of_it(tmp_path: Path) -> None:
    file = encode(tmp_path / "a.mp4", frames=40, width=64, height=48)  # 25 a second
    for path, indices in ((f"{file}", [5, 15, 25, 35]), (f"{file}#t=0.8,1.6", [22, 27, 32, 37])):
        expected = read_frames(file, indices).numpy()
        assert np.array_equal(np.stack([np.asarray(image) for image in frames_of(path, 4, 48)]), expected)
    assert [image.size for image in frames_of(file, 2, 24)] == [(32, 24)] * 2
    wide = encode(tmp_path / "wide.mp4", width=256, height=32)
    assert [image.size for image in frames_of(wide, 1, 24)] == [(48, 6)]
    assert strip(frames_of(file, 3, 24)).size == (3 * 32 + 2 * 2, 24)


def test_look_shows_a_list_with_its_labels_and_what_cannot_be_read(videos, tmp_path, monkeypatch, capsys) -> None:
    rows = read_rows(videos / "videos.csv")[::6]
    rows[1]["label"] = ""
    (tmp_path / "gone").mkdir()
    write_rows(tmp_path / "some.csv", [*rows, {"path": "gone/<b>.mp4", "label": "run"}])
    monkeypatch.chdir(tmp_path)
    assert main(["look", "some.csv", "--root", str(videos)]) == 1
    assert re.fullmatch(r"some\.html +7 videos, 1 unreadable\n", capsys.readouterr().out)
    page = Page(tmp_path / "some.html")
    assert len(page.images) == len(rows) == 6
    titles = [row["label"] or "no label" for row in rows]
    assert re.findall(r"<strong>(.*?)</strong>", page.html) == [*titles, "run"]
    assert all(row["path"] in page.text for row in rows) and "gone/<b>.mp4" in page.text
    assert re.search(r"cannot be read: .*no such file", page.text, re.I)

    assert main(["look", "some.csv", "--root", str(videos)]) == 1  # replaces its own page
    (tmp_path / "some.html").write_text("<p>mine</p>")
    assert main(["look", "some.csv", "--root", str(videos)]) == 2
    assert re.search(r"some\.html: .*no page of cmpl-zoo; give -o", capsys.readouterr().err)
    assert (tmp_path / "some.html").read_text() == "<p>mine</p>"
    assert main(["look", str(videos / "run"), "-o", "deep/er/run.html"]) == 0
    assert len(Page(tmp_path / "deep" / "er" / "run.html").images) == 12


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["no.csv"], r"none of the 1 videos .*no\.csv: .*no such file"),
        (["{videos}", "-o", "{videos}"], r"is a folder; give -o the name of a file"),
        (["{videos}", "-o", "{videos}/videos.csv/a.html"], r"videos\.csv/a\.html: cannot be written"),
        (["{videos}/run/0*.mp5"], r"no file is called like this"),
    ],
)
def test_look_says_what_is_wrong(words, message, videos, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["look", *(word.format(videos=videos) for word in words)])
    assert re.search(message, capsys.readouterr().err, re.I)
    assert not list(tmp_path.iterdir())


def test_a_contact_sheet_stays_small_however_many_videos(tmp_path: Path) -> None:
    """Noise, which JPEG can hardly make smaller, under names that HTML makes longer."""
    np.save(tmp_path / "noise.npy", np.random.default_rng(0).integers(0, 256, (4, 45, 80, 3), dtype=np.uint8))
    tile = Tile(str(tmp_path / "noise.npy"), "<&>" * 100, ["&" * 300, "x"])
    write_contact_sheet([tile] * (MOST_TILES + 7), tmp_path / "page.html", "Noise")
    page = Page(tmp_path / "page.html")
    assert len(page.images) == MOST_TILES
    assert f"room for {MOST_TILES} of the {MOST_TILES + 7} videos" in page.text
    assert int(page.images[0]["height"]) < 60


def test_a_name_that_is_no_text_is_spelled_out(tmp_path: Path) -> None:
    file = encode(tmp_path / "a.mp4")
    os.rename(file, os.fsencode(tmp_path) + b"/\xff.mp4")
    [name] = os.listdir(tmp_path)
    assert write_contact_sheet([Tile(str(tmp_path / name), name)], tmp_path / "page.html", "Odd") == 0
    assert r"\udcff.mp4" in Page(tmp_path / "page.html").text
