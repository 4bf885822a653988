"""CoCLR: which clips are of the same video, or of one that looks alike in the other of frames and optical flow?"""

import copy

import torch
from torch import Tensor, nn

from cmpl_zoo.models import VideoModel
from cmpl_zoo.pretext.flow import read_with_flow, seen_together
from cmpl_zoo.pretext.moco import MoCo
from cmpl_zoo.pretext.momentum import MomentumHead, two_layers, video_number
from cmpl_zoo.pretext.task import PretextClip, PretextLoss
from cmpl_zoo.video.sampling import random_clips
from cmpl_zoo.video.video import Video

NEIGHBORS = 5
NEIGHBORS_FROM = 0.6  # share of the steps in which a video's own clips are the only positives


class CoCLR(MoCo):
    """Which keys are of the query's video, or of its neighbors in the other stream: Han, Xie and Zisserman,
    Self-supervised Co-Training for Video Representation Learning (CoCLR, NeurIPS 2020).

    Paper and code: one network learns from frames and another one from optical flow. First each learns alone, as by
    `moco`. Then the five videos in the queue that are nearest to a video by the other network's keys are positives,
    too. Frames and flow of a clip share their random view.

    Our choice: both networks learn in every step, where the paper has them take turns, two times 100 epochs each after
    300 alone; so neighbors count from 60 % of the steps on. The video itself is always a positive, which the code
    mostly leaves out. Five neighbors, but no more than a tenth of the queue. Flow is OpenCV's DIS for TV-L1, and its
    colors are not changed. Views, averages and queue are those of `moco`. The result is the network of frames; right is
    when it finds the video itself.
    """

    clips = 4  # frames, flow, and both of another moment
    queue = 16384

    def __init__(self, clip: PretextClip, videos: int) -> None:
        super().__init__(clip, videos)
        self.view = self.crop  # of frames and flow; colors change frames alone

    def inputs(self, video: Video) -> tuple[Tensor, Tensor]:
        length = self.clip.frames
        [one], [other] = (random_clips(video.num_frames, length, [self.clip.stride]) for _ in range(2))
        views: list[Tensor] = []
        for part in zip(*(both.split(length) for both in read_with_flow(video, self.clip, one + other)), strict=True):
            frames, flow = seen_together(self.view, *part)
            views += [self.colors(frames).transpose(0, 1), flow.transpose(0, 1)]
        return torch.stack(views), torch.full((self.clips,), video_number(video.path))

    def head(self, network: VideoModel) -> "TwoStreams":
        return TwoStreams(network, self.classes, self.momentum)

    def loss(self, network: nn.Module, head: nn.Module, clips: Tensor, targets: Tensor) -> PretextLoss:
        assert isinstance(head, TwoStreams)
        videos, streams = targets[::4], [(network, head.frames), (head.flow_network, head.flow)]
        scores, neighbors = [], []
        for place, (learning, stream) in enumerate(streams):
            queries, keys = stream.queries(learning, clips[place::4]), stream.keys(learning, clips[place + 2 :: 4])
            stream.enqueue(keys, videos)
            scores.append(stream.scores(queries, keys, videos))
            neighbors.append(nearest(stream.scores(keys, keys, videos)[:, 1:], min(NEIGHBORS, self.classes // 10)))
        together = head.frames.updates > NEIGHBORS_FROM * self.batches
        losses = [
            several_positives(own, of_other & together)
            for own, of_other in zip(scores, reversed(neighbors), strict=True)
        ]
        right = (scores[0].argmax(dim=1) == 0).float().mean()
        return PretextLoss(torch.stack(losses).mean(), right)


class TwoStreams(nn.Module):
    """The network of flow, and for each stream an average and a queue, in which a video has the same place.

    Args:
        network: that learns from frames; that of flow starts as its copy.
        length: of the queues, in keys.
        momentum: of the averages.
    """

    def __init__(self, network: VideoModel, length: int, momentum: float) -> None:
        super().__init__()
        self.flow_network = copy.deepcopy(network)
        self.frames, self.flow = (
            MomentumHead(network, two_layers(network.num_features), length, momentum=momentum) for _ in range(2)
        )


def nearest(scores: Tensor, number: int) -> Tensor:
    """Which keys of the queue are the nearest to each video.

    Args:
        scores: as `MomentumHead.scores`, of the queue (N, length).
        number: of neighbors; fewer where not as many other videos are in the queue.

    Returns:
        bool (N, length).
    """
    best, places = scores.topk(number, dim=1)
    return torch.zeros_like(scores, dtype=torch.bool).scatter(1, places, best.isfinite())


def several_positives(scores: Tensor, neighbors: Tensor) -> Tensor:
    """InfoNCE with the first key and the neighbors as positives, of which one is enough: its mean over queries.

    Args:
        scores: as `MomentumHead.scores` (N, 1 + length).
        neighbors: which keys of the queue are positives, bool (N, length).
    """
    negatives = torch.cat([torch.zeros_like(neighbors[:, :1]), ~neighbors], dim=1)
    return (scores.logsumexp(dim=1) - scores.masked_fill(negatives, -torch.inf).logsumexp(dim=1)).mean()
