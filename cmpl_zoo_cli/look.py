"""`cmpl-zoo look`."""

import argparse
from collections.abc import Iterator
from os.path import basename
from pathlib import Path
from typing import TYPE_CHECKING

from cmpl_zoo_cli.arguments import Verbs, add_root, add_verb, check_writable
from cmpl_zoo_cli.prediction_text import printable
from cmpl_zoo_cli.video_words import expanded, is_list, videos_of

if TYPE_CHECKING:
    from cmpl_zoo.report.contact_sheet import Tile

LOOK = """\
A page that shows videos by a few frames each, with the labels of a list: one
HTML file, below 3 MB, that any browser opens. VIDEOS is a list (CSV with a
column path), a folder, a pattern, a shard set or a video; of very many videos
some are shown, evenly spread.

Exit status: 0, 1 if a video could not be read, 2 if the command cannot run."""


def add_parser(verbs: Verbs) -> None:
    verb = add_verb(verbs, "look", run, "a page that shows the videos of a list or folder", LOOK)
    verb.add_argument("videos", nargs="+", metavar="VIDEOS", help="see above")
    add_root(verb)
    verb.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="the page (default: in this folder, called like the first of VIDEOS, as videos.html)",
    )


def run(args: argparse.Namespace) -> int:
    from cmpl_zoo.report.contact_sheet import MOST_TILES, write_contact_sheet

    name = printable(Path(args.videos[0]).resolve().stem) or "videos"
    output = Path(args.output or f"{name}.html")
    check_page(output)
    tiles, refused = expanded(args.videos, lambda path: tiles_of(path, args.root))
    if not tiles:
        return 1
    intro = [f"{len(tiles)} video{'s'[: len(tiles) > 1]}."]
    if (found := len(tiles)) > MOST_TILES:
        tiles = [tiles[number * found // MOST_TILES] for number in range(MOST_TILES)]
        intro = [f"{len(tiles)} of {found} videos, evenly spread over them."]
    unreadable = write_contact_sheet(tiles, output, f"Videos of {name}", intro)
    left_out = f", {unreadable} unreadable" if unreadable else ""
    print(f"{output}  {len(tiles)} videos{left_out}")
    return 1 if refused or unreadable else 0


def check_page(file: Path) -> None:
    """Raise ValueError where a page cannot be written, or would replace something other than a page of ours."""
    from cmpl_zoo.report.pages import GENERATOR

    if file.is_dir():
        raise ValueError(f"{file}: is a folder; give -o the name of a file, such as {file / 'videos.html'}")
    check_writable(file, f"{file}:")
    if file.exists() and GENERATOR not in file.read_bytes()[:1000].decode(errors="replace"):
        raise ValueError(f"{file}: is there already and no page of cmpl-zoo; give -o another name")


def tiles_of(path: str, root: str) -> "Iterator[Tile]":
    """The videos that a path stands for, with their labels where it is a list that has some.

    Raises:
        VideoError, ListError, StorageError: as `videos_of`.
    """
    from cmpl_zoo.datasets import read_list
    from cmpl_zoo.report.contact_sheet import Tile

    if is_list(path):
        video_list = read_list(path, root, labeled=False)
        for number, video in enumerate(video_list.paths):
            label = video_list.labels[number] or "no label" if video_list.labels else basename(video)
            yield Tile(video, label, [video_list.name(number)])
    else:
        yield from (Tile(video, basename(video), [video]) for video in videos_of(path, root))
