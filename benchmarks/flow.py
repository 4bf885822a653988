"""How much of optical flow the way it is kept changes: what the task `motion` asks for, against the flow as computed.

    python benchmarks/flow.py NAME LIST [--root DIR] [--videos N]

Each of a random choice of videos is kept in every way. Of four clips of it, 8 frames of 48^2 out of a random crop, the
blocks, directions and frames that `motion` asks for are compared with those of the flow that nothing was done to.
"""

import argparse
import os
import tempfile
from pathlib import Path

import av
import numpy as np
import torch
import torch.nn.functional as F
from harness import save
from torch import Tensor

from cmpl_zoo.datasets import read_list
from cmpl_zoo.pretext.motion_statistics import statistics
from cmpl_zoo.tools.flow import X264_OPTIONS, flow_of
from cmpl_zoo.video.flow import FASTEST, STEPS, ZERO, as_color, in_pixels
from cmpl_zoo.video.video import Video

CLIPS, FRAMES, SIZE, CROP = 4, 8, 48, 0.875
CODECS = {
    "RGB, lossless": ("libx264rgb", "rgb24", {"qp": "0"}),
    "RGB, crf 12": ("libx264rgb", "rgb24", {"crf": "12"}),
    "RGB, crf 18": ("libx264rgb", "rgb24", {"crf": "18"}),
    "YUV 4:4:4, crf 18": ("libx264", "yuv444p", {"crf": "18"}),
    "YUV 4:2:0, crf 18": ("libx264", "yuv420p", {"crf": "18"}),
}
Way = tuple[str, str]  # to keep flow: its colors and its codec
USUAL = 20  # pixels of the largest color, as flow is often kept


def even_color(flow: np.ndarray) -> np.ndarray:
    """As `as_color`, but colors grow evenly with the movement."""
    return as_color(np.sign(flow) * FASTEST * (flow / USUAL).clip(-1, 1) ** 2)


def even_pixels(color: Tensor) -> Tensor:
    """The inverse of `even_color`, as `in_pixels`."""
    return USUAL * (color[..., :2, :, :].float() - ZERO) / STEPS


COLORS = {f"even, up to {USUAL} px": (even_color, even_pixels), f"root, up to {FASTEST} px": (as_color, in_pixels)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("list")
    parser.add_argument("--root", default=".")
    parser.add_argument("--videos", type=int, default=20)
    args = parser.parse_args()
    paths = read_list(args.list, args.root, labeled=False).paths
    generator = np.random.default_rng(0)
    same: dict[Way, list[Tensor]] = {(color, codec): [] for color in COLORS for codec in CODECS}
    size = {way: [0, 0] for way in same}
    for number in generator.permutation(len(paths))[: args.videos]:
        with Video(paths[number]) as video:
            flow = np.stack(list(flow_of(video, 128)))
        if len(flow) >= FRAMES:
            compare(flow, same, size)
    rows = []
    for (color, codec), answers in same.items():
        part = torch.stack(answers).float().mean(dim=0)
        blocks, directions, frames = part[:12:2].mean(), part[1:12:2].mean(), part[12:].mean()
        total, count = size[color, codec]
        rows.append([f"{color}; {codec}", f"{total / count:.0f}", *(f"{x:.3f}" for x in (blocks, directions, frames))])
        print(*rows[-1], sep="\t")
    clips = len(next(iter(same.values())))
    result = {
        "experiment": f"flow-{args.name}",
        "caption": f"{clips} clips of {clips // CLIPS} videos; the share that is as of the flow as computed.",
        "columns": ["", "bytes a frame", "blocks", "directions", "frames"],
        "rows": rows,
    }
    print(save(result))


def compare(
    flow: np.ndarray, same: dict[tuple[str, str], list[Tensor]], size: dict[tuple[str, str], list[int]]
) -> None:
    """Add to `same` which of the numbers of some clips stay, for each way to keep a flow, and to `size` its bytes."""
    height, width = flow.shape[1:3]
    side = int(CROP * min(height, width))
    corners = [
        [int(torch.randint(most + 1, ())) for most in (len(flow) - FRAMES, height - side, width - side)]
        for _ in range(CLIPS)
    ]

    def clips(frames: Tensor) -> list[Tensor]:
        return [
            F.interpolate(frames[t : t + FRAMES, :, y : y + side, x : x + side].float(), (SIZE, SIZE), mode="bilinear",
                          antialias=True)
            for t, y, x in corners
        ]  # fmt: skip

    wanted = [statistics(clip) for clip in clips(torch.from_numpy(flow).permute(0, 3, 1, 2))]
    for (color, codec), answers in same.items():
        to_color, to_pixels = COLORS[color]
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "flow.mp4")
            write(file, [to_color(frame) for frame in flow], codec)
            with Video(file) as video:
                kept = video.read(range(len(flow))).permute(0, 3, 1, 2)
            size[color, codec][0] += os.path.getsize(file)
            size[color, codec][1] += len(flow)
        found = [statistics(to_pixels(clip)) for clip in clips(kept)]
        answers += [one == other for one, other in zip(wanted, found, strict=True)]


def write(file: Path, frames: list[np.ndarray], codec: str) -> None:
    """Write frames, uint8 (height, width, 3), by one of `CODECS`."""
    name, pixels, options = CODECS[codec]
    common = {option: value for option, value in X264_OPTIONS.items() if option != "crf"}
    with av.open(str(file), "w") as container:
        stream = container.add_stream(name, rate=25, options=common | options)
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], pixels
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
