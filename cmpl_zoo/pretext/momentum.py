"""A slow average of a network, and a queue of what it has made of former clips."""

import copy
import hashlib
import os
from collections.abc import Sequence
from typing import Self

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

CHANNELS, MOMENTUM, TEMPERATURE = 128, 0.999, 0.07
EMPTY = -1  # the video of a place in the queue that had no key yet


class MomentumHead(nn.Module):
    """Projections of a network's features, by itself (queries) and by its average over training (keys).

    All that a resumed run needs is in parameters and buffers. The average does not learn, and is always in evaluation
    mode, with averages of the running statistics of batch norm, too (EMAN, Cai et al., CVPR 2021): a batch norm that
    sees queries and keys in one batch would let the network find the pairs by their statistics. MoCo shuffles clips
    between GPUs instead, which takes several. As an untrained network has no statistics that are worth keeping, their
    average is a plain one at first (our choice).

    Args:
        network: clips to features (N, channels).
        projection: these to (N, *shape).
        length: of the queue, in keys.
        shape: of a key; its last dimension is compared.
        momentum: how much of the average is kept each time that keys are made.

    Attributes:
        queue: the last keys, of length 1 (length, *shape).
        videos: which video each is of, int64 (length,), or `EMPTY`.
    """

    queue: Tensor
    videos: Tensor
    place: Tensor
    updates: Tensor

    def __init__(
        self,
        network: nn.Module,
        projection: nn.Module,
        length: int,
        shape: Sequence[int] = (CHANNELS,),
        momentum: float = MOMENTUM,
    ) -> None:
        super().__init__()
        self.momentum = momentum
        self.projection = projection
        self.average = copy.deepcopy(nn.Sequential(network, self.projection)).requires_grad_(False).eval()
        self.register_buffer("queue", torch.zeros(length, *shape))
        self.register_buffer("videos", torch.full((length,), EMPTY))
        self.register_buffer("place", torch.tensor(0))  # of the next key, before it is wrapped
        self.register_buffer("updates", torch.tensor(0))

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.average.eval()
        return self

    def queries(self, network: nn.Module, clips: Tensor) -> Tensor:
        """Projections of clips by the network that learns, of length 1 (N, *shape)."""
        return F.normalize(self.projection(network(clips)).float(), dim=-1)

    @torch.no_grad()
    def keys(self, network: nn.Module, clips: Tensor) -> Tensor:
        """Projections of clips by its average, which first moves towards it, of length 1 (N, *shape)."""
        learned = nn.Sequential(network, self.projection)
        for weight, new_weight in zip(self.average.parameters(), learned.parameters(), strict=True):
            weight.lerp_(new_weight, 1 - self.momentum)
        self.updates += 1
        share = (1 / self.updates).clamp(min=1 - self.momentum)
        for statistic, new in zip(self.average.buffers(), learned.buffers(), strict=True):
            statistic.lerp_(new, share) if statistic.is_floating_point() else statistic.copy_(new)
        return F.normalize(self.average(clips).float(), dim=-1)

    def enqueue(self, keys: Tensor, videos: Tensor) -> None:
        """Replace the oldest keys by those of all processes, and of more than there are places by the last of them."""
        keys, videos = (of_all_processes(new)[-len(self.queue) :] for new in (keys, videos))
        places = (self.place + torch.arange(len(keys), device=keys.device)) % len(self.queue)
        self.queue[places], self.videos[places] = keys, videos
        self.place += len(keys)

    def scores(self, queries: Tensor, keys: Tensor, videos: Tensor) -> Tensor:
        """How alike queries are to their keys, and to those in the queue, over the temperature.

        Args:
            queries: of length 1 (N, *shape).
            keys: one for each.
            videos: which video each query is of, (N,).

        Returns:
            (N, *shape without its last dimension, 1 + length), minus infinity for keys in the queue that are of the
            query's video, and for empty places.
        """
        no_negatives = (videos[:, None] == self.videos) | (self.videos == EMPTY)
        with torch.autocast(queries.device.type, enabled=False):
            positives = (queries * keys).sum(dim=-1, keepdim=True)
            negatives = torch.einsum("n...c,l...c->n...l", queries, self.queue.clone())
        levels = [1] * (queries.ndim - 2)
        negatives = negatives.masked_fill(no_negatives.view(len(videos), *levels, -1), -torch.inf)
        return torch.cat([positives, negatives], dim=-1) / TEMPERATURE


def two_layers(channels: int) -> nn.Sequential:
    """The projection of features that MoCo v2 has."""
    return nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, CHANNELS))


def video_number(path: str) -> int:
    """A number by which the clips of a video are known, whichever process reads it."""
    return int.from_bytes(hashlib.sha256(os.fsencode(path)).digest()[:7])


def of_all_processes(tensor: Tensor) -> Tensor:
    """The rows of all processes, in the order of their ranks."""
    if not dist.is_initialized():
        return tensor
    parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, tensor.contiguous())
    return torch.cat(parts)
