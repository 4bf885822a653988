"""Cross-Model Pseudo-Labeling: train two networks that label unlabeled videos for each other.

python train/cmpl.py --config demo --labeled a.csv --unlabeled b.csv --val c.csv --root DIR --output runs/NAME

The same as `cmpl-zoo train`, for torchrun and SLURM. The method is in cmpl_zoo/training/cmpl.py.
"""

import sys

from cmpl_zoo_cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
