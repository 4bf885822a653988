"""Top-1 and top-5 accuracy of a model, or of several together, on a labeled list of videos.

python train/evaluate.py --model DIR_OR_NAME --data test.csv --root DIR --clips 10 --crops 3
python train/evaluate.py --model RUN/primary RUN/auxiliary --data test.csv --root DIR    # their mean probabilities
"""

import argparse
import errno
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from networks import pick_device
from ranks import Ranks
from torch import Tensor, nn
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix
from tqdm import tqdm

import cmpl_zoo
from cmpl_zoo.card import add_scores, views_of
from cmpl_zoo.data import (
    EvaluationBatches,
    ManifestError,
    VideoError,
    Videos,
    class_ids,
    iterate,
    normalize,
    read_list,
    resolve_data_config,
)
from cmpl_zoo.data.files import half_of, replace_text
from cmpl_zoo.predict import label_names


@torch.inference_mode()
def evaluate(
    ensembles: Sequence[Sequence[nn.Module]],
    videos: Videos,
    device: torch.device,
    workers: int,
    strict: bool = False,
    ranks: Ranks | None = None,
) -> list[dict[str, Any]]:
    """Accuracy in percent, of single views ("clip") and of videos (softmax averaged over the views), of each ensemble.

    Views are those of `model.clip`. The models of an ensemble vote by the mean of their softmax, each on views of its
    own stride. A video is read once for all models of a stride. Every layer of the models keeps the mode it was in.

    Args:
        ensembles: each one model or several, on the device; all of the same classes and with as many views of a video.
        videos: paths and class ids.
        device: where the models are.
        workers: processes that read videos.
        strict: refuse a list with a video that cannot be read, instead of counting it as wrong.
        ranks: that share the videos, each some of them; all get the same result.

    Returns:
        Of each ensemble `videos`, how many of them are `unreadable`, `largest_class`, what naming the most frequent
        class alone would give, `clips`, `crops`, `clip_top1`, `video_top1`, `clip_top5` and `video_top5` where there
        are more than five classes, `per_class`, the video top-1 of each class that occurs, and `confusion`, how many
        readable videos of each class (row) were taken for each (column).

    Raises:
        VideoError: a video cannot be read, and `strict`; or none can.
        StorageError: the shards that the videos are in cannot be read.
        WorkerError: a worker process died or hangs.
    """
    every, ranks = videos, ranks or Ranks()
    videos = Videos(every.paths[ranks.rank :: ranks.size], every.ids[ranks.rank :: ranks.size])
    models = list(dict.fromkeys(model for ensemble in ensembles for model in ensemble))
    settings = [resolve_data_config(model) for model in models]
    colors = [(of_model.pop("mean"), of_model.pop("std")) for of_model in settings]
    distinct = [of_model for number, of_model in enumerate(settings) if of_model not in settings[:number]]
    slots = [distinct.index(of_model) for of_model in settings]  # views that models have in common are read once
    accuracies = [Accuracy(models[0].num_classes) for _ in ensembles]

    training = {module: module.training for model in models for module in model.modules()}  # some may be frozen
    for model in models:
        model.eval()
    batches = EvaluationBatches(videos, distinct)
    loaded = iterate(batches, device, workers)
    unreadable: list[str] = []
    for views, ids, failed in tqdm(loaded, total=len(batches), desc="evaluate", disable=not ranks.first, leave=False):
        if strict and failed:
            raise VideoError(failed[0][1])
        for _, message in failed:
            tqdm.write(f"counted as wrong: {message}", file=sys.stderr)
            unreadable.append(message)
        if not len(ids):
            continue
        of_models = {
            model: probabilities(model, views[slot], *color)
            for model, slot, color in zip(models, slots, colors, strict=True)
        }
        for ensemble, accuracy in zip(ensembles, accuracies, strict=True):
            accuracy.update(torch.stack([of_models[model] for model in ensemble]).mean(dim=0).cpu(), ids.cpu())
    for module, mode in training.items():
        module.training = mode

    unreadable = [message for of_rank in ranks.gather(unreadable) for message in of_rank]
    if len(unreadable) == len(every):
        raise VideoError(f"none of the {len(every)} videos can be read; the first: {unreadable[0]}")
    views_of_video = {views: settings[0][views] for views in ("clips", "crops")}
    names = label_names(models[0])
    return [views_of_video | accuracy.compute(every.ids, names) for accuracy in accuracies]


class Accuracy:
    """Of one ensemble, as far as it has come.

    Args:
        classes: their number.
    """

    def __init__(self, classes: int) -> None:
        tops = (1, 5) if classes > 5 else (1,)
        shares = {f"top{k}": MulticlassAccuracy(classes, top_k=k, average="micro") for k in tops}
        # Metrics that agree on the first videos are not yet the same one.
        self.of_clips = MetricCollection(shares, prefix="clip_", compute_groups=False)
        self.of_videos = self.of_clips.clone(prefix="video_")
        self.confusion = MulticlassConfusionMatrix(classes)

    def update(self, probabilities: Tensor, ids: Tensor) -> None:
        """Take in what is said of some videos, (videos, views, classes), and their class ids, (videos,)."""
        self.of_clips.update(probabilities.flatten(0, 1), ids.repeat_interleave(probabilities.shape[1]))
        of_videos = probabilities.mean(dim=1)
        self.of_videos.update(of_videos, ids)
        self.confusion.update(of_videos, ids)

    def compute(self, ids: Sequence[int] | np.ndarray, names: Sequence[str]) -> dict[str, Any]:
        """What `evaluate` tells of all videos, whose class ids these are: what no rank has taken in is wrong."""
        table = self.confusion.compute()  # torchmetrics adds up what the ranks have counted
        readable = int(table.sum())
        of_class = np.bincount(ids)
        shares = self.of_clips.compute() | self.of_videos.compute()
        return {
            "videos": len(ids),
            "unreadable": len(ids) - readable,
            "largest_class": 100 * int(of_class.max()) / len(ids),
            **{name: 100 * float(share) * readable / len(ids) for name, share in shares.items()},
            "per_class": {names[i]: 100 * int(table[i, i]) / int(of_class[i]) for i in np.flatnonzero(of_class)},
            "confusion": table.tolist(),
        }


def probabilities(model: nn.Module, views: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Of all classes, (videos, views, classes), for uint8 views (videos, views, 3, T, H, W)."""
    return model(normalize(views.flatten(0, 1), mean, std)).float().softmax(dim=1).unflatten(0, views.shape[:2])


def check_alike(names: Sequence[str], models: Sequence[nn.Module]) -> None:
    """Raise ValueError where models cannot vote together."""
    for name, model in zip(names, models, strict=True):
        if label_names(model) != label_names(models[0]):
            raise ValueError(
                f"{name}: knows other classes than {names[0]}, and so cannot vote with it; give networks of one run"
            )
        for views in ("clips", "crops"):
            if model.clip[views] != models[0].clip[views]:
                raise ValueError(
                    f"{name}: is tested on {model.clip[views]} {views} and {names[0]} on {models[0].clip[views]}; "
                    f"give --{views} to test both alike"
                )


def as_table(scores: dict[str, Any]) -> str:
    """The scores for a reader, with the protocol they were measured by."""
    tops = [k for k in (1, 5) if f"video_top{k}" in scores]
    rows = [
        (f"video, {views_of(scores)}", "".join(f"{scores[f'video_top{k}']:8.2f}" for k in tops)),
        ("video, single view", "".join(f"{scores[f'clip_top{k}']:8.2f}" for k in tops)),
        ("always the largest class", f"{scores['largest_class']:8.2f}"),
        *((f"  {name}", f"{accuracy:8.2f}") for name, accuracy in scores["per_class"].items()),
    ]
    unreadable = f", {scores['unreadable']} unreadable (wrong)" if scores["unreadable"] else ""
    width = max(len(name) for name, _ in rows)
    header = f"{scores['videos']} videos{unreadable}".ljust(width) + "".join(f"{f'top-{k}':>8}" for k in tops)
    lines = [header, *(name.ljust(width) + numbers for name, numbers in rows)]
    return "\n".join(lines)


def check_target(file: Path) -> None:
    """Raise ValueError where a file cannot be written, before the evaluation has cost anything."""
    try:
        if file.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        if not file.parent.exists():
            file.parent.mkdir(parents=True)
        half_of(file).touch()
        half_of(file).unlink()
    except OSError as error:
        raise ValueError(f"--json {file} cannot be written ({error.strerror}); give another file") from error


def main() -> int:
    parser = argparse.ArgumentParser(prog="evaluate.py", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--model", required=True, nargs="+", help="model directory, name, or hf-hub:ORG/NAME; several vote"
    )
    parser.add_argument("--data", required=True, help="CSV list, header path,label")
    parser.add_argument("--root", default=".", help="folder that the paths are relative to")
    parser.add_argument("--clips", type=int, help="clips of a video; by default as the model asks")
    parser.add_argument("--crops", type=int, choices=[1, 3], help="crops of a clip; by default as the model asks")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda", "mps"])
    parser.add_argument("--workers", type=int, default=2, help="processes that read videos")
    parser.add_argument("--strict", action="store_true", help="refuse a list with a video that cannot be read")
    parser.add_argument("--json", type=Path, help="write the scores there, too")
    parser.add_argument("--card", action="store_true", help="tell them in the model's card, README.md of its directory")
    args = parser.parse_args()
    if args.clips is not None and args.clips < 1:
        parser.error(f"--clips must be at least 1, not {args.clips}")
    if args.workers < 0:
        parser.error(f"--workers must not be negative, and is {args.workers}")
    if args.card and not (len(args.model) == 1 and Path(args.model[0], "README.md").is_file()):
        parser.error(f"--card is for one model directory with a README.md; {' '.join(args.model)} is none")
    try:
        if args.json:
            check_target(args.json)
        device = pick_device(args.device)
        models = [cmpl_zoo.create_model(name, pretrained=True).to(device) for name in args.model]
        for model in models:
            model.clip |= {key: getattr(args, key) for key in ("clips", "crops") if getattr(args, key) is not None}
        check_alike(args.model, models)
        manifest = read_list(args.data, args.root)
        videos = Videos(manifest.paths, class_ids(manifest, label_names(models[0])))
        [scores] = evaluate([models], videos, device, args.workers, strict=args.strict)
        print(as_table(scores))
        if args.json:
            replace_text(args.json, json.dumps({"model": args.model, "data": args.data, **scores}, indent=2) + "\n")
        if args.card:
            add_scores(args.model[0], scores, args.data)
    except (ManifestError, VideoError, ValueError, RuntimeError, OSError) as error:
        print(f"evaluate.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("evaluate.py: stopped; nothing is written", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
