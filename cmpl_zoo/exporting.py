"""A model as one file that runs without this package: ONNX, or the .pt2 of torch.export.

The file takes float32 clips (batch, 3, frames, height, width), normalized, and gives float32 logits (batch, classes);
the batch may be of any size. Its metadata holds what else a program needs, as JSON: `class_names`, a list in the order
of the logits; `clip`, the settings of `cmpl_zoo.resolve_clip_config`; and `license`, where the weights have one.
"""

import copy
import io
import json
import logging
import os
import tempfile
import timeit
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.video import swin_transformer

from cmpl_zoo._files import atomic_write
from cmpl_zoo.demo.render import render_demo
from cmpl_zoo.models import VideoModel
from cmpl_zoo.models.labels import label_names
from cmpl_zoo.models.r3d import R3D
from cmpl_zoo.models.torchvision_video import VideoSwin
from cmpl_zoo.video.clips import load_clip, resolve_clip_config

# The largest difference of a probability that is still taken as rounding, in float32 and in half precision; our choice.
TOLERANCE = {False: 1e-3, True: 1e-2}
TIMED_RUNS = 5


class ExportError(Exception):
    """A model cannot be exported, or the file does not give what the model gives."""


@dataclass(frozen=True)
class Exported:
    """What is known of a file.

    Attributes:
        megabytes: its size.
        clips: how many clips it was compared on.
        difference: the largest difference of a probability from PyTorch's.
        runtime: what ran it, with its version.
        seconds: for a clip, by that runtime: the median of five runs of a batch of one.
        pytorch_seconds: the same of the model itself, in float32.
    """

    megabytes: float
    clips: int
    difference: float
    runtime: str
    seconds: float
    pytorch_seconds: float


class InHalfPrecision(nn.Module):
    """A copy of a model that computes in float16, from float32 clips to float32 logits."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).half()

    def forward(self, clips: Tensor) -> Tensor:
        return self.model(clips.half()).float()


def export_model(
    model: VideoModel, file: str | os.PathLike[str], videos: Sequence[str] = (), *, half: bool = False
) -> Exported:
    """Write a model to a file that runs without this package, once it has given the model's probabilities.

    They are compared on one clip of each video, in batches of one and of two.

    Args:
        model: a classifier of this zoo in evaluation mode, in float32 on the CPU; it stays as it is. In the file, an
            R3D's batch norm is folded into its convolutions.
        file: NAME.onnx or NAME.pt2; replaced where it exists.
        videos: to compare the probabilities on; without any, eight rendered videos of the demo.
        half: weights and computation in float16: half the size.

    Raises:
        ExportError: torch cannot export the network, a probability differs from PyTorch's by more than `TOLERANCE`, or
            the file cannot be written. There is no file then.
        ModuleNotFoundError: a package of the extra `export` is missing, for ONNX.
        ValueError: the name ends in neither suffix, or as `resolve_clip_config`; the model has no classifier.
        VideoError: nothing of a video can be decoded.
    """
    file = Path(file)
    if file.suffix not in (".onnx", ".pt2"):
        raise ValueError(f"{file}: the name says the format and must end in .onnx or .pt2; give another name")
    names, settings = label_names(model), resolve_clip_config(model)
    if not names:
        raise ValueError("the model has no classifier (num_classes is 0); export one that names classes")
    about = {"class_names": json.dumps(names), "clip": json.dumps(settings)}
    if license := model.pretrained_cfg.get("license"):
        about["license"] = json.dumps(license)
    if isinstance(model, R3D):
        model = copy.deepcopy(model)
        model.reparameterize()
    with torch.inference_mode():
        clips = _clips(videos, {**settings, "clips": 1, "crops": 1})
        expected = torch.cat([model(part) for part in clips.split(2)])
    make, load = (_onnx, _load_onnx) if file.suffix == ".onnx" else (_pt2, _load_pt2)
    try:
        # Of two clips: from an example of one, torch.export would fix the batch.
        with _window_masks_known(model, clips[:1]):
            content = make(InHalfPrecision(model) if half else model, torch.zeros(2, *clips.shape[1:]), about)
    except ModuleNotFoundError:
        raise
    except Exception as error:  # of whatever kind the exporters raise
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        other = ".pt2" if file.suffix == ".onnx" else ".onnx"
        raise ExportError(
            f"{file}: torch {torch.__version__} cannot export {model.pretrained_cfg['architecture']} to "
            f"{file.suffix} ({first}); try {other}, or another network"
        ) from error
    runtime, run = load(content)
    with torch.inference_mode():
        others = clips[1:].split(2) if len(clips) > 1 else ()
        found = torch.cat([run(part) for part in (clips[:1], *others)])
        difference = (found.softmax(1) - expected.softmax(1)).abs().max().item()
        if not difference <= TOLERANCE[half]:
            raise ExportError(
                f"{file}: its probabilities differ from PyTorch's by up to {difference:.2g}, more than "
                f"{TOLERANCE[half]:g}; " + ("leave out --half" if half else "try the other format, or another network")
            )
        seconds, pytorch_seconds = _seconds(lambda: run(clips[:1])), _seconds(lambda: model(clips[:1]))
    try:
        with atomic_write(file) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise ExportError(f"{file}: cannot write this file: {error.strerror}; give another path") from error
    return Exported(len(content) / 1e6, len(clips), difference, runtime, seconds, pytorch_seconds)


def _clips(videos: Sequence[str], settings: dict[str, Any]) -> Tensor:
    """One clip of each video, or of each of the demo's."""
    if videos:
        return torch.cat([load_clip(video, **settings) for video in videos])
    with tempfile.TemporaryDirectory() as folder:
        render_demo(Path(folder), videos_per_class=1)
        return torch.cat([load_clip(video, **settings) for video in sorted(Path(folder).glob("*/*.mp4"))])


@contextmanager
def _window_masks_known(model: nn.Module, clips: Tensor) -> Iterator[None]:
    """torchvision's Swin makes the masks of its windows by hundreds of assignments, on which an export takes minutes.

    They depend on the size of the clips alone: here each is made from the number of the region that a pixel of a window
    belongs to, which is a constant.
    """
    if not isinstance(model, VideoSwin):
        yield
        return
    make_mask = swin_transformer._compute_attention_mask_3d
    regions: dict[tuple[object, ...], Tensor] = {}  # (windows, pixels) by the sizes of the feature map and the windows

    def remember(x: Tensor, *sizes: object) -> Tensor:
        mask = make_mask(x, *sizes)
        regions[sizes] = (mask == 0).int().argmax(dim=-1)  # the first pixel that a pixel may attend to
        return mask

    def known(x: Tensor, *sizes: object) -> Tensor:
        region = regions[sizes]
        apart = region.unsqueeze(1) != region.unsqueeze(2)
        return apart.to(x.dtype) * -100  # as torchvision has it

    try:
        swin_transformer._compute_attention_mask_3d = remember
        with torch.no_grad():
            model(clips)
        swin_transformer._compute_attention_mask_3d = known
        yield
    finally:
        swin_transformer._compute_attention_mask_3d = make_mask


def _onnx(model: nn.Module, clips: Tensor, about: dict[str, str]) -> bytes:
    import onnxruntime  # noqa: F401 (told before the work, not after it)
    import onnxscript  # noqa: F401

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(action="ignore"):
        program = torch.onnx.export(
            model,
            (clips,),
            input_names=["clips"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    program.model.metadata_props.update(about)
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # where on this machine its code lies
    return program.model_proto.SerializeToString()


def _load_onnx(content: bytes) -> tuple[str, Callable[[Tensor], Tensor]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return (
        f"onnxruntime {onnxruntime.__version__}",
        lambda clips: torch.from_numpy(session.run(["logits"], {"clips": clips.numpy()})[0]),
    )


def _pt2(model: nn.Module, clips: Tensor, about: dict[str, str]) -> bytes:
    content = io.BytesIO()
    with warnings.catch_warnings(action="ignore"), torch.no_grad():
        batch = torch.export.Dim("batch", min=1)
        program = torch.export.export(model, (clips,), dynamic_shapes=({0: batch},))
        program.example_inputs = None  # which would be saved too
        for node in program.graph.nodes:
            node.meta.pop("stack_trace", None)  # where on this machine its code lies
        torch.export.save(program, content, extra_files=about)
    return content.getvalue()


def _load_pt2(content: bytes) -> tuple[str, Callable[[Tensor], Tensor]]:
    with warnings.catch_warnings(action="ignore"):
        return f"torch.export {torch.__version__}", torch.export.load(io.BytesIO(content)).module()


def _seconds(work: Callable[[], object]) -> float:
    return median(timeit.repeat(work, number=1, repeat=TIMED_RUNS))
