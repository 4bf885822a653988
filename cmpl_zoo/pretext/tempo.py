"""Tempo: which slow clip is of the same moment as a fast one?"""

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmpl_zoo.models import VideoModel
from cmpl_zoo.pretext.moco import MoCo
from cmpl_zoo.pretext.momentum import CHANNELS, MomentumHead, two_layers
from cmpl_zoo.pretext.task import PretextLoss
from cmpl_zoo.video.sampling import random_clips
from cmpl_zoo.video.video import Video

TEMPO = 2  # how many times the stride of the one clip is that of the other
STAGES = 2  # res4 and res5


class Tempo(MoCo):
    """Which clip of another tempo is of the same moment: Yang et al., Video Representation Learning with Visual Tempo
    Consistency (VTHCL, arXiv:2006.15489, 2020).

    Paper: one moment of a video is seen at a slow and at a fast frame rate by two networks; the features of res4 and of
    res5 are projected, each to be told from those of 16,384 other videos, at temperature 0.07. There is no public code
    of it; what the paper does beyond that is not known to us.

    Our choice: both clips have as many frames, around the same frame of the video, at strides of 1 and 2 times that of
    the clip. The second network is a slow average of the first, as in MoCo, with MoCo's views and queue. Which clip is
    the query is drawn for every video, so that the network learns from both tempos. The loss is the mean of both
    stages, and right is the answer of res5.
    """

    moves = 2  # in a shorter video both tempos show the same frames
    queue = 16384

    def inputs(self, video: Video) -> tuple[Tensor, Tensor]:
        strides = [self.clip.stride, TEMPO * self.clip.stride]
        clips = random_clips(video.num_frames, self.clip.frames, strides)
        return self.views(video, clips[::-1] if torch.randint(2, ()) else clips)

    def head(self, network: VideoModel) -> MomentumHead:
        return MomentumHead(Stages(network), Projections(network), self.classes, (STAGES, CHANNELS), self.momentum)

    def loss(self, network: nn.Module, head: nn.Module, clips: Tensor, targets: Tensor) -> PretextLoss:
        assert isinstance(head, MomentumHead)
        videos, stages = targets[::2], Stages(network)
        queries, keys = head.queries(stages, clips[::2]), head.keys(stages, clips[1::2])
        head.enqueue(keys, videos)
        scores = head.scores(queries, keys, videos).flatten(0, 1)  # of res4 and res5 of each query in turn
        first = scores.new_zeros(len(scores), dtype=torch.long)
        right = (scores.argmax(dim=1) == first)[STAGES - 1 :: STAGES]
        return PretextLoss(F.cross_entropy(scores, first), right.float().mean())


class Stages(nn.Module):
    """A network's features of res4 and res5, pooled, next to each other: (N, channels of both)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, clips: Tensor) -> Tensor:
        network = cast(Any, self.network)
        last, maps = network.forward_intermediates(clips, indices=STAGES)
        return torch.cat([maps[0].mean(dim=(2, 3, 4)), network.forward_head(last)], dim=1)


class Projections(nn.Module):
    """Projections of what `Stages` gives, each by itself: (N, channels of both) to (N, 2, 128)."""

    def __init__(self, network: VideoModel) -> None:
        super().__init__()
        self.channels = [network.feature_info[-STAGES]["num_chs"], network.num_features]
        self.layers = nn.ModuleList(map(two_layers, self.channels))

    def forward(self, features: Tensor) -> Tensor:
        parts = zip(self.layers, features.split(self.channels, dim=1), strict=True)
        return torch.stack([layers(part) for layers, part in parts], dim=1)
