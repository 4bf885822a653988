"""`cmpl-zoo check`."""

import argparse

from cmpl_zoo_cli.arguments import add_list, add_output, add_workers, whole

CHECK = """\
Decode every video of a list from end to end, and write to DIR:

  report.csv  a row for each video, in the order of the list: verdict, cause,
              frames stated and decoded, fps, size, codec
  LIST.csv    the list, with all its columns, without the videos left out

verdicts:
  ok          kept
  odd         kept: variable frame rate, timestamps that do not increase,
              rotated, no duration or frame count in the header, frames that
              change size, pictures that the decoder had to repair
  truncated   left out: fewer frames decode than the file states, or decoding
              fails half-way
  too short   left out: fewer frames than --min-frames
  unreadable  left out: nothing decodes, its reader crashed, or no frame came
              for 5 minutes

The same command continues a run that was stopped or killed. Exit status: 0 if
every video was kept, 1 if some were left out, 2 if the command cannot run."""


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = verbs.add_parser(
        "check",
        help="find the videos of a list that do not decode",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=CHECK,
    )
    verb.set_defaults(run=run)
    add_list(verb)
    add_output(verb, "folder for the report and the new list")
    verb.add_argument(
        "--min-frames", type=whole(1), default=8, metavar="N", help="videos with fewer are too short (default: 8)"
    )
    add_workers(verb)


def run(args: argparse.Namespace) -> int:
    from cmpl_zoo.datasets import read_list
    from cmpl_zoo.tools.check import check
    from cmpl_zoo.tools.worker_pool import available_cores

    video_list = read_list(args.list, args.root, labeled=False)
    workers = available_cores() if args.workers is None else args.workers
    all_kept, summary = check(video_list, args.root, args.output, workers=workers, min_frames=args.min_frames)
    print(summary)
    return 0 if all_kept else 1
