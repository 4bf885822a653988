"""Video in: decoding, clips, views, lists and data sets."""

from cmpl_zoo.data.classes import class_names
from cmpl_zoo.data.clip import load_clip, load_views, resolve_data_config
from cmpl_zoo.data.dataset import EvaluationBatches, TrainingSteps, Videos
from cmpl_zoo.data.loader import WorkerError, iterate
from cmpl_zoo.data.manifest import (
    Manifest,
    ManifestError,
    check_disjoint,
    class_ids,
    read_list,
    split_list,
    write_split,
)
from cmpl_zoo.data.order import derived_seed
from cmpl_zoo.data.pack import write_shards
from cmpl_zoo.data.remote import StorageError
from cmpl_zoo.data.sampling import random_clips, uniform_clips, warped
from cmpl_zoo.data.transforms import StrongView, WeakView, crop_views, mix_clips, normalize
from cmpl_zoo.data.video import Video, VideoError, VideoInfo, probe, read_frames

__all__ = [
    "EvaluationBatches",
    "Manifest",
    "ManifestError",
    "StorageError",
    "StrongView",
    "TrainingSteps",
    "Video",
    "VideoError",
    "VideoInfo",
    "Videos",
    "WeakView",
    "WorkerError",
    "check_disjoint",
    "class_ids",
    "class_names",
    "crop_views",
    "derived_seed",
    "iterate",
    "load_clip",
    "load_views",
    "mix_clips",
    "normalize",
    "probe",
    "random_clips",
    "read_frames",
    "read_list",
    "resolve_data_config",
    "split_list",
    "uniform_clips",
    "warped",
    "write_shards",
    "write_split",
]
