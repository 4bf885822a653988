"""A contact sheet: a page that shows each of some videos by a few of its frames."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from tqdm import tqdm

from cmpl_zoo.report.pages import LARGEST, render, shortened, write_page
from cmpl_zoo.report.pictures import data_uri, frames_of, strip
from cmpl_zoo.storage.remote import StorageError
from cmpl_zoo.video.errors import VideoError

FRAMES = 4  # of a video
MOST_TILES = 500  # whose pictures, at their smallest, fill a page
MARKUP = 600  # bytes of a tile without its picture, at most
LONGEST_REASON = 300  # characters
# Height in pixels and JPEG quality of the pictures, from what looks best to what takes least.
SIZES = [(112, 75), (96, 65), (80, 60), (64, 50), (48, 40), (40, 30)]


@dataclass(frozen=True)
class Tile:
    """A video in a contact sheet.

    Attributes:
        path: of the video, as `Video` takes it.
        title: what is written above the others, such as its class.
        lines: text below the title.
    """

    path: str
    title: str
    lines: Sequence[str] = ()


@dataclass(frozen=True)
class Picture:
    """What a page shows of a video.

    Attributes:
        title: of its tile.
        lines: of its tile.
        uri: its frames side by side, as `data_uri`; "" where it cannot be read.
        alt: the picture in words, or why there is none.
        readable: whether there are frames of it.
        width: of the picture, in pixels.
        height: likewise.
    """

    title: str
    lines: Sequence[str]
    uri: str
    alt: str
    readable: bool
    width: int = 0
    height: int = 0


@dataclass
class ByteBudget:
    """The bytes that pictures may take, shared out equally to those that are still to come.

    Attributes:
        left: bytes that are left.
        pictures: how many are still to come.
    """

    left: int
    pictures: int


def write_contact_sheet(
    tiles: Sequence[Tile], file: str | os.PathLike[str], title: str, intro: Sequence[str] = ()
) -> int:
    """Write a contact sheet: one HTML file below 3 MB, with smaller pictures where there are many videos.

    Of more than `MOST_TILES` videos the first ones are shown, and the page says so. A video that cannot be read is
    shown as such, with the reason.

    Args:
        tiles: the videos, in the order of the page.
        file: to write, atomically.
        title: of the page.
        intro: paragraphs below the title.

    Returns:
        How many videos cannot be read.

    Raises:
        VideoError: none of the videos can be read.
        OSError: the file cannot be written.
    """
    shown = tiles[:MOST_TILES]
    if len(shown) < len(tiles):
        intro = [*intro, f"This page has room for {len(shown)} of the {len(tiles)} videos: the first ones."]
    without_pictures = render(
        "contact_sheet.html", title=title, intro=intro, pictures=[Picture(*_text(tile), "", "", True) for tile in shown]
    )
    budget = ByteBudget(
        LARGEST - len(without_pictures.encode("utf-8", "backslashreplace")) - MARKUP * len(shown), len(shown)
    )
    progress = tqdm(shown, desc="videos", disable=None, leave=False)
    pictures = [picture_of(tile, budget) for tile in progress]
    if not any(picture.readable for picture in pictures):
        raise VideoError(f"none of the {len(tiles)} videos can be read; the first: {shown[0].path}: {pictures[0].alt}")
    html = render("contact_sheet.html", title=title, intro=intro, pictures=pictures)
    write_page(file, html)
    return sum(not picture.readable for picture in pictures)


def picture_of(tile: Tile, budget: ByteBudget) -> Picture:
    """What a page shows of a video; the bytes of its picture are subtracted from the budget."""
    title, lines = _text(tile)
    share = budget.left // max(1, budget.pictures)
    budget.pictures -= 1
    try:
        frames = strip(frames_of(tile.path, FRAMES, SIZES[0][0]))
    except (VideoError, StorageError) as error:
        return Picture(
            title, lines, "", f"cannot be read: {str(error).removeprefix(f'{tile.path}: ')[:LONGEST_REASON]}", False
        )
    for height, quality in SIZES:
        scale = min(1, height / frames.height)
        width, height = round(scale * frames.width), round(scale * frames.height)
        uri = data_uri(frames.resize((width, height)), quality)
        if len(uri) <= share:
            budget.left -= len(uri)
            alt = f"{FRAMES} frames of {shortened(os.path.basename(tile.path))}"
            return Picture(title, lines, uri, alt, True, width, height)
    return Picture(title, lines, "", "the page has no room for its picture", True)


def _text(tile: Tile) -> tuple[str, list[str]]:
    """The title and the lines of a tile, as they are shown."""
    return shortened(tile.title), [shortened(line) for line in tile.lines]
