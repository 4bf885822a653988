"""The videos and the lists that experiments learn from: frames decoded once, labels drawn seed by seed."""

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torchvision.transforms.v2.functional import center_crop, resize
from tqdm import tqdm

from cmpl_zoo._files import as_csv, atomic_write, replace_text
from cmpl_zoo.datasets.lists import read_list
from cmpl_zoo.datasets.splits import split_list, write_split
from cmpl_zoo.video.video import Video

LABELS = 20  # a class, unless the name of the lists says otherwise
# Speakers of lips that settings are chosen on, with even and with odd seeds; no table is made of them.
HELD_OUT = (("F02", "F08", "M02"), ("F06", "F10", "M07"))


def decode_once(file: Path, folder: Path, short_side: int, center: float = 1.0, root: Path | None = None) -> Path:
    """The list of the same videos as `.npy` files of decoded frames, which are made where they are missing.

    Args:
        file: list of videos.
        folder: where decoded frames and the list go.
        short_side: frames are made as small as this, in pixels, where they are larger.
        center: share of the short side that is kept, as a square in the middle; 1 keeps whole frames.
        root: folder that the paths in the list start from; by default that of the list.
    """
    root = file.parent if root is None else root
    rows = read_list(file, root).rows
    targets = [(folder / row["path"]).with_suffix(".npy") for row in rows]
    missing = [(root / row["path"], target) for row, target in zip(rows, targets, strict=True)
               if not target.exists()]  # fmt: skip
    with ProcessPoolExecutor() as pool:
        made = pool.map(partial(decode, short_side=short_side, center=center), *zip(*missing, strict=True), chunksize=8)
        for _ in tqdm(made, total=len(missing), desc=f"decode {file.name}", disable=not missing):
            pass
    write_rows(folder / file.name, [row | {"path": str(Path(row["path"]).with_suffix(".npy"))} for row in rows])
    return folder / file.name


def decode(source: Path, target: Path, short_side: int, center: float) -> None:
    """Write all frames of a video as `.npy`, (frames, height, width, 3) uint8; see `decode_once`."""
    torch.set_num_threads(1)
    with Video(source) as video:
        frames = video.read(range(video.num_frames)).permute(0, 3, 1, 2)
    if center < 1:
        frames = center_crop(frames, [round(center * min(frames.shape[2:]))])
    if min(frames.shape[2:]) > short_side:
        frames = resize(frames, [short_side], antialias=True)
    with atomic_write(target) as half, half.open("wb") as file:
        np.save(file, frames.permute(0, 2, 3, 1).numpy())


def make_lists(data: Path, work: Path, name: str, seed: int) -> dict[str, Path]:
    """The lists that a row learns from and is measured on: `labeled`, `unlabeled`, `val` and `test`.

    The recordings in `val` are the same for all seeds; a seed draws the labels. Of lips `val` are the test speakers,
    and all others are learned from; with `-held-out` it is three of these, which are not learned from.

    Args:
        data: folder of decoded frames that holds mocap13 and fights, or lips.
        work: where lists are written.
        name: `uniform-N` or `category-wise-N` for N labels a class, `all`, `half-same` or `half-other` (labels of every
            second class, unlabeled videos of the same or of the other ones), or `fights` (unlabeled: mocap13); of
            lips `words-N`, `words-all`, `phrases-N` or `phrases-all`, with or without `-held-out`.
        seed: of the draw of labels.
    """
    folder = work / "lists" / f"{name}-seed{seed}"
    if not (folder / "done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        lists_of = {"fights": fights_lists, "lips": lips_lists, "mocap13": mocap13_lists}[data_of(name)]
        lists_of(data, work / "lists", folder, name, seed)
        (folder / "done").touch()
    return {part: folder / f"{part}.csv" for part in ("labeled", "unlabeled", "val", "test")}


def data_of(name: str) -> str:
    """The data set that the labeled videos of such lists are from; see `make_lists`."""
    return "lips" if name.startswith(("words-", "phrases-")) else "fights" if name == "fights" else "mocap13"


def lips_lists(data: Path, lists: Path, folder: Path, name: str, seed: int) -> None:
    """Lists of the words or of the phrases of lips; no speaker is both learned from and measured on."""
    spoken, count, *held_out = name.split("-", 2)
    rows = read_list(data / "lips" / f"{spoken}_train.csv").rows
    speakers = HELD_OUT[seed % 2] if held_out else ()
    write_rows(folder / "pool.csv", [row for row in rows if row["group"] not in speakers])
    if count == "all":
        for part in ("labeled", "unlabeled"):
            copy_rows(folder / "pool.csv", folder / f"{part}.csv")
    else:
        draw_labels(folder, seed, int(count), "uniform")
    copy_rows(data / "lips" / f"{spoken}_test.csv", folder / "test.csv")
    if held_out:
        write_rows(folder / "val.csv", [row for row in rows if row["group"] in speakers])
    else:
        copy_rows(folder / "test.csv", folder / "val.csv")


def mocap13_lists(data: Path, lists: Path, folder: Path, name: str, seed: int) -> None:
    """Lists of mocap13 alone: labels of all classes or of half of them; no recording in two of pool, val and test."""
    parts = cut(with_recordings(data / "mocap13" / "train.csv", lists), lists / "mocap13", "recording", 0.2)
    kept, others = halves(parts["pool"]) if name.startswith("half") else (None, None)
    copy_rows(parts["pool"], folder / "pool.csv", kept)
    copy_rows(parts["val"], folder / "val.csv", kept)
    copy_rows(data / "mocap13" / "test.csv", folder / "test.csv", kept)
    if name == "all":
        for part in ("labeled", "unlabeled"):
            copy_rows(folder / "pool.csv", folder / f"{part}.csv")
        return
    sampling, _, count = name.rpartition("-")
    draw_labels(folder, seed, *((LABELS, "uniform") if kept else (int(count), sampling)))
    if name == "half-other":
        copy_rows(parts["pool"], folder / "unlabeled.csv", others)


def fights_lists(data: Path, lists: Path, folder: Path, name: str, seed: int) -> None:
    """Labels of two classes of real footage, unlabeled videos of mocap13; no source in two of pool, val and test."""
    whole = cut(data / name / "videos.csv", lists / name, "source", 0.3)
    parts = cut(whole["pool"], lists / f"{name}-train", "source", 0.2)
    copy_rows(parts["pool"], folder / "pool.csv")
    draw_labels(folder, seed, LABELS, "uniform")
    copy_rows(data / "mocap13" / "train.csv", folder / "unlabeled.csv")
    copy_rows(parts["val"], folder / "val.csv")
    copy_rows(whole["val"], folder / "test.csv")


def cut(file: Path, folder: Path, group: str, share: float) -> dict[str, Path]:
    """Cut a list into `pool`, to draw labels from, and `val`, no group on both sides; always the same cut."""
    video_list = read_list(file)
    split = split_list(video_list, 1, seed=0, val=share, group=group)
    write_split(video_list, {"pool": sorted(split["labeled"] + split["unlabeled"]), "val": split["val"]}, folder)
    return {"pool": folder / "pool.csv", "val": folder / "val.csv"}


def with_recordings(file: Path, lists: Path) -> Path:
    """The list with a column that names the recording: a video's name without `_vN`, which tells its rendering."""
    target = lists / "recordings.csv"
    rows = read_list(file).rows
    write_rows(target, [row | {"recording": row["path"].rpartition("_v")[0]} for row in rows])
    return target


def halves(file: Path) -> tuple[set[str], set[str]]:
    """Every second class, and the others."""
    classes = sorted({row["label"] for row in read_list(file).rows})
    return set(classes[::2]), set(classes[1::2])


def draw_labels(folder: Path, seed: int, count: int, sampling: str) -> None:
    """Split `pool.csv` into `labeled.csv` and `unlabeled.csv`, which keeps its labels for the meters."""
    video_list = read_list(folder / "pool.csv")
    write_split(video_list, split_list(video_list, count, seed, sampling=sampling), folder, keep_labels=True)


def copy_rows(file: Path, target: Path, classes: set[str] | None = None) -> None:
    """The rows of a list, of some classes or of all."""
    write_rows(target, [row for row in read_list(file).rows if classes is None or row["label"] in classes])


def write_rows(target: Path, rows: list[dict[str, str]]) -> None:
    """Write a list with the columns of its first row."""
    replace_text(target, as_csv(rows, list(rows[0])))
