"""What a network of a run is given: its own clips of a batch, normalized."""

import torch
from torch import Tensor, nn

from cmpl_zoo.models import VideoModel


class ClipInput(nn.Module):
    """A network's own clips of a batch, normalized by its mean and std, channels last.

    Args:
        network: `mean` and `std` of its `pretrained_cfg`, for values in 0..1.
        place: of its clips among those of a sample.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: VideoModel, place: int) -> None:
        super().__init__()
        self.place = place
        for name in ("mean", "std"):
            value = 255 * torch.tensor(network.pretrained_cfg[name])[None, :, None, None, None]
            self.register_buffer(name, value, persistent=False)

    def forward(self, clips: list[Tensor]) -> Tensor:
        """uint8 clips of a view, (batch, 3, T, H, W) each, to one of them in float32."""
        own = clips[self.place].contiguous(memory_format=torch.channels_last_3d)
        return (own - self.mean) / self.std
