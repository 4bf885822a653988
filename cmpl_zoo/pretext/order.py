"""Order: in which order do three clips follow each other?"""

from itertools import combinations, permutations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmpl_zoo.datasets.views import WeakView
from cmpl_zoo.models import VideoModel
from cmpl_zoo.pretext.task import PretextClip, PretextLoss, Task
from cmpl_zoo.video.video import Video

GAP, HIDDEN = 8, 512


class Order(Task):
    """In which of six orders three clips are shown: Xu et al., Self-Supervised Spatiotemporal Learning via Video Clip
    Order Prediction (CVPR 2019).

    Paper and code: the clips follow each other, 8 frames apart, and are shuffled; each has its own crop. Of their
    features each pair goes through one layer of 512 with ReLU, and all of that through dropout of 0.5 into the orders.

    Our choice: crops of random scale (`WeakView`), not mirrored, as in the code: clips mirrored one by one would not
    tell which way things move. `stride` also multiplies the gap, which is smaller where the video is too short for it.
    The targets are the true places of the clips, counted from 0, and orders are numbered as `itertools.permutations`
    gives them.
    """

    clips = 3
    classes = 6

    def __init__(self, clip: PretextClip, videos: int) -> None:
        super().__init__(clip, videos)
        self.view = WeakView(clip.size, clip.short_side, mirror=False)
        self.least_frames = clip.span(self.clips)

    def inputs(self, video: Video) -> tuple[Tensor, Tensor]:
        length, stride = self.clip.frames, self.clip.stride
        gap = min(GAP * stride, (video.num_frames - self.least_frames) // (self.clips - 1))
        last = video.num_frames - self.least_frames - (self.clips - 1) * gap
        places = torch.randperm(self.clips)
        starts = torch.randint(last + 1, ()) + places * (length * stride + gap)
        indices = starts[:, None] + stride * torch.arange(length)
        frames = video.read(indices.flatten()).permute(0, 3, 1, 2)
        return torch.stack([self.view(part).transpose(0, 1) for part in frames.split(length)]), places

    def head(self, network: VideoModel) -> nn.Module:
        return PairsHead(network.num_features, self.clips, self.classes)

    def loss(self, network: nn.Module, head: nn.Module, clips: Tensor, targets: Tensor) -> PretextLoss:
        answers = head(network(clips).unflatten(0, (-1, self.clips))).float()
        orders = order_number(targets.unflatten(0, (-1, self.clips)))
        return PretextLoss(F.cross_entropy(answers, orders), (answers.argmax(dim=1) == orders).float().mean())


class PairsHead(nn.Module):
    """Features of clips (N, clips, channels) to answers (N, classes), by way of their pairs."""

    def __init__(self, channels: int, clips: int, classes: int) -> None:
        super().__init__()
        self.pairs = list(combinations(range(clips), 2))
        self.pair = nn.Linear(2 * channels, HIDDEN)
        self.answer = nn.Sequential(nn.Dropout(0.5), nn.Linear(len(self.pairs) * HIDDEN, classes))

    def forward(self, features: Tensor) -> Tensor:
        pairs = features[:, self.pairs].flatten(2)
        return self.answer(self.pair(pairs).relu().flatten(1))


def order_number(places: Tensor) -> Tensor:
    """Orders, int64 (N, n) with each of 0 to n - 1 once, to their numbers (N,) among all n! of them."""
    orders = torch.tensor(list(permutations(range(places.shape[1]))), device=places.device)
    return (places[:, None] == orders).all(dim=2).int().argmax(dim=1)
