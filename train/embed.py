"""Put a trained model into the package as weights that need no network, in half precision.

python train/embed.py runs/NAME primary runs/NAME/test.json r3d50_eighth.cmpl_demo

Needs a run of train/cmpl.py and what train/evaluate.py measured of one of its networks. Yields
cmpl_zoo/models/weights/NAME, which cmpl_zoo/models/r3d.py lists, with a model card that tells both.
"""

import argparse
import json
from pathlib import Path

import cmpl_zoo
from cmpl_zoo import hub
from cmpl_zoo.card import PLACE
from cmpl_zoo.predict import label_names

WEIGHTS = Path(cmpl_zoo.__file__).parent / "models" / "weights"


def main() -> None:
    parser = argparse.ArgumentParser(prog="embed.py", description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("role", choices=["primary", "auxiliary"], help="which network")
    parser.add_argument("scores", type=Path, help="what evaluate.py --json wrote of it")
    parser.add_argument("name", help="architecture and tag")
    args = parser.parse_args()
    scores = json.loads(args.scores.read_text())
    summary = json.loads((args.run / "summary.json").read_text())
    summary |= {"role": args.role, "validation": {args.role: scores | {"list": scores["data"]}}}
    model = cmpl_zoo.create_model(f"local-dir:{args.run / args.role}", pretrained=True).half()
    folder = hub.save(model, WEIGHTS / args.name, label_names(model), summary)
    card = folder / "README.md"
    card.write_text(card.read_text(encoding="utf-8").replace(PLACE, args.name), encoding="utf-8")
    print(folder)


if __name__ == "__main__":
    main()
