"""The options of pretraining, and what makes them valid."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from cmpl_zoo_cli.run_options import (
    ABOVE_0,
    ENDLESS,
    Range,
    RunOptions,
    check_parts,
    check_ranges,
    check_short_side,
    need,
)

FLOW_TASKS = ("motion", "coclr")

RANGES: list[Range] = [
    ("size", 32, ENDLESS, "must be at least 32 pixels, and is"),
    ("crop_pct", ABOVE_0, 1, "is a share above 0, up to 1, not"),
    *((option, 1, ENDLESS, "must be at least 1, and is") for option in ("frames", "stride", "batch")),
]


@dataclass(frozen=True, kw_only=True)
class PretextOptions:
    """What is learned from, by which task, and which network."""

    unlabeled: str
    """List of videos (CSV with the header path), or a folder of them; labels are not looked at."""
    output: str
    """Folder for the run: the model, metrics, state."""
    root: str = "."
    """Folder that the paths in the list start from."""
    flow: str | None = None
    """Folder of their optical flow, which cmpl-zoo flow makes, for --task motion and coclr."""
    dataset: str | None = None
    """Name of the data set, for the model card."""
    license: str | None = None
    """License of the trained weights, for the model card, such as cc-by-nc-4.0."""

    task: Literal[
        "moco", "pace", "arrow", "rotation", "speed", "order", "puzzle", "dpc", "tempo", "motion", "coclr"
    ] = "moco"
    """What is asked of the videos: moco (are two clips of one video?), pace (how fast is it played?), arrow (forwards
    or backwards?), rotation (which side is up?), speed (normal or double?), order (which of three clips comes first?),
    puzzle (where does each of four pieces belong?), dpc (what comes next?), tempo (are a slow and a fast clip of one
    moment?), motion (where does motion change most, and in which direction?), coclr (are clips of one video, or
    alike by their motion?)."""
    model: str = "r3d50"
    """The network."""
    init: str | None = None
    """Model or model directory whose weights it starts from; random by default."""
    subtract_mean_frame: bool = False
    """Subtract the mean frame of a clip in the network: for cameras that stand still."""
    normalize_clip: bool = False
    """Take each clip's mean and standard deviation out of it in the network: for light and contrast that differ."""

    frames: int = 8
    """Frames in a clip; of puzzle in a piece, of dpc in a block."""
    stride: int = 4
    """Step from one frame of a clip to the next, in frames of the video; pace, speed and tempo multiply it."""
    size: int = 112
    """Height and width of a clip, in pixels; of puzzle of a piece."""
    short_side: tuple[int, int] = (128, 160)
    """Range of the short side, in pixels, that frames are resized to before the crop to --size."""
    crop_pct: float = 0.875
    """Size divided by the short side that test frames are resized to, by whoever uses the network."""

    batch: int = 32
    """Videos per step, over all processes; a task makes one to eight clips of each."""


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(RunOptions, PretextOptions):  # fields of the last base come first
    """A network learns from videos without any label, by a task that they answer themselves."""

    free_on_resume: ClassVar[frozenset[str]] = frozenset({
        "root", "flow", "resume", "overwrite", "dataset", "license", "workers", "log_every", "save_every_steps",
        "save_every_minutes", "keep_states", "timeout_minutes", "max_unreadable", "output",
    })  # fmt: skip
    inputs: ClassVar[tuple[str, ...]] = ("init", "unlabeled", "root", "flow")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, RANGES)
        check_parts(self, ["batch"])
        check_short_side(self.size, self.short_side)
        need(
            self.flow is not None or self.task not in FLOW_TASKS,
            f"--task {self.task} learns from optical flow; make it with cmpl-zoo flow LIST -o DIR, and give --flow DIR",
        )
        need(
            self.flow is None or self.task in FLOW_TASKS,
            f"--flow is for --task {' and '.join(FLOW_TASKS)}, not {self.task}; leave it out",
        )
