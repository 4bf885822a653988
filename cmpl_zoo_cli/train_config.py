"""The options of training, and what makes them valid."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from cmpl_zoo_cli.run_options import (
    ABOVE_0,
    BELOW_1,
    ENDLESS,
    Range,
    RunOptions,
    check_parts,
    check_ranges,
    check_short_side,
    need,
)

# Options that change neither the weights nor what they are called: a run may be continued with others. What is drawn
# depends on places in the lists to train on, not on folders.
FREE_ON_RESUME = {
    "val", "root", "unlabeled_root", "val_root", "resume", "overwrite", "dataset", "license", "workers", "log_every",
    "val_every", "save_every_steps", "save_every_minutes", "keep_states", "timeout_minutes", "max_unreadable", "output",
    "patience",
}  # fmt: skip
CPU_RECIPE, GPU_RECIPE = "own_videos", "finetune"  # where none is given, by the device
PASSES = 10  # over the labeled videos, at least, where a rule chooses the steps; our choice (docs/own_videos.md)
MOST_FRAMES = 10_000  # of the test views of a video, as in a config.json; more is an accident
RANGES: list[Range] = [
    ("threshold", 0, 1, "is a probability from 0 to 1, not"),
    ("ema", 0, BELOW_1, "is a decay from 0 (off) to below 1, not"),
    ("drop_rate", 0, BELOW_1, "is a share from 0 to below 1, not"),
    ("crop_pct", ABOVE_0, 1, "is a share above 0, up to 1, not"),
    ("layer_decay", ABOVE_0, 1, "is a factor above 0, up to 1, not"),
    *((option, 32, ENDLESS, "must be at least 32 pixels, and is") for option in ("size", "auxiliary_size")),
    *(
        (option, 1, ENDLESS, "must be at least 1, and is")
        for option in (
            "labeled_batch",
            "frames",
            "auxiliary_frames",
            "primary_stride",
            "auxiliary_stride",
            "test_clips",
        )
    ),
    *(
        (option, 0, ENDLESS, "must not be negative, and is")
        for option in ("lambda_u", "unlabeled_warmup", "val_every", "patience")
    ),
]


@dataclass(frozen=True)
class OwnVideos:
    """A folder of videos that the lists of a run are made of."""

    videos: str | None = None
    """The folder; without one, lists are given."""
    labels: list[str] | None = None
    """Files with the labels of the videos in the folder; by default the class folders are the labels."""
    group: str | None = None
    """Column of --labels, or folder: videos with the same value in it, such as clips of one recording, are held out for
    validation together or not at all, and those without a label are then left out; by default a video is a group of its
    own, and the segments of a file are one."""
    val_share: float = 0.2
    """Share of the labeled videos in VIDEOS that are held out for validation, unless --val gives others; 0 for none."""

    def __post_init__(self) -> None:
        if not 0 <= self.val_share < 1:
            raise ValueError(f"--val-share is a share from 0 to below 1, not {self.val_share:g}")


@dataclass(frozen=True, kw_only=True)
class CMPLOptions:
    """What CMPL learns from, which networks, which clips, and which network labels which."""

    labeled: str
    """List of labeled videos: CSV with the header path,label; by default those in VIDEOS."""
    output: str
    """Folder for the run: models, metrics, state."""
    unlabeled: str | None = None
    """List of unlabeled videos (CSV with the header path; labels in it, if any, only tell how many pseudo-labels are
    right), or a folder of them; they are added to those in VIDEOS, if that is given."""
    val: str | None = None
    """List of labeled videos to validate on: CSV with the header path,label."""
    root: str = "."
    """Folder that the paths in the lists start from; with VIDEOS it is that one."""
    unlabeled_root: str | None = None
    """The same for the unlabeled list; by default that of --root."""
    val_root: str | None = None
    """The same for the validation list; by default that of --root."""
    classes: str | None = None
    """kinetics400, ucf101, or a text file with a class name per line, in the order of class ids; by default the sorted
    labels, as numbers where all are whole numbers."""

    dataset: str | None = None
    """Name of the data set, for the model card."""
    license: str | None = None
    """License of the trained weights, for the model card, such as cc-by-nc-4.0."""

    primary: str = "r3d50"
    """Primary network, F."""
    auxiliary: str | None = "r3d50_quarter"
    """Auxiliary network, A, or null for none."""
    primary_stride: int = 8
    """Step from one frame of F's clips to the next, in frames of the video, or with --fps in 1/fps seconds."""
    auxiliary_stride: int = 8
    """The same for A."""
    init: str | None = None
    """Model or model directory whose weights F starts from; random by default."""
    auxiliary_init: str | None = None
    """The same for A, if there is A; random by default."""
    freeze: str | None = None
    """Keep a stage and all before it as they are, in each network with weights to start from: stem, 1, 2, 3, 4, or all,
    which trains the classifier alone; by default everything learns."""
    drop_rate: float = 0.5
    """Dropout rate before the classifiers."""
    subtract_mean_frame: bool = False
    """Subtract the mean frame of a clip in both networks: for cameras that stand still."""
    normalize_clip: bool = False
    """Take each clip's mean and standard deviation out of it in both networks: for light and contrast that differ."""

    frames: int = 8
    """Frames in a clip."""
    auxiliary_frames: int | None = None
    """The same for A; by default as many as for F."""
    fps: float | None = None
    """Frame rate that strides count by, whatever that of a video is; by default frames of the video are counted."""
    spread: bool = False
    """Spread the frames of a clip over the whole video instead of taking them a stride apart: for trimmed videos of
    unequal length, such as words, signs and gestures."""
    size: int = 224
    """Height and width of a clip, in pixels."""
    auxiliary_size: int | None = None
    """The same for A, whose clips show the same part of the frame; by default that of F."""
    short_side: tuple[int, int] = (256, 320)
    """Range of the short side, in pixels, that training frames are resized to before the crop to --size."""
    crop_pct: float = 0.875
    """Size divided by the short side that test frames are resized to, for both networks."""
    strong: Literal["randaugment", "autoaugment"] = "randaugment"
    """Augmentation of the strong view."""
    cutout: bool = True
    """Cover a square of the strong view with gray."""
    labeled_view: Literal["weak", "strong"] = "weak"
    """The view of labeled clips that is learned from."""
    test_clips: int = 10
    """Clips per video in validation; stored with the model."""
    test_crops: Literal[1, 3] = 3
    """Crops per clip in validation; stored with the model."""

    scheme: Literal["cross", "self-first", "opposite-first", "maximum", "average", "self", "none"] = "cross"
    """Which network labels which; self with --auxiliary null is FixMatch; none learns from the labels alone."""
    threshold: float = 0.8
    """Confidence from which a pseudo-label counts (tau)."""
    lambda_u: float = 1.0
    """Weight of the unsupervised loss (lambda)."""
    hard: bool = True
    """Pseudo-labels are class ids; false: probabilities."""
    weak_bn: Literal["batch", "running"] = "batch"
    """Batch-norm statistics in the weak pass: of its own batch, or the running ones, which it never updates."""
    strong_bn: Literal["own", "labeled"] = "own"
    """For batch norm, strong views are a batch of their own that its running statistics do not see (own), or one batch
    with the labeled clips (labeled)."""
    unlabeled_warmup: int = 0
    """Steps over which lambda rises linearly from 0."""

    val_every: int = 0
    """Steps between validations; 0: only after the last step."""
    patience: int = 0
    """Stop once this many validations in a row have not improved on the primary's best one; 0: never."""

    balance: bool = False
    """Draw labeled clips equally over the classes, however many videos each has."""
    labeled_batch: int = 8
    """Labeled clips per step, over all processes."""
    unlabeled_batch: int = 32
    """Unlabeled clips per step, over all processes."""
    layer_decay: float = 1.0
    """Factor to the learning rate from each block of a network to the one before it; 1: the same rate for all."""
    ema: float = 0.0
    """Decay of a moving average of the weights, lower in the first steps (timm's warm-up), which is validated and
    saved in their place; 0: off."""


@dataclass(frozen=True, kw_only=True)
class Config(RunOptions, CMPLOptions):  # fields of the last base come first
    """Cross-Model Pseudo-Labeling: two networks learn from few labeled and many unlabeled videos."""

    free_on_resume: ClassVar[frozenset[str]] = frozenset(FREE_ON_RESUME)
    inputs: ClassVar[tuple[str, ...]] = (
        "init", "auxiliary_init", "labeled", "unlabeled", "val", "classes", "root", "unlabeled_root", "val_root"
    )  # fmt: skip

    def root_of(self, option: str) -> str:
        """The folder that the paths of `unlabeled` or of `val` start from."""
        return getattr(self, f"{option}_root") or self.root

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, RANGES)
        views = max(self.frames, self.auxiliary_frames or 0) * self.test_clips * self.test_crops
        need(
            views <= MOST_FRAMES,
            f"--frames x --test-clips x --test-crops are {views:,} frames of a video; {MOST_FRAMES:,} are the most",
        )
        need(
            self.freeze is None or self.init is not None or (self.auxiliary and self.auxiliary_init) is not None,
            f"--freeze {self.freeze} keeps what a network starts from; give it weights with --init or --auxiliary-init",
        )
        need(
            not self.patience or (self.val is not None and self.val_every > 0),
            f"--patience {self.patience} counts validations; give --val LIST and --val-every STEPS",
        )
        need(self.fps is None or self.fps > 0, f"--fps must be above 0, and is {self.fps}")
        need(
            not (self.spread and self.fps),
            "--fps is the unit of strides, and with --spread there is none; give --fps null or --spread false",
        )
        check_parts(self, ["labeled_batch", "unlabeled_batch"] if self.scheme != "none" else ["labeled_batch"])
        check_short_side(self.size, self.short_side)
        if self.scheme != "none":
            need(self.unlabeled is not None, f"--scheme {self.scheme} needs --unlabeled LIST; or give --scheme none")
            need(self.unlabeled_batch >= 1, f"--unlabeled-batch must be at least 1, and is {self.unlabeled_batch}")
            need(
                self.auxiliary is not None or self.scheme == "self",
                f"--scheme {self.scheme} needs --auxiliary MODEL; one network alone allows self (FixMatch) and none",
            )
