"""Training: Cross-Model Pseudo-Labeling (`cmpl.py`), and what a run needs around it."""

from cmpl_zoo.training.cmpl import CMPL, train
from cmpl_zoo_cli.train_config import Config

__all__ = ["CMPL", "Config", "train"]
