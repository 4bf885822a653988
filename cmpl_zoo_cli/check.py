"""`cmpl-zoo check`."""

import argparse
from pathlib import Path

from cmpl_zoo_cli.arguments import (
    Verbs,
    add_list_or_folder,
    add_output,
    add_verb,
    add_workers,
    positive,
    processes,
    whole,
)
from cmpl_zoo_cli.video_words import list_of

CHECK = """\
Decode every video of a list or folder from end to end, and write to the
output folder:

  report.csv  a row for each video, in the order of the list: verdict, cause,
              frames stated and decoded, fps, size, codec
  LIST.csv    the list, with all its columns, without the videos left out; of
              a folder, videos.csv

verdicts:
  ok          kept
  odd         kept: variable frame rate, timestamps that do not increase,
              rotated, pixels that are not square, interlaced, HDR, colors of
              a rare matrix, a start between two keyframes, no duration or frame
              count in the header, frames that change size, pictures that the
              decoder had to repair
  truncated   left out: fewer frames decode than the file states, or decoding
              fails half-way
  too short   left out: fewer frames than --min-frames
  unreadable  left out: nothing decodes, its reader crashed, or no frame came
              for 5 minutes

It also tells of mixed frame rates and of files without timestamps, and with
--frames and --stride how many videos are shorter than a clip.

The same command continues a run that was stopped or killed. Exit status: 0 if
every video was kept, 1 if some were left out, 2 if the command cannot run."""


def add_parser(verbs: Verbs) -> None:
    verb = add_verb(verbs, "check", run, "find the videos of a list or folder that do not decode", CHECK)
    add_list_or_folder(verb)
    add_output(verb, "folder for the report and the new list")
    verb.add_argument(
        "--min-frames", type=whole(1), default=8, metavar="N", help="videos with fewer are too short (default: 8)"
    )
    verb.add_argument(
        "--frames",
        type=whole(1),
        metavar="N",
        help="count the videos that are shorter than a clip of N frames (default: not counted)",
    )
    verb.add_argument(
        "--stride", type=whole(1), metavar="N", help="distance between two frames of this clip (default: not counted)"
    )
    verb.add_argument(
        "--fps", type=positive, metavar="X", help="the stride is in 1/X seconds (default: in frames of the video)"
    )
    add_workers(verb)


def run(args: argparse.Namespace) -> int:
    from cmpl_zoo.models.config_json import clip_settings
    from cmpl_zoo.tools.check import check
    from cmpl_zoo.tools.survey import survey

    if (args.frames is None) != (args.stride is None) or (args.fps and args.frames is None):
        raise ValueError("--frames and --stride tell the length of a clip together, with or without --fps; give both")
    clip = clip_settings({"frames": args.frames, "stride": args.stride, "fps": args.fps}) if args.frames else None
    video_list, root = list_of(args.list, args.root, args.output, "check")
    all_kept, summary = check(video_list, root, args.output, workers=processes(args), min_frames=args.min_frames)
    print(summary)
    for line in survey(Path(args.output, "report.csv"), clip):
        print(line)
    return 0 if all_kept else 1
