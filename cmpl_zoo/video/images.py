"""Videos whose frames can be read one by one: folders of images, files of decoded frames, animated images."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

from cmpl_zoo.video.errors import VideoError

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png"}


class ImageFolder:
    """The JPEG and PNG images in a folder, in natural order of their names.

    Raises:
        VideoError: it holds none, or cannot be read.
    """

    def __init__(self, path: str) -> None:
        try:
            files = [file for file in Path(path).iterdir() if file.suffix.lower() in IMAGE_SUFFIXES]
        except OSError as error:
            raise VideoError(f"{path}: this folder cannot be read: {error.strerror}; check its permissions") from error
        # Archives made on a Mac have a hidden file ._NAME beside each image, which is not an image.
        self.files = sorted((file for file in files if file.name[0] != "."), key=_natural_order)
        if not self.files:
            raise VideoError(f"{path}: a folder without JPEG or PNG frames; give a video or such a folder")

    def __len__(self) -> int:
        return len(self.files)

    def read(self, index: int) -> Tensor:
        """An image as uint8 (height, width, 3), resized to the size of the first one if it differs.

        Raises:
            VideoError: it cannot be decoded.
        """
        file = self.files[index]
        try:
            with Image.open(file) as image, Image.open(self.files[0]) as first:
                size = first.size[::-1] if _is_transposed(first) else first.size
                rgb = as_rgb(image)
                return torch.from_numpy(np.array(rgb if rgb.size == size else rgb.resize(size)))
        except Exception as error:  # Pillow raises errors of many types for damaged images
            raise VideoError(f"{file}: not an image that can be decoded ({error})") from error


class FrameArray:
    """A `.npy` file of decoded frames, uint8 (frames, height, width, 3); only the frames asked for are loaded.

    Raises:
        VideoError: it is not such a file.
    """

    def __init__(self, path: str) -> None:
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except Exception as error:  # numpy parses the header as Python and raises errors of many types
            raise VideoError(f"{path}: not a .npy file that can be read ({error})") from error
        if not isinstance(array, np.ndarray):
            raise VideoError(f"{path}: an archive of arrays; decoded frames are one array in a .npy file")
        if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] != 3 or not array.size:
            raise VideoError(
                f"{path}: holds {array.dtype} of shape {array.shape}; decoded frames are uint8 (frames, height, "
                "width, 3)"
            )
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    def read(self, index: int) -> Tensor:
        """A frame as uint8 (height, width, 3)."""
        return torch.from_numpy(np.array(self.array[index]))


class AnimatedImage:
    """A WebP image, animated or not: FFmpeg's decoder reads only those that are not.

    Args:
        path: its name, for messages.
        source: its path, or a file object that holds it.

    Raises:
        VideoError: it cannot be opened.
    """

    def __init__(self, path: str, source: Any) -> None:
        self.path = path
        try:
            self.image = Image.open(source, formats=["WEBP"])
        except Exception as error:
            raise VideoError(f"{path}: not an image that can be decoded ({error})") from error

    def __len__(self) -> int:
        return getattr(self.image, "n_frames", 1)

    def read(self, index: int) -> Tensor:
        """A frame as uint8 (height, width, 3).

        Raises:
            VideoError: it cannot be decoded.
        """
        try:
            self.image.seek(index)
            return torch.from_numpy(np.array(self.image.convert("RGB")))
        except Exception as error:
            raise VideoError(f"{self.path}: frame {index} cannot be decoded ({error})") from error

    def close(self) -> None:
        self.image.close()


def as_rgb(image: Image.Image) -> Image.Image:
    """An image in RGB of 8 bits, turned as its camera noted: the upper 8 bits of 16, where Pillow would cut off."""
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.format == "JPEG":  # of a PNG the note is after its pixels, and all of it would be decoded again to see it
        image = ImageOps.exif_transpose(image)
    return image.convert("RGB")


def _is_transposed(image: Image.Image) -> bool:
    """Whether `as_rgb` swaps its width and height."""
    return image.format == "JPEG" and image.getexif().get(ExifTags.Base.Orientation, 1) >= 5


def _natural_order(file: Path) -> list[tuple[int, int | str]]:
    """A sort key that puts img_2 before img_10."""
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", file.name)]
