"""Rotation: by how many quarters has a clip been turned?"""

import torch
from torch import Tensor

from cmpl_zoo.pretext.task import Task
from cmpl_zoo.video.sampling import random_clips
from cmpl_zoo.video.video import Video


class Rotation(Task):
    """Which of four rotations a clip has: 3DRotNet (Jing, Yang, Liu and Tian, arXiv:1811.11387, 2018).

    Paper and code: one crop of one clip, random in place and mirrored at random, turned by 0, 90, 180 and 270 degrees;
    all four are in the batch, and a linear classifier tells them apart. Frames are every second one.

    Our choice: crops of random scale (`WeakView`), and no further random rotation by up to 10 degrees, which the code
    has. The class is the number of quarters counterclockwise.
    """

    clips = 4
    classes = 4

    def inputs(self, video: Video) -> tuple[Tensor, Tensor]:
        [indices] = random_clips(video.num_frames, self.clip.frames, [self.clip.stride])
        upright = self.view(video.read(indices).permute(0, 3, 1, 2)).transpose(0, 1)
        quarters = range(self.classes)
        return torch.stack([torch.rot90(upright, k, dims=(2, 3)) for k in quarters]), torch.tensor(quarters)
