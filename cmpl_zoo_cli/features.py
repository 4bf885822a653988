"""`cmpl-zoo features`."""

import argparse
import os

from cmpl_zoo_cli.arguments import Verbs, add_computing, add_list, add_output, add_verb, reading_workers

FEATURES = """\
Compute what a model's classifier would see of each video of a list, the mean
over the model's test views, and write it to FILE, for cmpl-zoo probe:

  features          float32 (videos, channels)
  paths, labels     of these videos; a label is empty where the list has none
  column:NAME       any other column of the list, such as one to group by
  unreadable        paths of the videos that are left out
  source            what it was made from: model, views, precision, list

numpy.load(FILE) reads it. The same command continues a run that was stopped or
killed. Exit status: 0, 1 if a video could not be read and was left out, 2 if
the command cannot run."""


def add_parser(verbs: Verbs) -> None:
    verb = add_verb(verbs, "features", run, "what a model computes of videos before its classifier, to probe", FEATURES)
    verb.add_argument("model", metavar="MODEL", help="model directory, name, or hf-hub:ORG/NAME")
    add_list(verb)
    add_output(verb, "file for the features, such as features.npz", metavar="FILE")
    add_computing(verb)


def run(args: argparse.Namespace) -> int:
    from cmpl_zoo.datasets import read_list
    from cmpl_zoo.distributed import device_errors_explained, set_up_device
    from cmpl_zoo.features import extract_features
    from cmpl_zoo.models import create_model

    video_list = read_list(args.list, args.root, labeled=False)
    model = create_model(args.model, pretrained=True).to(set_up_device(args.device))
    there = os.path.exists(args.output)
    with device_errors_explained():
        features = extract_features(
            model,
            args.model,
            video_list,
            args.root,
            args.output,
            workers=reading_workers(args),
            batch_size=args.batch_size,
            precision=args.precision,
        )
    left_out = f", {len(features.unreadable)} unreadable ones left out" if features.unreadable else ""
    before = "; it was there, so delete it if videos have changed since" if there else ""
    print(f"{args.output}  {len(features)} videos, {features.features.shape[1]} channels{left_out}{before}")
    return 1 if features.unreadable else 0
