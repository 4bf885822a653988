"""`cmpl-zoo evaluate`."""

import argparse
import hashlib
import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cmpl_zoo_cli.arguments import (
    Verbs,
    add_computing,
    add_root,
    add_verb,
    check_output,
    check_writable,
    reading_workers,
    whole,
)
from cmpl_zoo_cli.spelling import flag

if TYPE_CHECKING:
    from cmpl_zoo.records import Scores

EVALUATE = """\
Top-1 and top-5 accuracy of a model, or of several that vote, on a labeled
list of videos, or on a folder that holds a folder of videos for each class.
It is printed, and a folder is written, in which a former evaluation of the
same name is replaced:

  report.html       a page to look at: interval, confused classes, the surest
                    mistakes, a map of the videos
  predictions.csv   what the model says of each video
  scores.json       the accuracies"""


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs, "evaluate", run, "accuracy of a model, or of several that vote, on a labeled list", EVALUATE
    )
    parser.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="model directory, name, or hf-hub:ORG/NAME; several vote together, as do the networks of a run's folder",
    )
    parser.add_argument(
        "--data",
        required=True,
        metavar="LIST|DIR",
        help="labeled list: CSV with the header path,label; or a folder of class folders, where others are left out "
        "(required)",
    )
    add_root(parser)
    parser.add_argument(
        "--test-clips", type=whole(1), metavar="N", help="clips of a video (default: as many as the model asks for)"
    )
    parser.add_argument(
        "--test-crops", type=int, choices=[1, 3], help="crops of a clip (default: as many as the model asks for)"
    )
    add_computing(parser)
    parser.add_argument(
        "--strict",
        action="store_true",
        help="stop at a video that cannot be read (default: report it and count it as wrong)",
    )
    written = parser.add_mutually_exclusive_group()
    written.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="DIR",
        help="folder of the report (default: evaluations/MODEL-on-LIST in this folder)",
    )
    written.add_argument(
        "--json", type=Path, metavar="FILE", help="write the scores to this file and no report (default: a report)"
    )
    parser.add_argument(
        "--card",
        action="store_true",
        help="also add the scores to the model's card, README.md in its directory (default: leave it as it is)",
    )


def run(args: argparse.Namespace) -> int:
    if args.card and not (len(args.models) == 1 and Path(args.models[0], "README.md").is_file()):
        raise ValueError(
            f"--card is for one model directory with a README.md; {' '.join(args.models)} is none, leave --card out"
        )
    folder = args.output or default_folder(args.models, args.data)
    if str(args.json) == "-":
        raise ValueError("--json -: scores go to a file; give its name, or leave --json out to see them")
    if args.json:
        check_output(str(args.json), args.data, option="--json")
        check_writable(args.json, f"--json {args.json}")
    else:
        if any((folder / name).exists() for name in ("config.yaml", "summary.json")):
            raise ValueError(f"--output {folder}: holds a run, whose report would be replaced; give another folder")
        check_evaluation_folder(folder, args.data)

    from cmpl_zoo.distributed import Ranks, device_errors_explained, set_up_device
    from cmpl_zoo.evaluation import check_alike, check_finite, evaluate_ensembles, labeled_videos
    from cmpl_zoo.hub.cards import add_scores
    from cmpl_zoo.models import create_model
    from cmpl_zoo.models.labels import label_names
    from cmpl_zoo.prediction.loading import networks_of
    from cmpl_zoo.report.evaluation_report import write_evaluation, write_scores
    from cmpl_zoo.training.lists import check_some_readable
    from cmpl_zoo.training.provenance import hardware, versions

    try:
        with device_errors_explained():
            device = set_up_device(args.device)
            names = [network for name in args.models for network in networks_of(name)]
            models = [create_model(name, pretrained=True).to(device) for name in names]
            for model in models:
                model.clip["clips"] = args.test_clips or model.clip["clips"]
                model.clip["crops"] = args.test_crops or model.clip["crops"]
            check_alike(names, models)
            videos = labeled_videos(args.data, args.root, label_names(models[0]))
            check_some_readable(videos.paths, args.data, "--data and --root")
            began = time.perf_counter()
            [found] = evaluate_ensembles(
                [models],
                videos,
                workers=reading_workers(args),
                batch_size=args.batch_size,
                precision=args.precision,
                strict=args.strict,
            )
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped; nothing is written") from None
    check_finite(found, videos)
    seconds, scores = time.perf_counter() - began, found.scores
    print(as_table(scores))
    if args.json:
        write_scores(args.json, names, args.data, scores)
    if args.card:
        add_scores(args.models[0], scores, args.data)
    if not args.json:
        views = scores["videos"] * scores["clips"] * scores["crops"]
        machine = {
            "hardware": hardware(args.precision, device, Ranks()),
            "versions": versions(),
            "time": f"{seconds:.0f} s, {views / seconds:.1f} views a second",
        }
        words = command_of(args)
        classes = label_names(models[0])
        print(write_evaluation(folder, names, args.data, videos, classes, found, words, machine))
    return 0


def check_evaluation_folder(folder: Path, data: str) -> None:
    """Raise ValueError where the files of an evaluation cannot be written, or would replace others."""
    from cmpl_zoo.report.evaluation_report import FILES

    for name in FILES:
        check_output(str(folder / name), data, what="this is the list that is read", option="--output")
        check_writable(file := folder / name, f"--output {file}")
    report, predictions, _ = (folder / name for name in FILES)
    if predictions.exists() and not report.exists():
        raise ValueError(f"{predictions}: is of no evaluation, and is kept; give --output another folder")


def default_folder(models: Sequence[str], data: str) -> Path:
    """Where an evaluation goes: evaluations/mine-primary-on-val, for runs/mine/primary on lists/val.csv."""
    names = []
    for model in models:
        parts = (Path(model).resolve() if Path(model).exists() else Path(model.removeprefix("hf-hub:"))).parts
        names.append("-".join(parts[-2:] if len(parts) > 1 else parts))
    place = Path(data).resolve()
    data_name = place.name if place.is_dir() else place.stem
    networks, videos = (re.sub(r"[^\w.+-]+", "-", name) for name in ("+".join(names), data_name))
    if len(networks) > 100:
        networks = f"{networks[:91]}-{hashlib.sha256(networks.encode()).hexdigest()[:8]}"
    return Path("evaluations", f"{networks}-on-{videos[:100]}")


def command_of(args: argparse.Namespace) -> list[str]:
    """The command line, with the options that have another value than their default."""
    words = ["cmpl-zoo", "evaluate", *args.models]
    for name in ("data", "root", "test_clips", "test_crops", "device", "precision", "output"):
        if (value := getattr(args, name)) != args.parser.get_default(name):
            words += [flag(name), str(value)]
    return words


def as_table(scores: "Scores") -> str:
    """The scores for a reader, with the protocol they were measured by."""
    from cmpl_zoo.records import clip_tops, video_tops, views_text
    from cmpl_zoo.report.intervals import top1_interval

    def cells(accuracies: Iterable[float]) -> str:
        return "".join(f"{accuracy:8.2f}" for accuracy in accuracies)

    low, high = top1_interval(scores)
    rows = [
        (f"video, {views_text(scores)}", cells(video_tops(scores).values())),
        ("  95 % interval of top-1", f"   {low:.1f} to {high:.1f}"),
        ("video, single view", cells(clip_tops(scores).values())),
        ("always the largest class", cells([scores["largest_class"]])),
        *((f"  {name}", cells([accuracy])) for name, accuracy in scores["per_class"].items()),
    ]
    unreadable = f", {scores['unreadable']} unreadable (wrong)" if scores["unreadable"] else ""
    width = max(len(name) for name, _ in rows)
    head = "".join(f"{f'top-{k}':>8}" for k in video_tops(scores))
    lines = [f"{scores['videos']} videos{unreadable}".ljust(width) + head]
    return "\n".join(lines + [name.ljust(width) + numbers for name, numbers in rows])
