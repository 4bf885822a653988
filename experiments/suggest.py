"""What to label next: labels that two networks suggest against labels drawn at random, equally many.

python experiments/suggest.py lips --data SHARED_DATA --work DIR    # ten seeds; or mocap13; resumable
python experiments/suggest.py lips --data SHARED_DATA --work DIR --choose    # all rules, on seeds that no table uses

A seed draws five labels a class and, of `lips`, the speakers to test on. Two networks learn from these labels and from
the rest without labels. Then as many labels again are taken from the rest, at random or by a rule that looks at what
the two networks say, and two networks learn from all of them, from the start and for as many steps. A finished run is
a line in experiments/results/ and is not repeated.
"""

import argparse
import json
import random
from pathlib import Path
from typing import Any

import torch
from commands import words_of
from lists import cut, decode_once, with_recordings, write_rows
from results import RESULTS, Result, ResultsWriter, facts_of, read_results
from torch import Tensor

import cmpl_zoo
from cmpl_zoo.datasets import read_list, split_list
from cmpl_zoo.models.labels import label_names
from cmpl_zoo.suggestions import disagreement, spread
from cmpl_zoo_cli.main import main as command

LABELS = 5  # a class, at first
POOL = 800  # videos of mocap13 that are learned from, as many as of lips, so that a run takes a minute
SEEDS, SEEDS_OF_CHOICE = range(10), range(100, 102)
GROUP = {"lips": "group", "mocap13": "recording"}  # the column that says what a video is taken from
FRAMES = {"lips": (40, 1.0), "mocap13": (40, 0.75)}  # short side in pixels, and share of the frame that is kept
FIRST, AT_RANDOM, CHOSEN = f"{LABELS} labels a class", "more at random", "more by disagreement, spread"

# As own_videos but for random weights, at a rate for these, and what makes a run take a minute on a core. The weights
# of mocap13 have seen the labels that are to be suggested, and those of the demo know some of its actions.
OPTIONS: dict[str, Any] = {"config": "own_videos", "init": None, "auxiliary_init": None, "subtract_mean_frame": True,
                           "size": 32, "short_side": [34, 40], "test_clips": 1, "lr": 0.1, "log_every": 50}  # fmt: skip
LENGTH: dict[str, dict[str, Any]] = {
    "lips": {"steps": 250, "unlabeled_warmup": 250, "unlabeled_batch": 8},
    "mocap13": {"steps": 200, "unlabeled_warmup": 200, "unlabeled_batch": 4},
}

Rows = list[dict[str, str]]


def main() -> None:
    parser = argparse.ArgumentParser(prog="suggest.py", description=__doc__.splitlines()[0])
    parser.add_argument("videos", choices=list(GROUP))
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="holds lips/ and mocap13/")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="folder for frames, lists and runs")
    parser.add_argument("--choose", action="store_true", help="compare all rules, on seeds that no table uses")
    args = parser.parse_args()
    torch.set_num_threads(1)
    data, work = args.videos, args.work.resolve()
    frames = decoded(data, args.data.resolve() / data, work)
    target = RESULTS / f"suggest-{data}{'-choice' if args.choose else ''}.jsonl"
    finished = {(result["row"], result["seed"]) for result in read_results(target)}
    measured = {"measured_on": "validation" if args.choose else "test"}
    with ResultsWriter(target) as writer:
        for seed in SEEDS_OF_CHOICE if args.choose else SEEDS:
            parts = split(data, seed, frames, work / "lists", test=not args.choose)
            first = work / f"{data}-seed{seed}" / "first"
            rows = [AT_RANDOM, CHOSEN, *(rule for rule in RULES if args.choose and rule != CHOSEN)]
            waiting = [row for row in rows if (row, seed) not in finished]
            if (FIRST, seed) not in finished:
                writer.add(run(data, FIRST, seed, parts, frames, first) | measured)
            if not waiting:
                continue
            picked = suggested(data, seed, parts["unlabeled"], frames, first)
            for row in waiting:
                more = picked[row]
                rest = [video for video in parts["unlabeled"] if video not in more]
                lists = {"labeled": parts["labeled"] + more, "unlabeled": rest, "val": parts["val"]}
                folder = first.with_name(row.replace(",", "").replace(" ", "-"))
                writer.add(run(data, row, seed, lists, frames, folder) | measured)


def decoded(data: str, source: Path, work: Path) -> Path:
    """The folder of the decoded frames of the videos, with their lists."""
    folder = work / data
    for name in ("words_train.csv",) if data == "lips" else ("train.csv", "test.csv"):
        if not (folder / name).exists():
            decode_once(source / name, folder, *FRAMES[data])
    return folder


def split(data: str, seed: int, frames: Path, lists: Path, *, test: bool) -> dict[str, Rows]:
    """The videos that a seed learns from, `labeled` and `unlabeled`, and `val`, those to measure on.

    Args:
        data: the name of the videos.
        seed: of the draw.
        frames: see `decoded`.
        lists: folder for lists.
        test: of mocap13, measure on every third video of its test list, and not on recordings held out from the
            training list.
    """
    if data == "lips":
        videos = read_list(frames / "words_train.csv")
        drawn = split_list(videos, LABELS, seed, val=3 / 11, group="group")
        return {part: [videos.rows[i] for i in indices] for part, indices in drawn.items()}
    parts = cut(with_recordings(frames / "train.csv", lists), lists, "recording", 0.2)
    write_rows(pool := lists / "pool.csv", random.Random(seed).sample(read_list(parts["pool"]).rows, POOL))
    videos = read_list(pool)
    drawn = split_list(videos, LABELS, seed)
    held_out = read_list(frames / "test.csv").rows[::3] if test else read_list(parts["val"]).rows
    return {part: [videos.rows[i] for i in indices] for part, indices in drawn.items()} | {"val": held_out}


def suggested(data: str, seed: int, videos: Rows, frames: Path, first: Path) -> dict[str, Rows]:
    """The videos that each row labels next, given the networks of the first run."""
    models = [cmpl_zoo.create_model(first / role).eval() for role in ("primary", "auxiliary")]
    number = LABELS * len(label_names(models[0]))
    predictions = list(cmpl_zoo.predict(models, [frames / video["path"] for video in videos], topk=None, workers=0))
    names = sorted(name for name, _ in predictions[0].classes)
    per_model = torch.tensor(
        [[[dict(ranked)[name] for name in names] for ranked in one.per_model] for one in predictions]
    ).transpose(0, 1)
    draw = random.Random(seed)
    predicted = [one.classes[0][0] for one in predictions]
    recordings = [video[GROUP[data]] for video in videos]
    picked = {row: spread(score(per_model, draw), predicted, recordings, number) for row, score in RULES.items()}
    picked[AT_RANDOM] = draw.sample(range(len(videos)), number)
    return {row: [videos[i] for i in indices] for row, indices in picked.items()}


def margin(per_model: Tensor, draw: random.Random) -> list[float]:
    best = per_model.mean(dim=0).topk(2).values
    return (best[:, 1] - best[:, 0]).tolist()


# The score of each video, higher first, from probabilities (models, videos, classes).
RULES = {
    "more by disagreement, spread": lambda per_model, draw: disagreement(per_model).tolist(),
    "more by least margin, spread": margin,
    "more at random, spread": lambda per_model, draw: [draw.random() for _ in per_model[0]],
}


def run(data: str, row: str, seed: int, lists: dict[str, Rows], frames: Path, folder: Path) -> Result:
    """Train and measure; what is kept of it."""
    options = OPTIONS | LENGTH[data] | {"root": frames, "output": folder, "seed": seed, "resume": True}
    for part, videos in lists.items():
        write_rows(options.setdefault(part, folder.with_name(f"{folder.name}-{part}.csv")), videos)
    words = ["train", *words_of(options)]
    if command(words):
        raise SystemExit(f"{folder}: {' '.join(words)} failed; see above, and start again")
    summary = json.loads((folder / "summary.json").read_text())
    scores = summary["validation"]
    print(f"{row}, seed {seed}: {scores['primary']['video_top1']:.1f} %", flush=True)
    return {"setting": "cpu", "row": row, "seed": seed, "auxiliary_top1": scores["auxiliary"]["video_top1"],
            **facts_of(summary, scores["primary"])}  # fmt: skip


if __name__ == "__main__":
    main()
