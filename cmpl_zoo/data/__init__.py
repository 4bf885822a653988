"""Video in: decoding, clips, views, lists and data sets."""

from cmpl_zoo.data.classes import class_names
from cmpl_zoo.data.clip import load_clip, load_views, resolve_data_config
from cmpl_zoo.data.dataset import EvaluationBatches, TrainingSteps, Videos
from cmpl_zoo.data.loader import iterate
from cmpl_zoo.data.manifest import (
    Manifest,
    ManifestError,
    check_disjoint,
    class_ids,
    read_classes,
    read_list,
    split_list,
    write_split,
)
from cmpl_zoo.data.sampling import random_clips, uniform_clips
from cmpl_zoo.data.transforms import crop_views, normalize, strong_view, weak_view
from cmpl_zoo.data.video import Video, VideoError, VideoInfo, probe, read_frames

__all__ = [
    "EvaluationBatches",
    "Manifest",
    "ManifestError",
    "TrainingSteps",
    "Video",
    "VideoError",
    "VideoInfo",
    "Videos",
    "check_disjoint",
    "class_ids",
    "class_names",
    "crop_views",
    "iterate",
    "load_clip",
    "load_views",
    "normalize",
    "probe",
    "random_clips",
    "read_classes",
    "read_frames",
    "read_list",
    "resolve_data_config",
    "split_list",
    "strong_view",
    "uniform_clips",
    "weak_view",
    "write_split",
]
