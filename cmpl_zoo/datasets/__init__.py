"""Data for training and evaluation: lists of videos, classes, splits, views, and batches of clips."""

from cmpl_zoo.datasets.classes import class_ids, class_names
from cmpl_zoo.datasets.evaluation_batches import EvaluationBatches
from cmpl_zoo.datasets.lists import ListError, VideoList, Videos, check_disjoint, read_list
from cmpl_zoo.datasets.loader import iterate
from cmpl_zoo.datasets.splits import split_list, write_split
from cmpl_zoo.datasets.training_steps import TrainingClip, TrainingSteps
from cmpl_zoo.datasets.views import StrongView, WeakView
from cmpl_zoo.datasets.watchdog import WorkerError

__all__ = [
    "EvaluationBatches",
    "ListError",
    "StrongView",
    "TrainingClip",
    "TrainingSteps",
    "VideoList",
    "Videos",
    "WeakView",
    "WorkerError",
    "check_disjoint",
    "class_ids",
    "class_names",
    "iterate",
    "read_list",
    "split_list",
    "write_split",
]
