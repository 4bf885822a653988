"""Prediction: videos, streams and long recordings in, ranked classes out."""

from cmpl_zoo.prediction.ensemble import Ensemble, RankedClasses
from cmpl_zoo.prediction.streams import predict_stream
from cmpl_zoo.prediction.timelines import Bout, Window, bouts, timeline
from cmpl_zoo.prediction.videos import Prediction, predict

__all__ = [
    "Bout",
    "Ensemble",
    "Prediction",
    "RankedClasses",
    "Window",
    "bouts",
    "predict",
    "predict_stream",
    "timeline",
]
