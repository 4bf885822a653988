"""MoCo: which of many clips is of the same video?"""

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms import v2

from cmpl_zoo.models import VideoModel
from cmpl_zoo.pretext.momentum import MOMENTUM, MomentumHead, two_layers, video_number
from cmpl_zoo.pretext.task import PretextClip, PretextLoss, Task
from cmpl_zoo.video.sampling import random_clips
from cmpl_zoo.video.video import Video


class MoCo(Task):
    """Which key is of the query's video: He et al., Momentum Contrast (CVPR 2020), version 2 (Chen et al.,
    arXiv:2003.04297), on videos as Han et al. (CoCLR, NeurIPS 2020) and Feichtenhofer et al. (CVPR 2021).

    Papers and code: query and key are random clips of one video, each with its own crop, colors and mirroring. Keys are
    made by a slow average of the network, and kept in a queue as negatives. A projection of two layers, to 128. The
    temperature, 0.07, is CoCLR's; MoCo v2 has 0.2, Feichtenhofer et al. 0.1.

    Our choice: square crops (`WeakView`), whose scale `short_side` gives; no blur. The targets tell which video a
    clip is of, so that no key of the query's own video is a negative. The queue is as long as the list at most, and
    has the keys of a batch before they are compared, so that there are negatives from the first step on.
    """

    clips = 2
    queue: ClassVar[int] = 65536

    def __init__(self, clip: PretextClip, videos: int) -> None:
        super().__init__(clip, videos)
        self.classes = min(self.queue, videos)  # the key of the query, and all others in the queue
        color = v2.ColorJitter(0.4, 0.4, 0.4, 0.1)
        self.colors = v2.Compose([v2.RandomApply([color], p=0.8), v2.RandomGrayscale(p=0.2)])
        self.crop = self.view
        self.view = v2.Compose([self.crop, self.colors])

    def inputs(self, video: Video) -> tuple[Tensor, Tensor]:
        clip = self.clip
        return self.views(video, [random_clips(video.num_frames, clip.frames, [clip.stride])[0] for _ in range(2)])

    def views(self, video: Video, indices: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
        """Clips of these frames, each seen through a view of its own, and the number of the video for each."""
        frames = video.read([index for clip in indices for index in clip]).permute(0, 3, 1, 2)
        views = [self.view(part).transpose(0, 1) for part in frames.split(self.clip.frames)]
        return torch.stack(views), torch.full((len(views),), video_number(video.path))

    def head(self, network: VideoModel) -> nn.Module:
        return MomentumHead(network, two_layers(network.num_features), self.classes, momentum=self.momentum)

    @property
    def momentum(self) -> float:
        """Of the average, for each part of a step, so that it moves as far in a step of several."""
        return MOMENTUM ** (1 / self.accumulation)

    def loss(self, network: nn.Module, head: nn.Module, clips: Tensor, targets: Tensor) -> PretextLoss:
        assert isinstance(head, MomentumHead)
        videos, first = targets[::2], torch.zeros_like(targets[::2])
        queries, keys = head.queries(network, clips[::2]), head.keys(network, clips[1::2])
        head.enqueue(keys, videos)
        scores = head.scores(queries, keys, videos)
        return PretextLoss(F.cross_entropy(scores, first), (scores.argmax(dim=1) == first).float().mean())
