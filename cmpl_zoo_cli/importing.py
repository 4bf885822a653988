"""The verb `cmpl-zoo import`: a parser for each kind of list."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cmpl_zoo_cli.arguments import Verbs, add_output, add_verb, check_output, positive

if TYPE_CHECKING:
    from cmpl_zoo.tools.find_videos import FoundVideos

IMPORT = """\
Make lists of videos from what you have: CSV files with the header path,label
and paths relative to ROOT. ROOT is scanned once, and no video is opened
(but for the frame rates of Label Studio's).
Lists of the same name are replaced. Videos that are listed but not found, or
ambiguous, or have a name that a list cannot hold, are left out of LIST.csv and
listed in LIST.left_out.csv, with the reason. Lists of labeled segments have
the columns path,label,start,end, in seconds. Files with the suffix of no video
are passed over, and counted.
"""
FOLDERS = """\
A folder for each class, with its name, and videos at any depth below it:

  ROOT/walk/0001.mp4
  ROOT/walk/monday/0002.avi
  ROOT/run/0003/             a folder of JPEG or PNG frames is one video

If classes have subfolders, the list gets a column folder (walk/monday), by
which cmpl-zoo split --group folder keeps the videos of a subfolder together.
"""
VIDEOS = """\
A list of all videos below a folder, at any depth, with an empty column label:
for cmpl-zoo train --unlabeled, or to be filled in.
"""
KINETICS = """\
The official CSV of Kinetics-400, -600 or -700, with the header
label,youtube_id,time_start,time_end,split, and those of its clips that you
have, in any folders below ROOT:

  ROOT/train/abseiling/-3B32lodo2M_000059_000069.mp4
  ROOT/-3B32lodo2M_000059_000069.webm
  ROOT/-3B32lodo2M.mp4       if there is no file with the times

The list keeps all columns: cmpl-zoo split --group youtube_id keeps the clips
of a video together. A list without labels, such as that of a test set, is for
cmpl-zoo train --unlabeled.
"""
UCF101 = """\
UCF-101 as it is published, also as .mp4 or as folders of frames:

  ROOT/ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi
  SPLITS/classInd.txt  SPLITS/trainlist01.txt  SPLITS/testlist01.txt

Makes DIR/train.csv, DIR/test.csv and DIR/classes.txt (official order). Clips
of a group share a scene: cmpl-zoo split --group group keeps them together.
"""
HMDB51 = """\
HMDB-51 as it is published, also as .mp4 or as folders of frames:

  ROOT/brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi
  SPLITS/brush_hair_test_split1.txt  ...

Makes DIR/train.csv, DIR/test.csv, DIR/classes.txt (alphabetical) and
DIR/unused.csv, the videos that the fold does not use: they can serve as
cmpl-zoo train --unlabeled, but may come from the same film as a test video.
"""
PAIRS = """\
Another project's list, with a path and a label per line, or a path, its
number of frames and a label:

  /home/someone/k400/train/water_sliding/1SIQD7ocPM4_000006_000016.mp4 384
  water_sliding/1SIQD7ocPM4_000006_000016 265 384

A path means the video of that name below ROOT, with any suffix; if there are
several, the one that shares the most folders with it.
"""
LABELSTUDIO = """\
An export of a Label Studio project as JSON or JSON-MIN: choices of a whole
video, and TimelineLabels of its parts. Videos are found by their names below
ROOT, without the digits that an upload puts before them.

Label Studio counts the frames of a part at the frameRate of the project's
label config, whatever the rate of the file; it is 24 where the config has
none. Give it as --fps: the export does not hold it. Where a task has a value
fps of its own, that is taken. Of several annotations of a task the latest is
taken; skipped tasks are left out.
"""
BORIS = """\
Exports of BORIS, "tabular events" or "aggregated events", as TSV or CSV, of one
observation or of several. In tabular events a START and the next STOP of one
subject and behavior are a segment. POINT events are left out, and counted.
"""
SEGMENTS = """\
A table with a line for each segment of a video, in seconds from its first
frame, as the bouts of cmpl-zoo predict are written:

  video,label,start,end
  monday.mp4,walk,0,12.5

Without an end, a segment goes to the end of the video.
"""


def add_parser(verbs: Verbs) -> None:
    verb = add_verb(verbs, "import", run, "make lists of the videos and lists that you have", IMPORT)
    kinds = verb.add_subparsers(required=True, dest="kind", title="kinds", metavar="KIND")

    kind = add_verb(kinds, "folders", run, "a folder for each class", FOLDERS)
    kind.add_argument("root", metavar="ROOT", help="folder of the class folders")
    add_output(kind, "the list to make", "LIST.csv")

    kind = add_verb(kinds, "videos", run, "a folder of unlabeled videos", VIDEOS)
    kind.add_argument("root", metavar="ROOT", help="folder of the videos")
    add_output(kind, "the list to make", "LIST.csv")

    kind = add_verb(kinds, "kinetics", run, "Kinetics-400, -600 or -700", KINETICS)
    kind.add_argument("file", metavar="ANNOTATIONS.csv", help="the official list, such as train.csv")
    kind.add_argument("root", metavar="ROOT", help="folder of the videos")
    add_output(kind, "the list to make", "LIST.csv")

    for name, title, text in (("ucf101", "UCF-101", UCF101), ("hmdb51", "HMDB-51", HMDB51)):
        kind = add_verb(kinds, name, run, title, text)
        kind.add_argument("root", metavar="ROOT", help="folder of the videos")
        kind.add_argument(
            "--splits", required=True, metavar="SPLITS", help="folder of the official split files (required)"
        )
        kind.add_argument(
            "--fold", required=True, type=int, choices=[1, 2, 3], help="which of the three splits (required)"
        )
        add_output(kind, "folder for the lists")

    kind = add_verb(kinds, "pairs", run, "lists of a path and a label per line, as other projects publish them", PAIRS)
    kind.add_argument("file", metavar="FILE", help="the list")
    kind.add_argument("root", metavar="ROOT", help="folder of the videos")
    kind.add_argument(
        "--classes",
        metavar="NAMES",
        help="names of labels that are numbers from 0: kinetics400, ucf101, or a text file with a name per line "
        "(default: labels stay as they are)",
    )
    add_output(kind, "the list to make", "LIST.csv")

    kind = add_verb(kinds, "labelstudio", run, "labels from Label Studio", LABELSTUDIO)
    kind.add_argument("file", metavar="FILE", help="the export, as JSON or JSON-MIN")
    kind.add_argument("root", metavar="ROOT", help="folder of the videos")
    kind.add_argument(
        "--fps", type=positive, default=24.0, metavar="F", help="frameRate of the label config (default: 24)"
    )
    add_output(kind, "the list to make", "LIST.csv")

    kind = add_verb(kinds, "boris", run, "labels from BORIS", BORIS)
    kind.add_argument("file", nargs="+", metavar="FILE", help="the exports")
    kind.add_argument("root", metavar="ROOT", help="folder of the videos")
    add_output(kind, "the list to make", "LIST.csv")

    kind = add_verb(kinds, "segments", run, "a table video,label,start,end", SEGMENTS)
    kind.add_argument("file", metavar="FILE", help="the table")
    kind.add_argument("root", metavar="ROOT", help="folder of the videos")
    add_output(kind, "the list to make", "LIST.csv")


def run(args: argparse.Namespace) -> int:
    from cmpl_zoo.datasets import class_names
    from cmpl_zoo.tools import importing
    from cmpl_zoo.tools.boris import boris
    from cmpl_zoo.tools.label_studio import label_studio

    if "file" in args:
        for output in (args.output, str(importing.left_out_file(args.output))):
            check_output(output, *(args.file if args.kind == "boris" else [args.file]))
    match args.kind:
        case "ucf101" | "hmdb51":
            return import_split(args)
        case "folders":
            listing = importing.folders(args.root)
        case "videos":
            check_unlabeled(args.output)
            listing = importing.videos(args.root)
        case "kinetics":
            listing = importing.kinetics(args.file, args.root)
        case "pairs":
            listing = importing.pairs(args.file, args.root, class_names(args.classes) if args.classes else None)
        case "labelstudio":
            listing = label_studio(args.file, args.root, args.fps)
        case "boris":
            listing = boris(args.file, args.root)
        case "segments":
            listing = importing.segments(args.file, args.root)
    _write_list(listing, Path(args.output))
    _tell_passed_over(listing)
    return 0


def check_unlabeled(output: str) -> None:
    """Raise ValueError where a list that is to be filled in is there already, and somebody has begun to fill it in."""
    from cmpl_zoo.datasets.lists import ListError, read_list

    if not Path(output).is_file():
        return
    try:
        labels = read_list(output, labeled=False).labels or []
    except ListError as error:
        raise ValueError(f"{error}; or give -o another name, and it is kept") from error
    if any(labels):
        raise ValueError(f"{output}: has labels already, which would be lost; give -o another name")


def import_split(args: argparse.Namespace) -> int:
    from cmpl_zoo.tools import importing

    collect = importing.ucf101 if args.kind == "ucf101" else importing.hmdb51
    classes, listings = collect(args.root, args.splits, args.fold)
    for name, listing in listings.items():
        _write_list(listing, Path(args.output, f"{name}.csv"))
    _tell_passed_over(next(iter(listings.values())))
    importing.write_classes(classes, Path(args.output, "classes.txt"))
    print(f"{Path(args.output, 'classes.txt')}  {len(classes)} classes")
    return 0


def _write_list(listing: "FoundVideos", file: Path) -> None:
    from cmpl_zoo.tools import importing

    left_out = importing.write_list(listing, file)
    labels = {row["label"] for row in listing.rows if row.get("label")}
    videos = len({row["path"] for row in listing.rows})
    segments = any(row.get("end") or row.get("start") for row in listing.rows)
    what = f"{len(listing.rows)} segments in {videos} videos," if segments else f"{videos} videos"
    print(f"{file}  {what}" + (f" of {len(labels)} classes" if labels else ""))
    if left_out:
        first = listing.left_out[0]
        print(
            f"cmpl-zoo: left out {len(listing.left_out)}, for the reasons in {left_out} "
            f"(the first, {first['path']}: {first['reason']})",
            file=sys.stderr,
        )


def _tell_passed_over(listing: "FoundVideos") -> None:
    counts = [f"{number} {suffix or 'without a suffix'}" for suffix, number in listing.passed_over.most_common()]
    if counts:
        total = listing.passed_over.total()
        print(f"cmpl-zoo: passed over {total} files that are no videos: {', '.join(counts)}", file=sys.stderr)
