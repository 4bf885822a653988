"""`cmpl-zoo probe`."""

import argparse
import sys
from pathlib import Path

from cmpl_zoo_cli.arguments import Verbs, add_output, add_verb

PROBE = """\
Fit scikit-learn's logistic regression to features of labeled videos, measure
it by cross-validation, and write the network with that classifier to DIR: a
model directory, which predicts, is evaluated and published, and starts
training (cmpl-zoo train --init DIR) like any other.

Features are standardized; the regularization is chosen by cross-validation
within the videos that a fold fits to, so accuracy is of videos that played no
part in it. Videos without a label are ignored."""


def add_parser(verbs: Verbs) -> None:
    verb = add_verb(verbs, "probe", run, "fit a classifier to features in seconds, as a model directory", PROBE)
    verb.add_argument("features", metavar="FILE", help="features of labeled videos, from cmpl-zoo features")
    add_output(verb, "folder for the model, new or empty")
    verb.add_argument(
        "--group",
        metavar="COLUMN",
        help="column of the list, such as a scene or a day; videos with the same value in it are never fitted to and "
        "tested on in one fold (default: the recording: each video, or the segments of one file)",
    )
    verb.add_argument(
        "--test", metavar="FILE", help="also measure on these features of other labeled videos (default: none)"
    )


def run(args: argparse.Namespace) -> int:
    from cmpl_zoo.features import read_features
    from cmpl_zoo.linear_probe import check_empty, check_held_out, fit_probe, probe_accuracy, save_probe
    from cmpl_zoo.tools.list_doubts import doubtful_folds, untold_recordings
    from cmpl_zoo.video.segments import recording_of

    check_empty(args.output)
    features = read_features(args.features)
    test = read_features(args.test) if args.test else None
    if test:
        check_held_out(features, test)
    probe = fit_probe(features, args.group)
    rows = [
        {"path": recording_of(features.paths[index])}
        | {name: values[index] for name, values in features.columns.items()}
        for index, label in enumerate(features.labels)
        if label
    ]
    doubts = untold_recordings(rows, args.group) if args.group else []
    if not args.group and "recording" not in features.columns:
        doubts = doubtful_folds(rows)
    for doubt in doubts:
        print(f"warning: {doubt}", file=sys.stderr)
    tested = ""
    if test:
        accuracy, largest_class = probe_accuracy(probe, test)
        tested = f"top-1 {accuracy:.1f} %; always the largest class {largest_class:.1f} %"
    save_probe(probe, features, args.output, tested and f"On {Path(args.test).name}: {tested}.")
    print(f"{args.features}  {probe}")
    if tested:
        print(f"{args.test}  {tested}")
    print(args.output)
    return 0
