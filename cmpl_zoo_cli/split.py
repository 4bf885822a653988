"""`cmpl-zoo split`."""

import argparse
import sys
from pathlib import Path

from cmpl_zoo_cli.arguments import Verbs, add_output, add_verb, number, whole


def add_parser(verbs: Verbs) -> None:
    verb = add_verb(
        verbs,
        "split",
        run,
        "draw which videos of a list keep their label",
        "Draw which videos of a list keep their label. Writes labeled.csv, unlabeled.csv (unless all "
        "videos keep a label) and, with --val-share, val.csv to DIR.",
    )
    verb.add_argument("list", metavar="LIST", help="CSV with the header path,label")
    verb.add_argument(
        "--labels-per-class",
        type=number_or_all,
        required=True,
        metavar="N",
        help="videos of each class that keep their label, or all, to split off --val-share only (required)",
    )
    verb.add_argument("--seed", type=whole(0), default=0, metavar="N", help="seed of the draw (default: 0)")
    verb.add_argument(
        "--sampling",
        choices=["uniform", "category-wise"],
        default="uniform",
        help="the same number from each class, or N x classes in proportion to class size (default: uniform)",
    )
    verb.add_argument(
        "--val-share",
        type=share,
        default=0.0,
        metavar="SHARE",
        help="share of the videos to split off for validation, such as 0.2 (default: 0)",
    )
    verb.add_argument(
        "--group",
        metavar="COLUMN",
        help="column of the list; videos with the same value in it are never split between val.csv and the other "
        "lists (default: the recording: each video, or the segments of one file)",
    )
    verb.add_argument(
        "--keep-labels",
        action="store_true",
        help="keep labels in unlabeled.csv, to measure how many pseudo-labels are right (default: leave them out)",
    )
    add_output(verb, "folder for the lists")


def run(args: argparse.Namespace) -> int:
    from cmpl_zoo.datasets import read_list, split_list, write_split
    from cmpl_zoo.tools.list_doubts import untold_recordings

    video_list = read_list(args.list, labeled=False)
    if Path(args.list).resolve().parent == Path(args.output).resolve():
        raise ValueError(
            f"{args.output} holds {args.list}, which a list of the split may overwrite; give another folder"
        )
    parts = split_list(
        video_list, args.labels_per_class, args.seed, sampling=args.sampling, val=args.val_share, group=args.group
    )
    parts = {name: indices for name, indices in parts.items() if indices}  # all may keep their labels
    for name in ("labeled", "unlabeled", "val"):
        if name not in parts and (former := Path(args.output, f"{name}.csv")).exists():
            raise ValueError(
                f"{former}: is there already, and this split has no such list; delete it, or give another folder"
            )
    if args.group:
        for doubt in untold_recordings([row for row in video_list.rows if row.get("label")], args.group):
            print(f"warning: {doubt}", file=sys.stderr)
    write_split(video_list, parts, args.output, keep_labels=args.keep_labels, group=args.group)
    for name, indices in parts.items():
        print(f"{Path(args.output, name)}.csv  {len(indices)} videos")
    if left_out := len(video_list) - sum(map(len, parts.values())):
        print(f"left out: {left_out} videos without a label, of recordings in val.csv")
    return 0


def number_or_all(text: str) -> int | None:
    return None if text == "all" else whole(1)(text)


share = number("must be a share from 0 to below 1", lambda value: 0 <= value < 1)
