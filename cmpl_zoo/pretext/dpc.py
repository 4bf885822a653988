"""DPC: what do the next parts of a video look like to the network?"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms import v2

from cmpl_zoo.models import VideoModel
from cmpl_zoo.pretext.puzzle import one_channel
from cmpl_zoo.pretext.task import PretextClip, PretextLoss, Task
from cmpl_zoo.video.video import Video

BLOCKS, PREDICTED, CHANNELS = 8, 3, 256


class DPC(Task):
    """Which features the next blocks of a video have, at each place: Han, Xie and Zisserman, Video Representation
    Learning by Dense Predictive Coding (ICCVW 2019).

    Paper and code: of eight blocks in a row, each is made one feature map. A ConvGRU goes over five of them, and from
    its state the map of the next block is predicted, from that the state after it, and so on for three blocks. A
    predicted feature is compared with all that come true, by their dot products: its own is the positive, those at
    other places, at other times and of other videos are negatives. All frames share one crop, and each has colors of
    its own: one channel in place of three in half of them, and jitter.

    Our choice: `frames` and `stride` are those of a block, and blocks follow each other at that stride. A layer
    without ReLU makes 256 channels of the network's own; in the code the network ends in as many, also without
    ReLU. Crops are of random scale (`WeakView`). If the network subtracts the mean frame, all frames have the same
    colors. Negatives come from the same process, as in the code from the same GPU. `right` counts an answer among
    the features of its own video alone, so that chance does not depend on the batch.
    """

    clips = BLOCKS

    def __init__(self, clip: PretextClip, videos: int) -> None:
        super().__init__(clip, videos)
        self.least_frames = clip.span(BLOCKS)
        gray, color = v2.Lambda(one_channel), v2.ColorJitter(brightness=0.5, contrast=0.5, saturation=0.5, hue=0.25)
        self.colors = v2.Compose([v2.RandomApply([gray], p=0.5), color])

    def inputs(self, video: Video) -> tuple[Tensor, Tensor]:
        start = torch.randint(video.num_frames - self.least_frames + 1, ())
        indices = start + self.clip.stride * torch.arange(BLOCKS * self.clip.frames)
        frames = self.view(video.read(indices).permute(0, 3, 1, 2))
        frames = self.recolor(self.colors, frames)
        return frames.unflatten(0, (BLOCKS, -1)).transpose(1, 2), torch.arange(BLOCKS)

    def head(self, network: VideoModel) -> nn.Module:
        if network.global_pool.kinds[0] != "avg":
            raise ValueError("needs a network with feature maps, such as --model r3d50")
        self.classes = PREDICTED * math.ceil(self.clip.size / network.feature_info[-1]["reduction"]) ** 2
        return PredictionHead(network.num_features)

    def loss(self, network: nn.Module, head: nn.Module, clips: Tensor, targets: Tensor) -> PretextLoss:
        assert isinstance(network, VideoModel)
        maps = feature_maps(network, clips).flatten(2).transpose(1, 2)
        predicted, true = (part.flatten(1, 2).float() for part in head(maps.unflatten(0, (-1, BLOCKS))))
        with torch.autocast(clips.device.type, enabled=False):
            scores = predicted.flatten(0, 1) @ true.flatten(0, 1).T
            answers = (predicted @ true.mT).argmax(dim=2)
        positives = torch.arange(len(scores), device=clips.device)
        right = answers == positives[: answers.shape[1]]
        return PretextLoss(F.cross_entropy(scores, positives), right.float().mean())


class PredictionHead(nn.Module):
    """Feature maps of blocks (N, 8, places, channels) to those predicted and those that come true, (N, 3, places, 256).

    All convolutions of the paper are 1 x 1, which makes them linear layers that see each place alone.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Linear(channels, CHANNELS)
        self.gates, self.new = nn.Linear(2 * CHANNELS, 2 * CHANNELS), nn.Linear(2 * CHANNELS, CHANNELS)
        self.dropout = nn.Dropout(0.1)
        self.predict = nn.Sequential(nn.Linear(CHANNELS, CHANNELS), nn.ReLU(), nn.Linear(CHANNELS, CHANNELS))
        for weight in self.parameters():
            nn.init.orthogonal_(weight) if weight.ndim > 1 else nn.init.zeros_(weight)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        seen, true = self.reduce(maps).split([BLOCKS - PREDICTED, PREDICTED], dim=1)
        state = torch.zeros_like(seen[:, 0])
        for block in seen.relu().unbind(1):
            state = self.after(block, state)
        predicted = [self.predict(state)]
        while len(predicted) < PREDICTED:
            state = self.after(predicted[-1].relu(), state)
            predicted.append(self.predict(state))
        return torch.stack(predicted, dim=1), true

    def after(self, block: Tensor, state: Tensor) -> Tensor:
        """The state of the recurrent unit (GRU) after one more block."""
        reset, update = self.gates(torch.cat([block, state], dim=-1)).sigmoid().chunk(2, dim=-1)
        new = self.new(torch.cat([block, reset * state], dim=-1)).tanh()
        return self.dropout((1 - update) * state + update * new)


def feature_maps(network: VideoModel, clips: Tensor) -> Tensor:
    """The last feature maps of clips, (N, C, H, W), averaged over time.

    The network is called as a whole, without its pooling, since that is what `--compile` compiles.
    """
    pool = network.global_pool.pool_type
    network.global_pool.pool_type = ""
    try:
        return network(clips).mean(dim=2)
    finally:
        network.global_pool.pool_type = pool
