"""The optical flow of a clip, seen through the same random view as its frames."""

import os
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from cmpl_zoo.pretext.task import PretextClip
from cmpl_zoo.tools.copies import copy_path
from cmpl_zoo.video.errors import VideoError
from cmpl_zoo.video.flow import to_the_other_side
from cmpl_zoo.video.video import Video


def flow_path(path: str, root: str, folder: str) -> str:
    """Where `cmpl_zoo.tools.flow` puts the flow of a video.

    Args:
        path: of the video, as the list gives it.
        root: folder that the paths in the list start from.
        folder: of the flow.
    """
    return os.path.join(folder, copy_path(path, root))


def read_with_flow(video: Video, clip: PretextClip, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Frames and the movement from each of them to the next frame of the video, as `cmpl_zoo.video.flow` colors it.

    Args:
        video: open.
        clip: knows where its flow is.
        indices: of the frames.

    Returns:
        Both uint8 (len(indices), 3, H, W), the flow enlarged to the size of the frames.

    Raises:
        VideoError: one of both cannot be read, or the flow is that of another video.
    """
    assert clip.flow is not None
    frames = video.read(indices).permute(0, 3, 1, 2)
    with Video(clip.flow(video.path)) as flow:
        if flow.num_frames != video.num_frames:
            raise VideoError(
                f"{flow.path}: has {flow.num_frames} frames, and {video.path} has {video.num_frames}: it is of another "
                "video, or that one is damaged; delete it, and make it again with cmpl-zoo flow"
            )
        colors = flow.read(indices).permute(0, 3, 1, 2)
    return frames, tv.resize(colors, list(frames.shape[-2:]), antialias=True)


def seen_together(view: Callable[[Tensor], Tensor], frames: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Frames and their flow through one random view; where it mirrors them, so is the movement to the right.

    Args:
        view: a crop that may be mirrored: uint8 (n, 3, H, W) to (n, 3, size, size).
        frames: uint8 (T, 3, H, W).
        flow: likewise.
    """
    # A picture that grows brighter from left to right tells whether the view is mirrored.
    ramp = torch.linspace(0, 255, frames.shape[-1]).to(torch.uint8).expand(1, *frames.shape[1:])
    frames, flow, ramp = view(torch.cat([frames, flow, ramp])).split([len(frames), len(flow), 1])
    mirrored = bool(ramp[..., 0].sum() > ramp[..., -1].sum())
    return frames, to_the_other_side(flow) if mirrored else flow
