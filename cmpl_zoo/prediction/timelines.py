"""Long recordings: what classes a model sees in each window, and the bouts of one class that the windows make."""

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby, islice, pairwise, takewhile
from operator import itemgetter
from statistics import fmean
from threading import Event

import torch
from torch import nn

from cmpl_zoo.datasets.loader import cores_beside
from cmpl_zoo.models.labels import UNCERTAIN
from cmpl_zoo.precision import Precision
from cmpl_zoo.prediction.ensemble import Ensemble, RankedClasses, label_of, warn_of_rate
from cmpl_zoo.video.video import Video
from cmpl_zoo.video.windows import WindowClips, read_windows


@dataclass(frozen=True)
class Window:
    """What the models see in a window of a recording.

    Attributes:
        video: path of the recording, without a segment.
        start: seconds from its first frame, included.
        end: likewise, not included.
        label: the most probable class, or "uncertain".
        probability: of the most probable class, in [0, 1].
        classes: (class name, probability in [0, 1]) pairs of all classes, most probable first.
    """

    video: str
    start: float
    end: float
    label: str
    probability: float
    classes: RankedClasses


@dataclass(frozen=True)
class Bout:
    """A part of a recording with one label.

    Attributes:
        video: path of the recording.
        label: a class name.
        start: seconds from the first frame, included.
        end: likewise, not included.
        probability: of the label, the mean over the windows of the bout.
    """

    video: str
    label: str
    start: float
    end: float
    probability: float


def timeline(
    model: nn.Module | Sequence[nn.Module],
    path: str | os.PathLike[str],
    window: float,
    hop: float | None = None,
    *,
    min_probability: float = 0,
    batch_size: int = 16,
    precision: Precision = "float32",
) -> Iterator[Window]:
    """The classes of each window of a long recording, in order, as they are computed.

    A model sees one clip of each window, from its middle or spread over it as `model.clip` says, and the center of the
    picture: what `predict` gives of the segment `PATH#t=START,END` with one clip and one crop. The recording is decoded
    once, in a thread of its own, in memory that does not grow with its length (see `video/windows.py`).

    Args:
        model: as in `predict`.
        path: video file, or a segment of one.
        window: length of a window in seconds, above 0. The last one is the rest of the recording; there is
            none where that is less than half a window.
        hop: from the start of a window to that of the next in seconds, above 0; None for `window`.
        min_probability: below it, the label of a window is "uncertain".
        batch_size: windows that go through a model at a time.
        precision: as in `predict`.

    Raises:
        VideoError: nothing of the file can be decoded, or it has no frame rate, as a folder of pictures.
        RuntimeError, ValueError, StorageError: as `predict`, or a number is out of range.
    """
    hop = window if hop is None else hop
    if not (0 < window < math.inf and 0 < hop < math.inf):
        raise ValueError(f"window and hop must be numbers of seconds above 0, not {window} and {hop}")
    ensemble = Ensemble(model, batch_size=batch_size, precision=precision)
    return _timeline(ensemble, path, window, hop, min_probability)


def _timeline(
    ensemble: Ensemble, path: str | os.PathLike[str], window: float, hop: float, min_probability: float
) -> Iterator[Window]:
    with Video(path) as video:
        for one in ensemble.models:
            warn_of_rate(one, video.path, video.fps)
        windows = read_windows(video, window, hop, ensemble.settings)
        for batch in _batches_ahead(windows, ensemble.batch_size):
            with cores_beside(1):  # the thread that decodes
                views = [torch.stack(clips)[:, None] for clips in zip(*(one.clips for one in batch), strict=True)]
                per_window = ensemble.probabilities(views)
            for found, per_class in zip(batch, per_window, strict=True):
                classes = ensemble.ranked(video.path, per_class)
                chosen, best = label_of(classes, min_probability), classes[0][1]
                yield Window(video.file, found.start, found.end, chosen, best, classes)


def bouts(windows: Iterable[Window], shortest: float = 0) -> Iterator[Bout]:
    """The bouts of each recording, in order: neighboring windows of one label, joined.

    Two neighbors of different labels meet midway between the end of one and the start of the other, whether they
    overlap or leave a gap. Uncertain windows are in no bout.

    Args:
        windows: of `timeline`, of one recording or of several, one after the other; of one segment of a recording.
        shortest: seconds; shorter bouts are left out, and then two of one label with less between them are joined.
    """
    seen = ((window.video, window.label, window.start, window.end, window.probability) for window in windows)
    for video, of_video in groupby(seen, itemgetter(0)):
        runs: list[_Run] = []
        for label, of_label in groupby(of_video, itemgetter(1)):
            _, _, starts, ends, probabilities = zip(*of_label, strict=True)
            runs.append(_Run(label, starts[0], ends[-1], list(probabilities)))
        for one, other in pairwise(runs):
            one.end = other.start = (one.end + other.start) / 2
        kept: list[_Run] = []
        for run in runs:
            if run.label == UNCERTAIN or run.end - run.start < shortest:
                continue
            if kept and kept[-1].label == run.label and run.start - kept[-1].end < shortest:
                kept[-1].end = run.end
                kept[-1].probabilities += run.probabilities
            else:
                kept.append(run)
        for run in kept:
            yield Bout(video, run.label, run.start, run.end, fmean(run.probabilities))


@dataclass
class _Run:
    """Neighboring windows of one label; attributes as of `Bout`, with the probability of each window."""

    label: str
    start: float
    end: float
    probabilities: list[float]


def _batches_ahead(windows: Iterator[WindowClips], size: int) -> Iterator[list[WindowClips]]:
    """The windows in batches, of which a thread reads the next one while the caller uses the last."""
    stopped = Event()
    wanted = takewhile(lambda _: not stopped.is_set(), windows)

    def read() -> list[WindowClips]:
        return list(islice(wanted, size))

    with ThreadPoolExecutor(1) as pool:
        try:
            coming = pool.submit(read)
            while batch := coming.result():
                coming = pool.submit(read)
                yield batch
        finally:
            stopped.set()  # as for Ctrl-C
