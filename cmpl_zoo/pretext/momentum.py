"""A slow average of a network, and a queue of what it has made of former clips."""

import copy
from typing import Self

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from cmpl_zoo.models import VideoModel

CHANNELS, MOMENTUM = 128, 0.999
EMPTY = -1  # the video of a place in the queue that had no key yet


class MomentumHead(nn.Module):
    """Projections of a network's features, by itself (queries) and by its average over training (keys).

    All that a resumed run needs is in parameters and buffers. The average does not learn, and is always in evaluation
    mode, with averages of the running statistics of batch norm, too (EMAN, Cai et al., CVPR 2021): a batch norm that
    sees queries and keys in one batch would let the network find the pairs by their statistics. MoCo shuffles clips
    between GPUs instead, which takes several. As an untrained network has no statistics that are worth keeping, their
    average is a plain one at first (our choice).

    Args:
        network: without a classifier.
        length: of the queue, in keys.

    Attributes:
        queue: the last keys, of length 1 (length, 128).
        videos: which video each is of, int64 (length,), or `EMPTY`.
    """

    queue: Tensor
    videos: Tensor
    place: Tensor
    updates: Tensor

    def __init__(self, network: VideoModel, length: int) -> None:
        super().__init__()
        channels = network.num_features
        self.projection = nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, CHANNELS))
        self.average = copy.deepcopy(nn.Sequential(network, self.projection)).requires_grad_(False).eval()
        self.register_buffer("queue", torch.zeros(length, CHANNELS))
        self.register_buffer("videos", torch.full((length,), EMPTY))
        self.register_buffer("place", torch.tensor(0))  # of the next key, before it is wrapped
        self.register_buffer("updates", torch.tensor(0))

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.average.eval()
        return self

    def queries(self, network: nn.Module, clips: Tensor) -> Tensor:
        """Projections of clips by the network that learns, of length 1 (N, 128)."""
        return F.normalize(self.projection(network(clips)).float(), dim=1)

    @torch.no_grad()
    def keys(self, network: nn.Module, clips: Tensor) -> Tensor:
        """Projections of clips by its average, which first moves towards it, of length 1 (N, 128)."""
        learned = nn.Sequential(network, self.projection)
        for weight, new_weight in zip(self.average.parameters(), learned.parameters(), strict=True):
            weight.lerp_(new_weight, 1 - MOMENTUM)
        self.updates += 1
        share = (1 / self.updates).clamp(min=1 - MOMENTUM)
        for statistic, new in zip(self.average.buffers(), learned.buffers(), strict=True):
            statistic.lerp_(new, share) if statistic.is_floating_point() else statistic.copy_(new)
        return F.normalize(self.average(clips).float(), dim=1)

    def enqueue(self, keys: Tensor, videos: Tensor) -> None:
        """Replace the oldest keys by those of all processes, and of more than there are places by the last of them."""
        keys, videos = (of_all_processes(new)[-len(self.queue) :] for new in (keys, videos))
        places = (self.place + torch.arange(len(keys), device=keys.device)) % len(self.queue)
        self.queue[places], self.videos[places] = keys, videos
        self.place += len(keys)


def of_all_processes(tensor: Tensor) -> Tensor:
    """The rows of all processes, in the order of their ranks."""
    if not dist.is_initialized():
        return tensor
    parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, tensor.contiguous())
    return torch.cat(parts)
