"""`cmpl-zoo predict`."""

import argparse
import sys
from glob import glob, has_magic
from os.path import exists, isdir, isfile, join, splitext


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
    for path in (path for word in args.videos for path in expanded(word)):
        try:
            check_kind(path)
            ranked = predict(models, path)
        except (VideoError, OSError) as error:
            reason = f"{path}: {error.strerror}" if isinstance(error, OSError) else str(error)
            print(f"cmpl-zoo: {printable(reason)}", file=sys.stderr)
            failed = 1
            continue
        print(printable(path))
        for name, probability in ranked:
            print(f"  {probability:6.1%}  {name}")
    return failed


def expanded(word: str) -> list[str]:
    """The files of a pattern that the shell left as it is; any other word is one path."""
    return (not exists(word) and has_magic(word) and sorted(glob(word, recursive=True))) or [word]


def check_kind(path: str) -> None:
    """Raise VideoError for a word that stands for something other than a video, in the words of its kind."""
    from cmpl_zoo.video import VideoError

    if isdir(path) and exists(join(path, "config.json")):
        raise VideoError(f"{path}: this is a model; the first word is the model, and --with takes others that vote")
    if isfile(path) and splitext(path)[1].lower() in (".csv", ".txt"):
        raise VideoError(f"{path}: this is a list; give the videos, or cmpl-zoo evaluate the model on a labeled list")
    if exists(path):
        return
    if "://" in path:
        raise VideoError(f"{path}: videos are read from files alone; download it, and give its path")
    if path == "-":
        raise VideoError("-: videos are not read from standard input; save it as a file, and give its path")
    if has_magic(path):
        raise VideoError(f"{path}: no file is called like this; check the pattern")


def printable(text: str) -> str:
    """In one line, and without what would steer a terminal."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)
