"""Linear probes on real footage: the networks that exist here, few labels and all of them.

python experiments/probe.py --data SHARED_DATA --work DIR    # writes experiments/results/probe.json, a few minutes

`fights` is split by source, as in the table of one's own videos, with the same seeds and two more. Of
`ut_interaction` the first scene is learned from and the second tested on, without the clips of no class. Features are
kept in DIR.
"""

import argparse
import csv
import json
import random
import statistics
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch
from pages import mean_and_spread

import cmpl_zoo
from cmpl_zoo._files import as_csv, replace_text
from cmpl_zoo.datasets import VideoList, read_list, split_list
from cmpl_zoo.features import Features, extract_features
from cmpl_zoo.linear_probe import fit_probe, probe_accuracy

RESULT = Path(__file__).parent / "results" / "probe.json"
MOCAP13 = str(Path(__file__).parents[1] / "model_cards" / "r3d50_quarter.cmpl_mocap13")
SEEDS = range(4, 9)
GROUPS = {"fights": "source", "ut_interaction": "group"}


def random_network(folder: Path) -> str:
    """A directory of an untrained network, which sees 8 frames of 64 pixels spread over the video."""
    torch.manual_seed(0)
    clip = {"frames": 8, "spread": True, "clips": 1, "crops": 1}
    network = cmpl_zoo.create_model("r3d50_quarter", num_classes=1, clip=clip,
                                    pretrained_cfg_overlay={"input_size": (3, 64, 64)})  # fmt: skip
    return str(cmpl_zoo.save(network, folder, ["none"]))


def part(features: Features, indices: Iterable[int]) -> Features:
    """The features of some of the videos."""
    chosen = list(indices)
    columns = {name: [values[index] for index in chosen] for name, values in features.columns.items()}
    paths, labels = ([values[index] for index in chosen] for values in (features.paths, features.labels))
    return replace(features, features=features.features[chosen], paths=paths, labels=labels, columns=columns)


def split(data: str, videos: VideoList, labels: int | None, seed: int) -> tuple[list[int], list[int]]:
    """Indices of the videos to learn from and of those to test on."""
    if data == "fights":
        drawn = split_list(videos, labels, seed, val=0.35, group="source")
        return drawn["labeled"], drawn["val"]
    first, second = ([i for i, row in enumerate(videos.rows) if row["group"].startswith(scene)]
                     for scene in ("set1", "set2"))  # fmt: skip
    learned = []
    for label in sorted({videos.rows[i]["label"] for i in first}):
        of_class = [i for i in first if videos.rows[i]["label"] == label]
        learned += random.Random(f"{seed}/{label}").sample(of_class, labels or len(of_class))
    return learned, second


def main() -> None:
    parser = argparse.ArgumentParser(prog="probe.py", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="holds fights/ and ut_interaction/")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="folder for features")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    networks = {"r3d50_eighth.cmpl_demo": "r3d50_eighth.cmpl_demo", "r3d50_quarter.cmpl_mocap13": MOCAP13,
                "r3d50_quarter, untrained": random_network(args.work / "untrained")}  # fmt: skip
    rows = []
    for data, group in GROUPS.items():
        file, root = args.work / f"{data}.csv", args.data / data
        with (root / "videos.csv").open(newline="") as lines:
            kept = [row for row in csv.DictReader(lines) if row["label"] != "other"]
        replace_text(file, as_csv(kept, list(kept[0])))
        videos = read_list(file, root)
        for name, place in networks.items():
            network = cmpl_zoo.create_model(place, pretrained=True)
            target = args.work / f"{data}.{Path(place).name}.npz"
            features = extract_features(network, place, videos, root, target)
            whole = fit_probe(features, group)
            found = [str(len(whole.accuracies)), mean_and_spread(whole.accuracies), f"{whole.largest_class:.1f}"]
            rows.append([data, f"`{name}`", f"{whole.videos}", "held-out groups, 5 folds", *found])
            for labels in (None, 10, 5):
                if data == "ut_interaction" and labels == 10:
                    continue  # all there are
                sizes, accuracies, largest = set(), [], []
                for seed in SEEDS if data == "fights" or labels else SEEDS[:1]:
                    fitted, test = split(data, videos, labels, seed)
                    accuracy, largest_class = probe_accuracy(fit_probe(part(features, fitted)), part(features, test))
                    sizes.add(len(fitted))
                    accuracies.append(accuracy)
                    largest.append(largest_class)
                count = " to ".join(map(str, sorted({min(sizes), max(sizes)})))
                how = "held-out sources" if data == "fights" else "the second scene"
                found = [str(len(accuracies)), mean_and_spread(accuracies), f"{statistics.mean(largest):.1f}"]
                rows.append([data, f"`{name}`", count, how, *found])
    columns = ["videos", "features of", "labeled videos", "tested on", "draws or folds", "top-1, %", "largest class, %"]
    caption = "Mean ± standard deviation over folds or draws; the network's own test views, features in float32."
    replace_text(RESULT, json.dumps({"caption": caption, "columns": columns, "rows": rows}, indent=1) + "\n")
    print(RESULT)


if __name__ == "__main__":
    main()
