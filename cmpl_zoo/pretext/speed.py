"""Speed: is a clip shown at normal or at double speed?"""

import torch
from torch import Tensor

from cmpl_zoo.pretext.task import Task
from cmpl_zoo.video.video import Video

NORMAL = (1.0, 1.2)
DOUBLE = (1.7, 2.2)


class Speed(Task):
    """Whether a clip is shown at normal (0) or double speed (1): Benaim et al., SpeedNet (CVPR 2020).

    Paper: a rate is drawn, from 1 to 1.2 for normal and from 1.7 to 2.2 for double speed, and frames are skipped at
    random until the video is so much faster, so that no fixed step tells the class. Both clips of a segment are in the
    batch. The size of the frames is random, so that neither does how many pixels things move.

    Our choice: both clips have exactly the drawn rate, and share their crop; its random scale (`WeakView`: the wider
    `short_side`, the better) does what the random size does, as clips of a batch are equally large; features are pooled
    by their mean, where the paper takes the maximum over space and the mean over time; two classes and cross entropy
    for one logit, which is the same loss. A video that is too short starts again at its end.
    """

    clips = 2
    classes = 2
    moves = 2  # in a shorter video both speeds show the same frames

    def inputs(self, video: Video) -> tuple[Tensor, Tensor]:
        steps = self.clip.stride * torch.stack([self.kept(*rates) for rates in (NORMAL, DOUBLE)])
        starts = max(1, video.num_frames - int(steps.max()))
        indices = (torch.randint(starts, ()) + steps) % video.num_frames
        frames = self.view(video.read(indices.flatten()).permute(0, 3, 1, 2))
        return frames.unflatten(0, indices.shape).transpose(1, 2), torch.arange(self.classes)

    def kept(self, lowest: float, highest: float) -> Tensor:
        """Which frames of a segment make a clip: `frames` of `rate` times as many, drawn at random, rising."""
        rate = torch.empty(()).uniform_(lowest, highest)
        return torch.randperm(round(float(rate) * self.clip.frames))[: self.clip.frames].sort().values
