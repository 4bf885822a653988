"""Pretraining: a network learns from videos without any label.

python train/pretrain.py --config moco --unlabeled videos.csv --root DIR --output runs/NAME

The same as `cmpl-zoo pretrain`, for torchrun and SLURM. The tasks are in cmpl_zoo/pretext/.
"""

import sys

from cmpl_zoo_cli.main import main

if __name__ == "__main__":
    sys.exit(main(["pretrain", *sys.argv[1:]]))
