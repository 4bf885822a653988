"""Puzzle: where in a video do four pieces belong?"""

import torch
from torch import Tensor, nn

from cmpl_zoo.datasets.views import WeakView
from cmpl_zoo.models import VideoModel
from cmpl_zoo.pretext.order import HIDDEN, Order
from cmpl_zoo.pretext.task import PretextClip
from cmpl_zoo.video.video import Video

WIDER, LONGER = 1.4, 2  # a cell than a piece: 112 pixels and 80, 32 frames and 16


class Puzzle(Order):
    """In which of 24 orders four pieces of a video are shown: Kim, Cho and Kweon, Self-Supervised Video Representation
    Learning with Space-Time Cubic Puzzles (AAAI 2019).

    Paper: of the cells of a grid, 2 x 2 in space and 4 in time, four are taken that lie side by side in space or follow
    each other in time, and are shuffled. A piece is cut out of its cell at random, and one channel replaces all three,
    so that neither edges nor colors fit together. The features of the four pieces are joined late.

    Our choice: code of the authors, and details, are not known to us. Space and time are equally probable, and the 24
    orders and the head, one hidden layer of 512, are the same for both. `frames`, `stride` and `size` are those of a
    piece; its cell is 1.4 times as wide and twice as long, or shorter where the video is. All pieces show the same
    channel. The grid is a crop of random scale, mirrored at random (`WeakView`); it shows as much of a frame as other
    tasks' clips do at that `size` and `short_side`. The targets are the true places, as of `Order`: in space from left
    to right and from top to bottom.
    """

    clips = 4
    classes = 24

    def __init__(self, clip: PretextClip, videos: int) -> None:
        super().__init__(clip, videos)
        self.cell = round(WIDER * clip.size)
        least, greatest = (round(side * 2 * self.cell / clip.size) for side in clip.short_side)
        self.view = WeakView(2 * self.cell, (least, greatest))

    def inputs(self, video: Video) -> tuple[Tensor, Tensor]:
        length, stride, size = self.clip.frames, self.clip.stride, self.clip.size
        places, same = torch.randperm(self.clips), torch.randint(self.clips, ()).expand(self.clips)
        times, corners = (places, same) if torch.randint(2, ()) else (same, places)
        duration = min(LONGER * length * stride, video.num_frames // self.clips)  # of a cell, in frames of the video
        start = torch.randint(video.num_frames - self.clips * duration + 1, ())
        starts = start + times * duration + torch.randint(duration - self.clip.span() + 1, (self.clips,))
        indices = starts[:, None] + stride * torch.arange(length)
        grid = self.view(one_channel(video.read(indices.flatten()).permute(0, 3, 1, 2)))
        pieces = []
        for part, corner in zip(grid.split(length), corners.tolist(), strict=True):
            top, left = (side * self.cell + int(torch.randint(self.cell - size + 1, ())) for side in divmod(corner, 2))
            pieces.append(part[..., top : top + size, left : left + size].transpose(0, 1))
        return torch.stack(pieces), places

    def head(self, network: VideoModel) -> nn.Module:
        joined = nn.Linear(self.clips * network.num_features, HIDDEN)
        return nn.Sequential(nn.Flatten(), joined, nn.ReLU(), nn.Linear(HIDDEN, self.classes))


def one_channel(frames: Tensor) -> Tensor:
    """Frames (..., 3, H, W) with one of their channels, drawn at random, in place of all three."""
    return frames[..., torch.randint(3, (1,)), :, :].expand_as(frames)
