"""What a pretext task is made of: inputs, a head and a loss."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmpl_zoo.datasets.views import WeakView
from cmpl_zoo.models import VideoModel
from cmpl_zoo.video.video import Video


class PretextLoss(NamedTuple):
    """The loss of a batch.

    Attributes:
        total: a scalar, with its gradient.
        right: share of the questions that were answered right, a scalar in [0, 1] without gradient.
    """

    total: Tensor
    right: Tensor


class PretextClip(NamedTuple):
    """The clips that a task makes.

    Attributes:
        frames: their number.
        stride: step from one frame to the next, in frames of the video; a task may make it a multiple of this.
        size: height and width, in pixels.
        short_side: range of the short side that frames are resized to before the crop; see `WeakView`.
        flow: path of a video to that of its optical flow (see `cmpl_zoo.tools.flow`), for tasks that need it.
        one_color: change the colors of all frames of a clip alike, also where a task changes those of each frame by
            itself: if the network subtracts the mean frame, which then would not be what stands still.
    """

    frames: int
    stride: int
    size: int
    short_side: tuple[int, int]
    flow: Callable[[str], str] | None = None
    one_color: bool = False

    def span(self, clips: int = 1) -> int:
        """Frames of the video from the first to the last frame of so many clips, each right after the other."""
        return (clips * self.frames - 1) * self.stride + 1


class Task(ABC):
    """A question that a video answers itself.

    Args:
        clip: the clips to make.
        videos: how many videos are learned from.

    Raises:
        ValueError: the question makes no sense of such clips; the message follows the name of the task.

    Attributes:
        clips: how many clips are made of a video.
        classes: how many answers there are; by chance one in so many is right. Where that depends on the network, known
            once there is a head.
        moves: strides from the first to the last of the frames that the question is about; 0: of any clip.
        least_frames: the fewest frames of a video of which the question makes sense.
        batches: how many batches, or with --accumulation parts of them, the loss is computed of; a run sets it.
        accumulation: how many of these make a step; likewise.
        view: the random crop that frames are seen through, uint8 (n, 3, H, W) to (n, 3, size, size).
    """

    clips: ClassVar[int] = 1
    moves: ClassVar[int] = 0
    classes: int

    def __init__(self, clip: PretextClip, videos: int) -> None:
        if self.moves and clip.frames < 2:
            raise ValueError("asks for movement, which one frame does not show; give --frames 2 or more")
        self.least_frames = self.moves * clip.stride + 1
        self.clip, self.videos = clip, videos
        self.batches = self.accumulation = 1
        self.view: nn.Module = WeakView(clip.size, clip.short_side)

    @classmethod
    def question(cls) -> str:
        """What the task asks, and which paper it is of: the first paragraph of its documentation."""
        return (inspect.getdoc(cls) or "").partition("\n\n")[0].replace("\n", " ")

    @property
    def chance(self) -> str:
        """The share of questions that a guess answers right, in words."""
        return f"{100 / self.classes:.2g} %"

    def recolor(self, colors: nn.Module, frames: Tensor) -> Tensor:
        """Frames (n, 3, H, W) with random colors, of each frame by itself or, with `one_color`, of all alike."""
        return colors(frames) if self.clip.one_color else torch.stack([colors(frame) for frame in frames])

    @abstractmethod
    def inputs(self, video: Video) -> tuple[Tensor, Tensor]:
        """The clips of a video and their answers: uint8 (clips, 3, frames, size, size) and int64 (clips,), or, where an
        answer is several numbers, (clips, numbers).

        Random numbers come from torch's global generator.
        """

    def head(self, network: VideoModel) -> nn.Module:
        """What stands on the network's pooled features while it learns: by default a linear classifier."""
        return nn.Linear(network.num_features, self.classes)

    def loss(self, network: nn.Module, head: nn.Module, clips: Tensor, targets: Tensor) -> PretextLoss:
        """The loss of a batch: by default cross entropy.

        Args:
            network: without a classifier: clips to pooled features (N, channels).
            head: as `head` makes it.
            clips: normalized, float (videos * clips, 3, frames, size, size), those of a video next to each other.
            targets: int64 (videos * clips, ...).
        """
        answers = head(network(clips)).float()
        return PretextLoss(F.cross_entropy(answers, targets), (answers.argmax(dim=1) == targets).float().mean())
