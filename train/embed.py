"""Put a trained model into the package as weights that need no network, in half precision.

python train/embed.py runs/NAME/primary r3d50_eighth.cmpl_demo

Needs a model directory as train/cmpl.py writes it. Yields cmpl_zoo/models/weights/NAME, which
cmpl_zoo.create_model loads by that name; the run's model card comes along.
"""

import argparse
from pathlib import Path

import cmpl_zoo
from cmpl_zoo import hub
from cmpl_zoo.card import PLACE
from cmpl_zoo.predict import label_names

WEIGHTS = Path(cmpl_zoo.__file__).parent / "models" / "weights"


def main() -> None:
    parser = argparse.ArgumentParser(prog="embed.py", description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="model directory")
    parser.add_argument("name", help="architecture and tag")
    args = parser.parse_args()
    model = cmpl_zoo.create_model(args.model).half()  # batch norm's counters stay whole numbers
    folder = hub.save(model, WEIGHTS / args.name, label_names(model))
    card = (args.model / "README.md").read_text(encoding="utf-8")
    (folder / "README.md").write_text(card.replace(PLACE, args.name), encoding="utf-8")
    print(folder)


if __name__ == "__main__":
    main()
