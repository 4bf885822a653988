"""`cmpl-zoo prepare`."""

import argparse

from cmpl_zoo_cli.arguments import Verbs, add_list, add_output, add_verb, add_workers, processes, whole

PREPARE = """\
Re-encode every video of a list as H.264, and write to DIR:

  .../NAME.mp4  the copy, under the same relative path; also of a GIF or a
                folder of frames
  report.csv    a row for each video, in the order of the list: verdict,
                cause, frames, bytes before and after, seconds
  LIST.csv      the list of the copies, with all its columns

A copy has every frame that decodes, as players show it: upright, with square
pixels (the shorter side is enlarged), deinterlaced, and HDR in BT.709 where
FFmpeg can do that. It is 8-bit yuv420p with even sides, has a keyframe every
--gop frames, the source's timestamps if they increase, and no sound. Most
frames are B-frames from which no other is predicted: those that a clip does
not show need not be decoded.

verdicts:
  encoded     with a cause if a damaged video ended early
  copied      with --copy: an MP4 of a single H.264 stream, whole, stored as
              it is shown, no larger and with no longer GOP than asked for
  unreadable  left out: nothing decodes, its reader crashed, or no frame came
              for 5 minutes
  failed      left out: it cannot be encoded

The same command continues a run that was stopped or killed. Exit status: 0 if
every video has a copy, 1 if some have none, 2 if the command cannot run."""


def add_parser(verbs: Verbs) -> None:
    verb = add_verb(verbs, "prepare", run, "make small copies of a list's videos that are fast to read", PREPARE)
    add_list(verb)
    add_output(verb, "folder for the copies")
    verb.add_argument(
        "--max-short-side",
        type=whole(2),
        required=True,
        metavar="PIXELS",
        help="largest short side of the copies, usually 256; smaller videos are not enlarged (required)",
    )
    verb.add_argument("--gop", type=whole(1), default=32, metavar="N", help="frames between keyframes (default: 32)")
    verb.add_argument(
        "--crf", type=whole(0, 51), default=23, metavar="Q", help="quality, 0 (lossless) to 51 (worst) (default: 23)"
    )
    verb.add_argument(
        "--copy", action="store_true", help="copy a file unchanged if it is like that already (default: encode all)"
    )
    add_workers(verb)


def run(args: argparse.Namespace) -> int:
    from cmpl_zoo.datasets import read_list
    from cmpl_zoo.tools.prepare import PrepareSettings, prepare

    settings = PrepareSettings(args.max_short_side, args.gop, args.crf, args.copy)
    video_list = read_list(args.list, args.root, labeled=False)
    all_kept, summary = prepare(video_list, args.root, args.output, settings, workers=processes(args))
    print(summary)
    return 0 if all_kept else 1
