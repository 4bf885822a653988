"""Put a trained model into this repository as weights that need no network, in half precision.

python train/embed.py runs/NAME primary runs/NAME/test.json r3d50_eighth.cmpl_demo
python train/embed.py runs/NAME primary runs/NAME/test.json r3d50_quarter.cmpl_mocap13 -o model_cards

Needs a run of `cmpl-zoo train` and what `cmpl-zoo evaluate` measured of one of its networks. Yields a model directory
with a card that tells both: in the package, where cmpl_zoo/models/r3d.py lists it, or elsewhere, where its license is
not the package's.
"""

import argparse
import json
from pathlib import Path

import cmpl_zoo
from cmpl_zoo.hub.cards import PLACE
from cmpl_zoo.models.labels import label_names

WEIGHTS = Path(cmpl_zoo.__file__).parent / "models" / "weights"


def main() -> None:
    parser = argparse.ArgumentParser(prog="embed.py", description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("role", choices=["primary", "auxiliary"], help="which network")
    parser.add_argument("scores", type=Path, help="what cmpl-zoo evaluate --json wrote of it")
    parser.add_argument("name", help="architecture and tag, such as r3d50_eighth.cmpl_demo")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=WEIGHTS,
        metavar="DIR",
        help="folder to make the model directory in (default: that of the package's weights)",
    )
    parser.add_argument(
        "--crop-pct",
        type=float,
        metavar="X",
        help="share of a frame's short side to test on, where training saw a part of it (default: as in training)",
    )
    args = parser.parse_args()
    scores = json.loads(args.scores.read_text())
    summary = json.loads((args.run / "summary.json").read_text())
    summary |= {"role": args.role, "validation": {args.role: scores | {"list": scores["data"]}}}
    model = cmpl_zoo.create_model(f"local-dir:{args.run / args.role}", pretrained=True).half()
    if args.crop_pct:
        model.pretrained_cfg["crop_pct"] = args.crop_pct
    folder = cmpl_zoo.save(model, args.output / args.name, label_names(model), summary)
    place = args.name if args.output == WEIGHTS else folder.as_posix()
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8").replace(PLACE, place)
    if args.crop_pct:
        seen = f"Training saw the middle of each frame alone: test views are of {args.crop_pct:.1%} of its short side."
        text = text.replace("## Limits\n", f"{seen}\n\n## Limits\n")
    card.write_text(text, encoding="utf-8")
    print(folder)


if __name__ == "__main__":
    main()
