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
    verb.add_argument("model", help="model directory, name, or hf-hub:ORG/NAME")
    verb.add_argument("videos", nargs="+", metavar="video", help="video file, GIF, or folder of frames")


def run(args: argparse.Namespace) -> int:
    import torch

    from cmpl_zoo.models import R3D, create_model
    from cmpl_zoo.prediction import predict
    from cmpl_zoo.video import VideoError

    model = create_model(args.model, pretrained=True).eval()
    assert isinstance(model, R3D)
    model.reparameterize()
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    failed = 0
    for path in args.videos:
        try:
            ranked = predict(model, path)
        except VideoError as error:
            print(f"cmpl-zoo: {error}", file=sys.stderr)
            failed = 1
            continue
        print(path)
        for name, probability in ranked:
            print(f"  {probability:6.1%}  {name}")
    return failed
