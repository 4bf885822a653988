"""The options of train/cmpl.py, and what makes them valid."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jsonargparse
import yaml

from cmpl_zoo.data.files import replace_text
from cmpl_zoo.models.config_json import MOST
from cmpl_zoo.semi import SCHEMES

# Options that change neither the weights nor what they are called: a run may go on with others. What is drawn depends
# on places in the lists to train on, not on folders.
FREE_ON_RESUME = {
    "val", "root", "unlabeled_root", "val_root", "resume", "overwrite", "dataset", "license", "workers", "log_every",
    "val_every", "save_every_steps", "save_every_minutes", "keep_states", "timeout_minutes", "max_unreadable", "output",
}  # fmt: skip


@dataclass(frozen=True)
class Config:
    """Cross-Model Pseudo-Labeling: two networks learn from few labeled and many unlabeled videos."""

    labeled: str
    """CSV list of labeled videos, header path,label."""
    output: str
    """Folder of the run: models, metrics, state."""
    unlabeled: str | None = None
    """CSV list of unlabeled videos, header path. Labels in it are read by the meters alone."""
    val: str | None = None
    """CSV list of labeled videos to validate on."""
    root: str = "."
    """Folder that the paths in the lists are relative to."""
    unlabeled_root: str | None = None
    """The same for the unlabeled list; by default as root."""
    val_root: str | None = None
    """The same for the validation list; by default as root."""
    classes: str | None = None
    """kinetics400, ucf101, or a text file of class names, one a line, by class id; by default the labels, sorted."""

    dataset: str | None = None
    """Name of the data, for the model card."""
    license: str | None = None
    """Licence of the trained weights, for the model card, such as cc-by-nc-4.0."""

    primary: str = "r3d50"
    """Model F."""
    auxiliary: str | None = "r3d50_quarter"
    """Model A, or null for one network alone."""
    primary_stride: int = 8
    """Video frames from one frame of F's clips to the next."""
    auxiliary_stride: int = 8
    """The same for A."""
    init: str | None = None
    """Model or model directory whose weights F starts from; random by default."""
    auxiliary_init: str | None = None
    """The same for A, where there is one."""
    drop_rate: float = 0.5
    """Dropout before the classifiers."""
    subtract_mean_frame: bool = False
    """Both networks see frames less the mean frame of their clip: for a camera that stands still."""

    frames: int = 8
    """Frames of a clip."""
    size: int = 224
    """Height and width of a clip, in pixels."""
    short_side: tuple[int, int] = (256, 320)
    """Range of the short side, in pixels, that training frames are resized to before the crop."""
    crop_pct: float = 0.875
    """Size over the short side that test frames are resized to."""
    strong: Literal["randaugment", "autoaugment"] = "randaugment"
    """Strong view."""
    cutout: bool = True
    """Paint a square of the strong view grey."""
    temporal_warp: bool = False
    """Strong views at an uneven pace (not part of CMPL)."""
    mix_clips: bool = False
    """Strong views with a box of another clip in them, learned for its share (VideoMix; not part of CMPL)."""
    test_clips: int = 10
    """Clips of a video in validation; kept with the model."""
    test_crops: Literal[1, 3] = 3
    """Crops of a clip in validation; kept with the model."""

    scheme: Literal["cross", "self-first", "opposite-first", "maximum", "average", "self", "none"] = "cross"
    """Which network labels which; self with auxiliary null is FixMatch; none learns from the labels alone."""
    threshold: float = 0.8
    """Confidence from which a pseudo-label counts (tau)."""
    lambda_u: float = 1.0
    """Weight of the unsupervised loss (lambda)."""
    hard: bool = True
    """Class ids as pseudo-labels; false: probabilities."""
    weak_bn: Literal["batch", "running"] = "batch"
    """Batch-norm statistics of the weak pass: of its own batch, or the running ones. It updates neither."""
    strong_bn: Literal["own", "labeled"] = "own"
    """Strong views are a batch of their own for batch norm, not in its running statistics, or one with the labeled."""
    unlabeled_warmup: int = 0
    """Steps over which lambda rises linearly from 0."""
    distribution_alignment: bool = False
    """Pseudo-labels with as much of each class as there is among the labels (ReMixMatch; not part of CMPL)."""
    class_thresholds: bool = False
    """A lower threshold for classes of lower mean probability (as FreeMatch weighs classes; not part of CMPL)."""

    steps: int | None = None
    """Training steps."""
    epochs: float | None = None
    """Instead of steps: passes over the unlabeled list, or the labeled one where scheme is none."""
    labeled_batch: int = 8
    """Labeled clips a step."""
    unlabeled_batch: int = 32
    """Unlabeled clips a step."""
    lr: float = 0.02
    """Highest learning rate, for the batch of all processes together; SGD with Nesterov momentum 0.9, cosine to 0."""
    warmup_steps: int = 0
    """Steps over which the learning rate rises linearly from 0."""
    weight_decay: float = 1e-4
    """Weight decay of all but biases and batch norms."""
    clip_grad: float = 0.0
    """Greatest norm of the gradient; 0: any."""
    accumulation: int = 1
    """Parts that a step's clips are taken in, one after the other, where memory is short."""
    batch_norm: Literal["local", "sync", "frozen"] = "local"
    """Batch statistics of each process, of all of them (GPUs only), or none: the running ones, unchanged."""
    grad_checkpointing: bool = False
    """Compute activations twice instead of keeping them, where memory is short."""
    compile: bool = False
    """Compile the networks (torch.compile)."""
    ema: float = 0.0
    """Decay of a moving average of the weights, less in the first steps (timm's warm-up), used for validation and
    saved instead of them; 0: off."""
    ema_teachers: bool = False
    """Pseudo-labels by those averages instead of the networks themselves (Mean Teacher; not part of CMPL)."""

    precision: Literal["float32", "bf16", "fp16"] = "float32"
    """Arithmetic of forward and backward passes."""
    max_unreadable: float = 0.01
    """Share of the videos in the lists that may be unreadable; training stops above it."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """auto takes cuda, then mps, then cpu."""
    seed: int = 0
    """Of weights, order, augmentation and dropout."""
    workers: int = 2
    """Processes that read videos."""
    log_every: int = 10
    """Steps from one line of metrics.jsonl to the next."""
    val_every: int = 0
    """Steps from one validation to the next; 0: only after the last."""
    save_every_steps: int = 500
    """Steps from one saved state to the next."""
    save_every_minutes: float = 0.0
    """Also save a state when so much time has gone by since the last; 0: never."""
    keep_states: int = 2
    """How many of the last states are kept."""
    timeout_minutes: float = 10.0
    """How long a process waits for the others in one step."""
    skip_nonfinite: bool = False
    """With fp16: pass over a step whose loss is not finite, instead of stopping."""
    resume: bool = False
    """Go on with the run in the output folder, or begin it where there is none."""
    overwrite: bool = False
    """Delete what another run has left in the output folder."""

    @property
    def strides(self) -> list[int]:
        """The strides that clips are read with: one where both networks share it."""
        return sorted({self.primary_stride, self.auxiliary_stride if self.auxiliary else self.primary_stride})

    def __post_init__(self) -> None:
        def need(condition: bool, message: str) -> None:
            if not condition:
                raise ValueError(message)

        need((self.steps is None) != (self.epochs is None), "give either --steps or --epochs")
        need((self.steps or self.epochs or 0) > 0, "--steps or --epochs must be above 0")
        views = self.frames * self.test_clips * self.test_crops
        need(
            views <= MOST["clip"],
            f"--frames x --test_clips x --test_crops are {views:,} frames of a video; {MOST['clip']:,} are the most",
        )
        need(0 <= self.seed < 2**63, f"--seed must be from 0 to below 2^63, and is {self.seed}")
        need(0 <= self.threshold <= 1, f"--threshold is a probability from 0 to 1, not {self.threshold}")
        need(0 <= self.ema < 1, f"--ema is a decay from 0 (off) to below 1, not {self.ema}")
        need(bool(self.ema) or not self.ema_teachers, "--ema_teachers needs a decay of the averages: --ema 0.99")
        need(0 <= self.drop_rate < 1, f"--drop_rate is a share from 0 to below 1, not {self.drop_rate}")
        need(0 < self.crop_pct <= 1, f"--crop_pct is a share above 0, up to 1, not {self.crop_pct}")
        need(0 <= self.max_unreadable <= 1, f"--max_unreadable is a share from 0 to 1, not {self.max_unreadable}")
        need(self.lambda_u >= 0, f"--lambda_u must not be negative, and is {self.lambda_u}")
        need(self.lr > 0, f"--lr must be above 0, and is {self.lr}")
        for name in ("labeled_batch", "frames", "primary_stride", "auxiliary_stride", "test_clips", "log_every",
                     "save_every_steps", "keep_states", "accumulation"):  # fmt: skip
            need(getattr(self, name) >= 1, f"--{name} must be at least 1, and is {getattr(self, name)}")
        for name in (
            "unlabeled_warmup",
            "warmup_steps",
            "workers",
            "val_every",
            "weight_decay",
            "clip_grad",
            "save_every_minutes",
        ):
            need(getattr(self, name) >= 0, f"--{name} must not be negative, and is {getattr(self, name)}")
        need(self.timeout_minutes > 0, f"--timeout_minutes must be above 0, and is {self.timeout_minutes}")
        need(not (self.resume and self.overwrite), "--resume goes on with a run and --overwrite deletes it; give one")
        need(
            self.precision == "fp16" or not self.skip_nonfinite,
            "--skip_nonfinite is for --precision fp16, whose range is small; elsewhere such a loss is a fault",
        )
        for name in ("labeled_batch", "unlabeled_batch") if self.scheme != "none" else ("labeled_batch",):
            need(
                getattr(self, name) % self.accumulation == 0,
                f"--{name} {getattr(self, name)} does not divide into --accumulation {self.accumulation} equal parts",
            )
        least, greatest = self.short_side
        need(
            self.size <= least <= greatest,
            f"--short_side [{least},{greatest}] must rise and start at the crop's --size ({self.size}) or above, such "
            f"as [{round(1.1 * self.size)},{round(1.3 * self.size)}]",
        )
        need(self.size >= 32, f"--size must be at least 32 pixels, and is {self.size}")
        need(
            not (self.distribution_alignment and self.class_thresholds),
            "--distribution_alignment and --class_thresholds both make up for rare classes; give one",
        )
        for name in ("ema_teachers", "distribution_alignment", "class_thresholds", "temporal_warp", "mix_clips"):
            need(
                not getattr(self, name) or self.scheme != "none",
                f"--{name} is for unlabeled videos, and --scheme none sees none; leave it out",
            )
        if self.scheme in SCHEMES:
            need(self.unlabeled is not None, f"--scheme {self.scheme} needs --unlabeled LIST; or give --scheme none")
            need(self.unlabeled_batch >= 1, f"--unlabeled_batch must be at least 1, and is {self.unlabeled_batch}")
            need(
                self.auxiliary is not None or self.scheme == "self",
                f"--scheme {self.scheme} needs --auxiliary MODEL; one network alone allows self (FixMatch) and none",
            )


def parse_config(args: list[str] | None = None) -> Config:
    """The options of a command line and of the YAML file that its --config names.

    Ends the program with a message and status 2 where an option is unknown or invalid.
    """
    jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = jsonargparse.ArgumentParser(prog="cmpl.py", description=Config.__doc__)
    parser.add_argument("--config", action="config", help="YAML file of options, such as train/recipes/demo.yaml.")
    parser.add_class_arguments(Config)
    options = parser.parse_args(args).as_dict()
    recipes = options.pop("config") or []
    if options["steps"] is not None and options["epochs"] is not None:
        for name in ("steps", "epochs"):
            if any(read_config(Path(recipe)).get(name) is not None for recipe in recipes):
                parser.error(f"give either --steps or --epochs; the recipe gives --{name}, which --{name} null unsets")
    try:
        return Config(**options)
    except ValueError as error:
        parser.error(str(error))


def write_config(options: dict[str, Any], file: Path, remark: str) -> None:
    """The options as a recipe that repeats the run, below a line of remark."""
    replace_text(file, f"# {remark}\n{yaml.safe_dump(options, sort_keys=False)}")


def read_config(file: Path) -> dict[str, Any]:
    return yaml.safe_load(file.read_text(encoding="utf-8"))
