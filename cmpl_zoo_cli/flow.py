"""`cmpl-zoo flow`."""

import argparse
from pathlib import Path

from cmpl_zoo_cli.arguments import Verbs, add_list_or_folder, add_output, add_verb, add_workers, processes, whole
from cmpl_zoo_cli.video_words import list_of

FLOW = """\
Compute the optical flow of every video of a list or folder (OpenCV's DIS), and
write to DIR:

  .../NAME.mp4  the flow, under the same relative path: a video of as many
                frames, whose red and green tell how far each pixel moves to
                the right and down
  report.csv    a row for each video, in the order of the list: verdict,
                cause, frames, seconds
  LIST.csv      the list, with all its columns, without the videos left out

The pretext tasks motion and coclr learn from it: cmpl-zoo pretrain --flow DIR.

verdicts:
  made        with a cause if a damaged video ended early
  there       made before
  unreadable  left out: nothing decodes, its reader crashed, or no frame came
              for 5 minutes
  failed      left out: its frames are too small to have a flow

The same command continues a run that was stopped or killed. Exit status: 0 if
every video has its flow, 1 if some have none, 2 if the command cannot run."""


def add_parser(verbs: Verbs) -> None:
    verb = add_verb(verbs, "flow", run, "compute the optical flow of a list's videos, for pretraining", FLOW)
    add_list_or_folder(verb)
    add_output(verb, "folder for the flow")
    verb.add_argument(
        "--max-short-side",
        type=whole(12),
        default=128,
        metavar="PIXELS",
        help="largest short side of the flow; smaller videos are not enlarged (default: 128)",
    )
    add_workers(verb)


def run(args: argparse.Namespace) -> int:
    from cmpl_zoo.tools.flow import make_flow

    if Path(args.list).is_dir() and Path(args.output).resolve().is_relative_to(Path(args.list).resolve()):
        raise ValueError(f"-o {args.output}: is in {args.list}, as whose videos the flow would be taken; give another")
    video_list, root = list_of(args.list, args.root, args.output, "flow")
    all_kept, summary = make_flow(
        video_list, root, args.output, max_short_side=args.max_short_side, workers=processes(args)
    )
    print(summary)
    return 0 if all_kept else 1
