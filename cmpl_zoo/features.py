"""The features of the videos of a list: what a network computes of each before its classifier, kept in a file."""

import base64
import hashlib
import json
import os
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, cast

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from cmpl_zoo._appended_lines import AppendedLines
from cmpl_zoo._files import atomic_write
from cmpl_zoo.datasets.evaluation_batches import EvaluationBatches, iterate_views
from cmpl_zoo.datasets.lists import VideoList, Videos
from cmpl_zoo.datasets.loader import cores_beside
from cmpl_zoo.models import VideoModel
from cmpl_zoo.models.video_model import evaluation_mode
from cmpl_zoo.precision import Precision, autocast
from cmpl_zoo.prediction.ensemble import of_views
from cmpl_zoo.storage.remote import is_url
from cmpl_zoo.video.clips import resolve_clip_config, view_config
from cmpl_zoo.video.errors import VideoError
from cmpl_zoo.video.segments import recording_of

_COLUMN = "column:"  # before the name of a column of the list, in the names of a file's arrays


class Source(TypedDict):
    """What features were made from.

    Attributes:
        model: its name, or the absolute path of its directory.
        weights: SHA-256 of everything that the features depend on in the model (see `weights_digest`).
        views: `resolve_clip_config` of the model: how clips are read and normalized.
        precision: of the computation.
        list: path of the list of videos, as it was given.
        list_digest: SHA-256 of the list's text.
        root: absolute path, or URL, of the folder that its paths are relative to.
    """

    model: str
    weights: str
    views: dict[str, Any]
    precision: str
    list: str
    list_digest: str
    root: str


@dataclass(frozen=True)
class Features:
    """The features of the readable videos of a list, in its order.

    Attributes:
        file: the file that holds them.
        features: float32 (videos, channels), the mean over a video's test views of the model's pooled features.
        paths: of the videos, as the list has them; of a segment with its fragment.
        labels: class names, "" where a video has none.
        columns: the other columns of the list by name, such as one to group by.
        unreadable: paths of the videos that are left out.
        source: what they were made from.
    """

    file: Path
    features: np.ndarray
    paths: list[str]
    labels: list[str]
    columns: dict[str, list[str]]
    unreadable: list[str]
    source: Source

    def __len__(self) -> int:
        return len(self.paths)

    def recording(self, index: int) -> str:
        """What a video is taken from: its value in the column `recording`, else its file."""
        return self.named_recording(index) or recording_of(self.paths[index])

    def named_recording(self, index: int) -> str:
        """The value of a video in the column `recording`; "" where it has none."""
        return self.columns["recording"][index] if "recording" in self.columns else ""


def extract_features(
    model: VideoModel,
    name: str,
    video_list: VideoList,
    root: str | os.PathLike[str],
    file: str | os.PathLike[str],
    *,
    workers: int = 2,
    batch_size: int = 32,
    precision: Precision = "float32",
) -> Features:
    """Compute the features of every video of a list into an .npz file, with a progress bar.

    What is computed is kept in `FILE.unfinished.jsonl` until all is: the same call continues after a kill. A file that
    is there already is returned as it is. Videos that cannot be read are reported and left out.

    Args:
        model: whose features; its layers keep the mode they are in.
        name: that `create_model` made the model from, also a directory.
        video_list: read with `root`; labels may be missing.
        root: folder, or shards, that its paths are relative to.
        file: to write.
        workers: processes that read videos.
        batch_size: views that go through the model at a time.
        precision: of the arithmetic; below float32 by autocast.

    Raises:
        ValueError: the model has no pooling; the file, or the unfinished one, is of other weights, views, precision or
            videos; a feature is not finite.
        VideoError: no video can be read.
        StorageError: the shards that the videos are in cannot be read.
        WorkerError: a worker process died or hangs.
        OSError: the file cannot be written, or another process is writing it.
    """
    file = Path(file)
    if not model.global_pool.pool_type:
        raise ValueError(f"{name}: its features are maps, as it has no pooling; give a model with global_pool 'avg'")
    source = _source(model, name, video_list, root, precision)
    if len(video_list.rows) != len(video_list):  # they are read now: meanwhile somebody may edit the list
        raise ValueError(f"{video_list.file}: was changed while it was read; repeat the same command")
    if file.is_dir():
        raise ValueError(f"{file}: is a folder, and features are one file; give another name, such as features.npz")
    if file.exists():
        found = read_features(file)
        _check_same(file, found.source, source)
        _unfinished_file(file).unlink(missing_ok=True)  # where a kill left both
        return found
    unfinished = _Unfinished(file, source)
    try:
        computed = _compute(model, video_list, len(unfinished.rows), workers, batch_size, precision)
        with tqdm(total=len(video_list), initial=len(unfinished.rows), unit="video", disable=None) as bar:
            for features in computed:
                unfinished.append(features)
                bar.update()
        written = _features(file, video_list, unfinished.rows, source)
        _write(written)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"stopped after {len(unfinished.rows)} of {len(video_list)} videos; the same command continues from there"
        ) from None
    finally:
        unfinished.close()
        if all(row is None for row in unfinished.rows):  # as with a wrong root, which the next call may mend
            unfinished.file.unlink()
    unfinished.file.unlink(missing_ok=True)  # Windows deletes no open file
    return written


def read_features(file: str | os.PathLike[str]) -> Features:
    """Read a file that `extract_features` wrote.

    Raises:
        ValueError: it is another file, or a damaged one, or a feature is not finite. No pickle is read.
        OSError: there is no such file, or it cannot be read.
    """
    file = Path(file)
    try:
        with file.open("rb") as opened:
            if not zipfile.is_zipfile(opened):  # numpy would take it for a pickle
                raise ValueError("it is no .npz file")
        with np.load(file, allow_pickle=False) as arrays:
            found = Features(
                file,
                arrays["features"],
                arrays["paths"].tolist(),
                arrays["labels"].tolist(),
                {key.removeprefix(_COLUMN): arrays[key].tolist() for key in arrays if key.startswith(_COLUMN)},
                arrays["unreadable"].tolist(),
                _as_source(json.loads(str(arrays["source"]))),
            )
        columns = [found.labels, *found.columns.values()]
        shape = found.features.shape
        if found.features.dtype != np.float32 or len(shape) != 2 or {shape[0], *map(len, columns)} != {len(found)}:
            raise ValueError("its arrays do not belong together")
    except OSError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{file}: no features of `cmpl-zoo features`, or damaged ({reason}); make them again"
        ) from error
    if (bad := ~np.isfinite(found.features).all(axis=1)).any():
        raise ValueError(f"{file}: the features of {found.paths[bad.argmax()]} are not finite; make them again")
    return found


def weights_digest(model: VideoModel) -> str:
    """SHA-256 of what a model's features depend on: its architecture and its weights but for the classifier."""
    classifier = model.get_classifier(name_only=True)
    settings = [model.pretrained_cfg["architecture"], model.subtract_mean_frame, model.global_pool.pool_type]
    settings += ["normalize_clip"] if model.normalize_clip else []  # digests without it stay what they were
    digest = hashlib.sha256(json.dumps(settings).encode())
    for key, weight in sorted(model.state_dict().items()):
        if not key.startswith(f"{classifier}."):
            digest.update(f"{key} {weight.dtype} {list(weight.shape)}".encode())
            digest.update(weight.cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _source(
    model: VideoModel, name: str, video_list: VideoList, root: str | os.PathLike[str], precision: Precision
) -> Source:
    views: dict[str, Any] = dict(resolve_clip_config(model))
    root = os.fspath(root)
    return {
        "model": os.path.abspath(name) if os.path.exists(name) else name,
        "weights": weights_digest(model),
        "views": json.loads(json.dumps(views)),  # lists for tuples, to compare with what a file says
        "precision": precision,
        "list": str(video_list.file),
        "list_digest": hashlib.sha256(video_list.file.read_bytes()).hexdigest(),
        "root": root if is_url(root) else os.path.abspath(root),
    }


def _as_source(value: Any) -> Source:
    """What a file says that its features were made from; raises ValueError where it does not say it all."""
    if not isinstance(value, dict) or not value.keys() >= Source.__required_keys__:
        raise ValueError("it does not say what the features are made from")
    return cast(Source, value)


def _check_same(file: Path, found: Source, wanted: Source) -> None:
    """Raise ValueError where a file holds other features than those that are wanted."""
    different = {
        "weights": f"has features of {found['model']} with other weights than {wanted['model']}",
        "views": f"has features of other views than {wanted['model']} is tested on",
        "precision": f"was made with --precision {found['precision']}",
        "list_digest": f"has the features of {found['list']}, or of {wanted['list']} before it was changed",
        "root": f"was made with --root {found['root']}",
    }
    for key, what in different.items():
        if found[key] != wanted[key]:  # type: ignore[literal-required]
            raise ValueError(f"{file}: {what}; give another file, or delete this one")


@torch.inference_mode()
def _compute(
    model: VideoModel, video_list: VideoList, start: int, workers: int, batch_size: int, precision: Precision
) -> Iterator[np.ndarray | None]:
    """The features of each video of the list from index `start` on; None where it cannot be read."""
    device = next(model.parameters()).device

    def pooled(clips: Tensor) -> Tensor:
        return model.forward_head(model.forward_features(clips), pre_logits=True)

    rest = Videos(video_list.paths[start:], np.arange(start, len(video_list)))  # the id of a video is its index
    batches = EvaluationBatches(rest, [view_config(resolve_clip_config(model))], batch_size=batch_size)
    with evaluation_mode(model):
        for views, ids, failed, *_ in iterate_views(batches, device, workers):
            for _, message in failed:
                tqdm.write(f"left out: {message}", file=sys.stderr)
            computed: dict[int, np.ndarray] = {}
            if len(ids):
                with cores_beside(workers), autocast(device, precision):
                    per_video = of_views(pooled, model, views[0], batch_size).mean(dim=1)
                computed = dict(zip(ids.tolist(), per_video.cpu().numpy(), strict=True))
            for index in sorted(computed.keys() | dict(failed).keys()):
                if index in computed and not np.isfinite(computed[index]).all():
                    raise ValueError(
                        f"{video_list.paths[index]}: its features are not finite; give --precision float32 or other "
                        "weights"
                    )
                yield computed.get(index)


def _unfinished_file(file: Path) -> Path:
    return file.with_name(f"{file.name}.unfinished.jsonl")


class _Unfinished:
    """The features computed so far: one JSON line per video, below a line that says what they are made from.

    Args:
        file: the file that is to be written in the end; these lines are beside it.
        source: what the features are made from.

    Attributes:
        file: of the lines.
        rows: the features per video, None where it could not be read.

    Raises:
        ValueError: the lines are of another source, or damaged.
        OSError: the lines cannot be written, or another process is writing them.
    """

    def __init__(self, file: Path, source: Source) -> None:
        self.file = _unfinished_file(file)
        self.rows: list[np.ndarray | None] = []
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self._lines = AppendedLines(self.file)
        try:
            self._read(source)
        except (ValueError, OSError):
            self.close()
            raise

    def close(self) -> None:
        self._lines.close()

    def append(self, features: np.ndarray | None) -> None:
        """Write the line of the next video."""
        self._write(None if features is None else base64.b64encode(features.astype("<f4").tobytes()).decode())
        self.rows.append(features)

    def _read(self, source: Source) -> None:
        """The lines of an earlier process; a last one that it did not finish is deleted."""
        if not (lines := self._lines.read().splitlines()):
            self._write(source)
            return
        try:
            former, *rows = (json.loads(line) for line in lines)
            found = _as_source(former)
            self.rows = [None if row is None else np.frombuffer(base64.b64decode(row), "<f4") for row in rows]
        except (ValueError, TypeError) as error:
            raise ValueError(f"{self.file}: is damaged ({error}); delete it to start again") from error
        _check_same(self.file, found, source)

    def _write(self, value: object) -> None:
        self._lines.append(json.dumps(value) + "\n")


def _features(file: Path, video_list: VideoList, rows: Sequence[np.ndarray | None], source: Source) -> Features:
    """The features of a list whose videos are all computed."""
    readable = [index for index, row in enumerate(rows) if row is not None]
    if not readable:
        raise VideoError(
            f"none of the {len(rows)} videos of {video_list.file} can be read; check it and --root {source['root']}"
        )
    columns = {
        name: [video_list.rows[index][name] for index in readable]
        for name in video_list.rows[0]
        if name not in ("path", "label")
    }
    return Features(
        file,
        np.stack([row for row in rows if row is not None]),
        [video_list.name(index) for index in readable],
        [video_list.labels[index] if video_list.labels else "" for index in readable],
        columns,
        [video_list.name(index) for index, row in enumerate(rows) if row is None],
        source,
    )


def _write(features: Features) -> None:
    texts = {"paths": features.paths, "labels": features.labels, "unreadable": features.unreadable}
    texts |= {_COLUMN + name: values for name, values in features.columns.items()}
    arrays = {key: np.array(values, dtype=np.str_) for key, values in texts.items()}
    arrays |= {"features": features.features, "source": np.array(json.dumps(features.source))}
    try:
        with atomic_write(features.file) as temporary, temporary.open("wb") as handle:
            np.savez(handle, **arrays)  # type: ignore[arg-type]
    except OSError as error:
        raise OSError(
            f"{features.file}: cannot be written: {error.strerror}; correct that, and the same command continues"
        ) from error
