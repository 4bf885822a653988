"""Clips, small networks and batches for the tests of pretext tasks."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import torch

from cmpl_zoo import create_model
from cmpl_zoo.datasets.views import WeakView
from cmpl_zoo.pretext import TASKS
from cmpl_zoo.pretext.task import PretextClip
from cmpl_zoo.video.flow import as_color
from cmpl_zoo.video.video import Video

SMALL = PretextClip(frames=4, stride=1, size=32, short_side=(36, 44))
SMALL_BLOCKS = SMALL._replace(frames=2)  # of which dpc takes eight
WHOLE = PretextClip(frames=4, stride=1, size=32, short_side=(32, 32))  # of square frames of 32 pixels: all of them


def small(name: str, videos: int, flow: Callable[[str], str] | None = None):
    """The task of that name, of small clips."""
    return TASKS[name]((SMALL_BLOCKS if name == "dpc" else SMALL)._replace(flow=flow), videos)


def write(path: Path, frames: np.ndarray) -> Path:
    """A video of these frames, uint8 (T, height, width, 3), without any loss."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264rgb", rate=25, options={"qp": "0"})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "bgr24"
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def counting(path: Path, frames: int) -> Path:
    """A video whose frames are as bright as 40 and four times their index, so that a clip tells which it is made of."""
    levels = 40 + 4 * np.arange(frames, dtype=np.uint8)
    return write(path, np.broadcast_to(levels[:, None, None, None], (frames, 32, 32, 3)).copy())


def still(path: Path, seed: int = 0) -> Path:
    """A video of one picture."""
    picture = np.random.default_rng(seed).integers(30, 220, (1, 6, 8, 3), dtype=np.uint8)
    return write(path, picture.repeat(8, 1).repeat(8, 2).repeat(20, 0))


def inputs(task, path, seed=0):
    """Clips and targets of a video, drawn with a seed."""
    torch.manual_seed(seed)
    with Video(path) as video:
        return task.inputs(video)


def counted(clips):
    """The indices of the frames in clips of a `counting` video, (clips, frames)."""
    assert (clips == clips[:, :1, :, :1, :1]).all()
    return ((clips[:, 0, :, 0, 0].int() - 40) // 4).tolist()


def network(task):
    """A small network in training, with the task's head."""
    torch.manual_seed(0)
    model = create_model("r3d50_eighth", num_classes=0)
    return model.train(), task.head(model).train()


def normalized(clips):
    return (clips.float() - 114) / 58


def batch_of(task, paths, seed=0):
    """The clips of some videos, normalized, and their targets."""
    clips, targets = zip(*(inputs(task, path, seed + i) for i, path in enumerate(paths)), strict=True)
    return normalized(torch.cat(clips)), torch.cat(targets)


def trained(task, batches):
    """A small network and head after a step on each of these batches, and the losses."""
    model, head = network(task)
    weights = [weight for part in (model, head) for weight in part.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(weights, lr=1e-3)
    losses = []
    for clips, targets in batches:
        loss = task.loss(model, head, clips, targets)
        loss.total.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.total.item())
    return model, head, losses


def plain(task):
    """The task with another view, which shows all of a frame."""
    task.view = WeakView(32, (32, 32))
    return task


def flowing(path, frames):
    """A clip that finds these frames, float (T, H, W, 2) in pixels, as the flow of any video."""
    write(path, np.stack([as_color(flow) for flow in frames]))
    return WHOLE._replace(flow=lambda _: str(path))
