"""`cmpl-zoo predict`."""

import argparse
import sys


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = verbs.add_parser(
        "predict",
        help="the five best classes of videos",
        description="Print the five best classes of each video and their probabilities, computed on a GPU if there is "
        "one. Exit status: 0, 1 if a video could not be read, 2 if the command cannot run.",
    )
    verb.set_defaults(run=run)
    verb.add_argument("model", metavar="MODEL", help="model directory, name, or hf-hub:ORG/NAME")
    verb.add_argument("videos", nargs="+", metavar="VIDEO", help="video file, GIF, or folder of frames")
    verb.add_argument(
        "--with",
        action="append",
        default=[],
        dest="others",
        metavar="MODEL",
        help="another model of the same classes that votes together with the first; may be given several times "
        "(default: none)",
    )


def run(args: argparse.Namespace) -> int:
    import torch

    from cmpl_zoo.models import R3D, create_model
    from cmpl_zoo.models.labels import check_same_classes
    from cmpl_zoo.prediction import predict
    from cmpl_zoo.video import VideoError

    names = [args.model, *args.others]
    models = [create_model(name, pretrained=True).eval() for name in names]
    check_same_classes(names, models)
    for model in models:
        if isinstance(model, R3D):
            model.reparameterize()
        model.to("cuda" if torch.cuda.is_available() else "cpu")
    failed = 0
    for path in args.videos:
        try:
            ranked = predict(models, path)
        except VideoError as error:
            print(f"cmpl-zoo: {error}", file=sys.stderr)
            failed = 1
            continue
        print(path)
        for name, probability in ranked:
            print(f"  {probability:6.1%}  {name}")
    return failed
