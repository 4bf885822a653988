"""Arrow of time: is a clip shown forwards or backwards?"""

import torch
from torch import Tensor

from cmpl_zoo.pretext.task import Task
from cmpl_zoo.video.sampling import random_clips
from cmpl_zoo.video.video import Video

BLACK = 20  # of 255: the black of a compressed border is at most this bright; our choice


class Arrow(Task):
    """Whether a clip is shown forwards (0) or backwards (1): Wei, Lim, Zisserman and Freeman, Learning and Using the
    Arrow of Time (CVPR 2018).

    Paper and code: both directions are equally probable, drawn for every clip. Black borders give the direction away
    without any motion of the scene, and are removed.

    Our choice: frames, not optical flow, and the zoo's networks, not T-CAM; crops of random scale, mirrored at random
    (`WeakView`). The camera is not stabilized, although how it is moved by habit also tells the direction. A border is
    rows and columns that are black in all frames of the clip.
    """

    classes = 2
    moves = 2  # a shorter video, starting again at its end, looks the same in both directions

    def inputs(self, video: Video) -> tuple[Tensor, Tensor]:
        [indices] = random_clips(video.num_frames, self.clip.frames, [self.clip.stride])
        forwards = self.view(without_borders(video.read(indices).permute(0, 3, 1, 2))).transpose(0, 1)
        backwards = int(torch.randint(self.classes, ()))
        return (forwards.flip(1) if backwards else forwards)[None], torch.tensor([backwards])


def without_borders(frames: Tensor) -> Tensor:
    """Frames (T, 3, H, W) without the rows and columns at their sides that are black in all of them.

    Where all is black, the frames as they are.
    """
    seen = frames.amax(dim=(0, 1)) > BLACK
    rows, columns = (seen.any(dim).nonzero().flatten().tolist() for dim in (1, 0))
    return frames[..., rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if rows else frames
