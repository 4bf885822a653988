"""Motion: where in a clip does motion change most, and in which direction?"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmpl_zoo.models import VideoModel
from cmpl_zoo.pretext.flow import read_with_flow, seen_together
from cmpl_zoo.pretext.motion_statistics import BLOCKS, DIRECTIONS, statistics
from cmpl_zoo.pretext.task import PretextLoss, Task
from cmpl_zoo.video.flow import in_pixels
from cmpl_zoo.video.sampling import random_clips
from cmpl_zoo.video.video import Video


class Motion(Task):
    """Where motion changes most, and in which direction: Wang et al., Self-Supervised Spatio-Temporal Representation
    Learning for Videos by Predicting Motion and Appearance Statistics (CVPR 2019), its motion statistics.

    Paper and code: motion boundaries are the gradients of both components of the optical flow, summed over the clip, so
    that the camera's own motion is left out. Frames are divided in three ways: 4 x 4 squares, 4 square rings, and 8
    triangles. Of each, and of each component, the block with the largest boundaries and the direction, of 8, that they
    mostly have are to be predicted, and in which frame boundaries are largest: 14 numbers, counted from 1, by their
    squared error.

    Our choice: without the appearance statistics. Flow is OpenCV's DIS for TV-L1, from each frame of the clip to the
    next one of the video. Crops have a random scale and are mirrored (`WeakView`). A linear layer predicts, of pooled
    features as in the authors' later code (video_repres_sts) for R3D, and begins at the mean of the possible numbers.
    Right is a block of the 4 x 4 that the prediction is nearest to.
    """

    classes = BLOCKS[0]
    moves = 1

    def inputs(self, video: Video) -> tuple[Tensor, Tensor]:
        [indices] = random_clips(video.num_frames, self.clip.frames, [self.clip.stride])
        frames, flow = seen_together(self.view, *read_with_flow(video, self.clip, indices))
        return frames.transpose(0, 1)[None], statistics(in_pixels(flow))[None]

    def head(self, network: VideoModel) -> nn.Linear:
        most = torch.tensor([*(n for blocks in BLOCKS for n in (blocks, DIRECTIONS) * 2), *[self.clip.frames] * 2])
        head = nn.Linear(network.num_features, len(most))
        head.bias.data = (1 + most) / 2
        return head

    def loss(self, network: nn.Module, head: nn.Module, clips: Tensor, targets: Tensor) -> PretextLoss:
        predicted = head(network(clips)).float()
        right = (predicted.round() == targets)[:, [0, 2]].float().mean()
        return PretextLoss(F.mse_loss(predicted, targets.float()), right)
