"""`cmpl-zoo predict --windows`: the timelines of long recordings."""

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cmpl_zoo_cli.arguments import positive
from cmpl_zoo_cli.prediction_files import Lines, csv_line
from cmpl_zoo_cli.prediction_text import clock, printable, report, tenths

if TYPE_CHECKING:
    from cmpl_zoo.models import VideoModel
    from cmpl_zoo.prediction.timelines import Bout, Window

WINDOW_COLUMNS = ["video", "start", "end", "label", "probability"]
BOUT_COLUMNS = ["video", "label", "start", "end", "probability"]
LONG_RECORDINGS = """\
With --windows, a recording is looked at from start to end, in one pass: of
each window, a model sees one clip from its middle, or spread over it if the
model reads so, and the center of the picture. Neighboring windows of one
label make a bout, and the bouts are printed. --csv and --json get a row for
each window: video, start, end, label, probability, and the probability of
each class. Times are in seconds."""


def add_windows(verb: argparse.ArgumentParser) -> None:
    """The options for long recordings."""
    group = verb.add_argument_group("long recordings", LONG_RECORDINGS)
    group.add_argument("--windows", type=positive, metavar="S", help="seconds of a window (default: no windows)")
    group.add_argument(
        "--hop", type=positive, metavar="S", help="seconds from the start of a window to the next (default: --windows)"
    )
    group.add_argument(
        "--shortest",
        type=positive,
        metavar="S",
        help="leave out bouts of fewer seconds, then join two of one label with less between them (default: keep all)",
    )
    group.add_argument(
        "--bouts",
        metavar="FILE",
        help="write the bouts as CSV: video, label, start, end, probability; - is the standard output (default: print "
        "text)",
    )
    group.add_argument(
        "--overlay",
        metavar="DIR",
        help="write copies of the recordings, H.264 without sound, with the labels of their bouts in the picture "
        "(default: none)",
    )


def check_windows(args: argparse.Namespace) -> None:
    """Raise ValueError for options that do not go together."""
    if args.windows is None:
        for name in ("hop", "shortest", "bouts", "overlay"):
            if getattr(args, name) is not None:
                raise ValueError(f"--{name} is for long recordings; give --windows SECONDS with it, or leave it out")
        return
    for name, option in (("resume", "--resume"), ("top_k", "--top-k")):
        if getattr(args, name):
            raise ValueError(f"{option} does not go with --windows; leave it out")


def predict_windows(args: argparse.Namespace, models: "Sequence[VideoModel]", videos: Sequence[str]) -> int:
    """Print or write the timelines of recordings; the number of those that could not be read."""
    from cmpl_zoo.models.labels import label_names
    from cmpl_zoo.prediction.overlay import check_encoder, write_overlay
    from cmpl_zoo.prediction.timelines import bouts, timeline
    from cmpl_zoo.video import VideoError

    videos = list(dict.fromkeys(videos))
    overlays = overlay_files(videos, args.overlay) if args.overlay else {}
    failed = not_drawn = bout_count = 0
    with ExitStack() as stack:
        if overlays:
            check_encoder()
            Path(args.overlay).mkdir(parents=True, exist_ok=True)
            stack.callback(delete_if_empty, args.overlay)
        files = Files(args, label_names(models[0]), stack)
        for path in videos:
            try:
                windows = timeline(
                    models,
                    path,
                    args.windows,
                    args.hop,
                    min_probability=args.min_probability,
                    batch_size=args.batch_size,
                    precision=args.precision,
                )
                found = list(bouts(with_progress(files.written(windows), path), args.shortest or 0))
                files.write_bouts(path, found)
                bout_count += len(found)
            except VideoError as error:
                report(str(error))
                failed += 1
                continue
            try:
                if overlays:
                    write_overlay(path, found, overlays[path])
            except VideoError as error:
                report(str(error))
                not_drawn += 1
    if "-" not in (args.csv, args.json, args.bouts):
        told = recordings(len(videos), failed)
        for file in [file for file in (args.csv, args.json, args.bouts) if file and os.path.exists(file)]:
            none = (
                ", no bout that --min-probability and --shortest leave" if file == args.bouts and not bout_count else ""
            )
            print(f"{file}  {told}{none}")
        if overlays and os.path.isdir(args.overlay):
            print(f"{args.overlay}  {recordings(len(videos), failed + not_drawn)}; their sound is not kept")
    return failed + not_drawn


def recordings(count: int, failed: int) -> str:
    """How many recordings a file has, of so many."""
    done = count - failed
    return f"{done} recording{'' if done == 1 else 's'}" + (f", {failed} unreadable left out" if failed else "")


def overlay_files(videos: Sequence[str], folder: str) -> dict[str, Path]:
    """The file of each recording's copy.

    Raises:
        ValueError: two recordings have one name, or there is a file already.
    """
    from cmpl_zoo.video.segments import split_fragment

    files: dict[str, Path] = {}
    named: dict[Path, str] = {}
    for video in videos:
        recording, segment = split_fragment(video)
        times = f"_{segment.start:g}-{'' if segment.end is None else f'{segment.end:g}'}" if segment else ""
        file = Path(folder, f"{Path(recording).stem}{times}.mp4")
        if file in named:
            raise ValueError(f"--overlay: {named[file]} and {video} would both be {file}; give them to two commands")
        if file.exists():
            raise ValueError(f"{file}: is there already; give --overlay another folder")
        files[video], named[file] = file, video
    return files


def delete_if_empty(folder: str) -> None:
    with suppress(OSError):
        os.rmdir(folder)


def with_progress(windows: "Iterator[Window]", path: str) -> "Iterator[Window]":
    """The same windows; a bar shows how many seconds of the recording they have reached, and Ctrl-C says it."""
    from tqdm import tqdm

    from cmpl_zoo.video import Video

    with Video(path) as video:
        length = video.container.duration if video.container and not video.segment else None  # in microseconds
    reached = 0
    with tqdm(total=length and length // 1_000_000, unit="s", desc=printable(path), disable=None, leave=False) as bar:
        try:
            for window in windows:
                yield window
                bar.update(int(window.end) - reached)
                reached = int(window.end)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"stopped at {clock(reached)} of {printable(path)}") from None


class Files:
    """What the options name for the windows and bouts of all recordings.

    Args:
        args: the options.
        names: of all classes.
        stack: closes the files.

    Raises:
        ValueError: there is such a file already, or a class is called like another column.
        OSError: one cannot be written.
    """

    def __init__(self, args: argparse.Namespace, names: Sequence[str], stack: ExitStack) -> None:
        if args.csv and (taken := set(WINDOW_COLUMNS) & set(names)):
            raise ValueError(f"a class of the model is called {min(taken)!r}, as a column of --csv is; take --json")
        self.names = names
        self.printed = "-" not in (args.csv, args.json) and not args.bouts
        outputs = args.csv, args.json, args.bouts
        if there := [file for file in outputs if file and file != "-" and Path(file).exists()]:
            raise ValueError(f"{there[0]}: is there already; give another file")
        headers = csv_line([*WINDOW_COLUMNS, *names]), "", csv_line(BOUT_COLUMNS)
        self.csv, self.json, self.bouts = (
            stack.enter_context(closing(Lines(file, header, "start again with another file"))) if file else None
            for file, header in zip(outputs, headers, strict=True)
        )

    def written(self, windows: "Iterator[Window]") -> "Iterator[Window]":
        """The same windows; each is written as it comes."""
        for window in windows:
            probabilities = {name: round(probability, 5) for name, probability in window.classes}
            told = [round(window.start, 6), round(window.end, 6), window.label, round(window.probability, 5)]
            if self.csv:
                per_class = [probabilities[name] for name in self.names]
                self.csv.append(csv_line([printable(window.video), *told, *per_class]))
            if self.json:
                row = dict(zip(WINDOW_COLUMNS, [window.video, *told], strict=True))
                self.json.append(json.dumps(row | {"probabilities": probabilities}) + "\n")
            yield window

    def write_bouts(self, path: str, bouts: "Sequence[Bout]") -> None:
        """Write the bouts of a recording, or print them."""
        if self.printed:
            print(printable(path))
        if self.bouts and not bouts:
            self.bouts.append("")  # its header: the recording was read
        for bout in bouts:
            if self.bouts:
                times = [round(bout.start, 6), round(bout.end, 6)]
                self.bouts.append(csv_line([printable(bout.video), bout.label, *times, round(bout.probability, 5)]))
            elif self.printed:
                print(f"  {tenths(bout.start)}  {tenths(bout.end)}  {bout.probability:6.1%}  {bout.label}")
