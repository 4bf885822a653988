"""`cmpl-zoo split`."""

import argparse
from pathlib import Path


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = verbs.add_parser(
        "split",
        help="draw which videos of a list keep their label",
        description="Draw which videos of a list keep their label. Writes labeled.csv, unlabeled.csv (unless all "
        "labels are kept) and, with --val, val.csv to DIR.",
    )
    verb.set_defaults(run=run)
    verb.add_argument("list", metavar="LIST", help="CSV with the header path,label")
    verb.add_argument(
        "--labels-per-class",
        type=number_or_all,
        required=True,
        metavar="N",
        help="videos per class that keep their label; all, to only split off --val",
    )
    verb.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the draw (default: 0)")
    verb.add_argument(
        "--sampling",
        choices=["uniform", "category-wise"],
        default="uniform",
        help="the same number from each class, or N x classes in proportion to class size (default: uniform)",
    )
    verb.add_argument(
        "--val", type=float, default=0.0, metavar="SHARE", help="share split off for validation (default: 0)"
    )
    verb.add_argument(
        "--group",
        metavar="COLUMN",
        help="column; rows of one value are never split between val.csv and the other lists",
    )
    verb.add_argument(
        "--keep-labels", action="store_true", help="keep labels in unlabeled.csv, to measure pseudo-labels with"
    )
    verb.add_argument("-o", "--output", required=True, metavar="DIR", help="folder for the lists")


def run(args: argparse.Namespace) -> int:
    from cmpl_zoo.datasets import read_list, split_list, write_split

    manifest = read_list(args.list)
    if Path(args.list).resolve().parent == Path(args.output).resolve():
        raise ValueError(
            f"{args.output} holds {args.list}, which a list of the split may overwrite; give another folder"
        )
    parts = split_list(manifest, args.labels_per_class, args.seed, args.sampling, args.val, args.group)
    write_split(manifest, parts, args.output, args.keep_labels)
    for name, indices in parts.items():
        print(f"{Path(args.output, name)}.csv  {len(indices)} videos")
    return 0


def number_or_all(text: str) -> int | None:
    return None if text == "all" else int(text)
