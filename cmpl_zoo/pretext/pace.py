"""Pace: how many frames does a clip skip from one to the next?"""

from itertools import chain, cycle, islice

import torch
from torch import Tensor
from torchvision.transforms import v2

from cmpl_zoo.pretext.task import PretextClip, Task
from cmpl_zoo.video.video import Video


class Pace(Task):
    """At which of four paces a clip is shown: Wang, Jiao and Liu, Self-Supervised Video Representation Learning by Pace
    Prediction (ECCV 2020).

    Paper and code: the stride is 1, 2, 3 or 4 times that of the clip, and the class is this factor, counted from 0. The
    clip starts at any frame, and at the end of the video continues from its first frame. All frames share one crop,
    mirrored at random; each has a color jitter of its own, so that the change of color from frame to frame, which grows
    with the stride, does not give the pace away.

    Our choice: crops of random scale (`WeakView`), and without the contrastive loss that the paper can add. If the
    network subtracts the mean frame, all frames have the same jitter.
    """

    classes = 4
    moves = 4  # in a shorter video the fastest pace shows one frame again and again

    def __init__(self, clip: PretextClip, videos: int) -> None:
        super().__init__(clip, videos)
        color = v2.ColorJitter(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2)
        self.jitter = v2.RandomApply([color], p=0.8)

    def inputs(self, video: Video) -> tuple[Tensor, Tensor]:
        pace = int(torch.randint(self.classes, ()))
        frames = self.view(video.read(self.indices(video.num_frames, pace)).permute(0, 3, 1, 2))
        return self.recolor(self.jitter, frames).transpose(0, 1)[None], torch.tensor([pace])

    def indices(self, num_frames: int, pace: int) -> list[int]:
        """The frames of a clip of that class from a random start."""
        stride = (pace + 1) * self.clip.stride
        first = range(int(torch.randint(num_frames, ())), num_frames, stride)
        return list(islice(chain(first, cycle(range(0, num_frames, stride))), self.clip.frames))
