"""What a run learns from: its lists of videos, its classes, and the number of its steps."""

import math
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from cmpl_zoo.datasets.classes import alike, class_ids, class_names, sorted_classes, videos_to_measure_on
from cmpl_zoo.datasets.lists import ListError, Videos, check_disjoint, read_list
from cmpl_zoo.datasets.training_steps import TrainingSteps
from cmpl_zoo.datasets.typical import Length, lengths, typical
from cmpl_zoo.distributed import Ranks
from cmpl_zoo.models.labels import check_label_names
from cmpl_zoo.records import TypicalVideo
from cmpl_zoo.training.networks import training_clips
from cmpl_zoo.training.run_folder import lists_in
from cmpl_zoo.video.errors import VideoError
from cmpl_zoo.video.sampling import evenly, far_apart
from cmpl_zoo.video.video import video_info
from cmpl_zoo_cli.run_options import RunOptions
from cmpl_zoo_cli.train_config import Config

VIDEOS_TRIED = 10  # of each list, one of which must be readable at the start; our choice


@dataclass(frozen=True)
class TrainingLists:
    """The videos of a run.

    Attributes:
        classes: class names by class id.
        labeled: videos to learn from with their class ids.
        unlabeled: videos to learn from without labels; None where the scheme is `none`. Their class ids, -1 where the
            list has none, only serve to measure how right pseudo-labels are.
        val: videos to validate on, None without.
        typical: the typical video of each of these lists, by its option.
    """

    classes: list[str]
    labeled: Videos
    unlabeled: Videos | None
    val: Videos | None
    typical: dict[str, TypicalVideo] = field(default_factory=dict)

    def by_option(self) -> dict[str, Videos]:
        """The lists that the run has, by their options."""
        lists = {"labeled": self.labeled, "unlabeled": self.unlabeled, "val": self.val}
        return {option: videos for option, videos in lists.items() if videos is not None}


def load_lists(config: Config, ranks: Ranks) -> TrainingLists:
    """Read the lists of a run, try a few of their videos, and say what they are like.

    Raises:
        ListError: a list is unusable, or a video to train on is also in the validation list.
        VideoError: no video tried of a list can be read.
        StorageError: the shards that the videos are in cannot be read.
    """
    lists = read_lists(config)
    found: dict[str, TypicalVideo] = {}

    def look() -> None:
        check_readable(config, lists)
        looked_at = {option: lengths(videos.paths) for option, videos in lists.by_option().items()}
        found.update((option, typical(videos)) for option, videos in looked_at.items() if videos)
        for warning in (*class_warnings(config, lists), *clip_warnings(config, looked_at)):
            print(f"warning: {warning}", file=sys.stderr)

    ranks.first_alone(look)
    return replace(lists, typical=ranks.gather(found)[0])


def read_lists(config: Config) -> TrainingLists:
    """The lists of a run; raises a `ListError` as `load_lists` does."""
    labeled = read_list(config.labeled, config.root)
    classes = class_names(config.classes) if config.classes else sorted_classes(labeled.labels or ())
    if len(classes) < 2:
        raise ListError(f"{config.labeled}: all videos are of one class, {classes[0]!r}; label at least two")
    try:
        check_label_names(classes, len(classes))
    except ValueError as error:
        raise ListError(f"{config.classes or config.labeled}: {error}") from error
    unlabeled = val = None
    training_lists = [labeled]
    if config.scheme != "none" and config.unlabeled is not None:
        unlabeled_list = read_list(config.unlabeled, config.root_of("unlabeled"), labeled=False)
        training_lists.append(unlabeled_list)
        ids = {name: i for i, name in enumerate(classes)}
        hidden = unlabeled_list.labels or [""] * len(unlabeled_list)
        hidden_ids = np.fromiter((ids.get(label, -1) for label in hidden), np.int32, len(unlabeled_list))
        unlabeled = Videos(unlabeled_list.paths, hidden_ids)
    if config.val is not None:
        val_list = read_list(config.val, config.root_of("val"))
        for training_list in training_lists:
            check_disjoint(training_list, val_list)
        val = videos_to_measure_on(val_list, classes)
    return TrainingLists(classes, Videos(labeled.paths, class_ids(labeled, classes)), unlabeled, val)


def check_readable(config: Config, lists: TrainingLists) -> None:
    """Refuse a list of which no video can be read, before the run has cost anything: a few videos are tried of each.

    Raises:
        VideoError: a list or its folder is wrong.
        StorageError: the shards that the videos are in cannot be read.
    """
    options = {
        "labeled": "--labeled and --root",
        "unlabeled": "--unlabeled and --unlabeled-root, which is by default as --root",
        "val": "--val and --val-root, which is by default as --root",
    }
    for option, videos in lists.by_option().items():
        check_some_readable(videos.paths, getattr(config, option), options[option])


def check_some_readable(paths: Sequence[str], file: str, options: str) -> None:
    """Try a few videos of a list until one can be read.

    Args:
        paths: of its videos.
        file: the list.
        options: that give it and its folder, for the message.

    Raises:
        VideoError: none can be read.
        StorageError: the shards that the videos are in cannot be read.
    """
    # From all over the list: one that is sorted may begin with a class that is not there.
    errors: list[str] = []
    for index in evenly(len(paths), VIDEOS_TRIED):
        try:
            video_info(paths[index])
            return
        except VideoError as error:
            errors.append(str(error))
    raise VideoError(
        f"{file}: {errors[0]}; none of the {len(errors)} videos tried of this list can be read; check {options}"
    )


def class_warnings(config: Config, lists: TrainingLists) -> Iterator[str]:
    """Classes that may be one; of lists that the run has made of videos, that was said as they were made."""
    made_here = "labeled" in lists_in(Path(config.output), config)
    for names in [] if made_here else alike(lists.classes):
        yield (
            f"{config.classes or config.labeled}: the classes {' and '.join(map(repr, names))} differ in case, "
            "spaces, hyphens or underscores alone; if they are one class, write them alike"
        )


def clip_warnings(config: Config, looked_at: dict[str, list[Length]]) -> Iterator[str]:
    """What the clips of a run do not suit in the videos of its lists, judged by some videos of each.

    Args:
        config: of the run.
        looked_at: some videos of each list, by its option.
    """
    clips, _ = training_clips(config)
    frames, stride, _ = max(clips, key=lambda clip: clip.frames if config.spread else (clip.frames - 1) * clip.stride)
    made_here = lists_in(Path(config.output), config)
    for option, videos in looked_at.items():
        name = option if option in made_here else getattr(config, option)
        some = f"{name}: of {len(videos)} videos looked at,"
        if config.spread:
            short = sum(video.frames < frames for video in videos)
            what, advice = f"have fewer than {frames} frames, and some repeat", "lower --frames"
        else:
            short = sum(not video.spans(frames, stride, config.fps) for video in videos)
            what = f"are shorter than a clip of {frames} frames at stride {stride}, and it loops"
            advice = "lower --primary-stride and --auxiliary-stride, or give --spread"
        if short:
            yield f"{some} {short} {what}; {advice}"
        if config.fps and (rateless := sum(not video.fps for video in videos)):
            yield f"{some} {rateless} have no frame rate, as pictures have none; their frames are counted, not timed"
        if config.fps and (untimed := sum(bool(video.fps and not video.timed) for video in videos)):
            yield f"{some} {untimed} have no timestamps; they are read at the frame rate that they state"
    rates = [video.fps for videos in looked_at.values() for video in videos if video.fps]
    if rates and not (config.fps or config.spread):
        median = statistics.median(rates)
        if far := sum(far_apart(rate, median) for rate in rates):
            yield (
                f"strides count frames, and the frame rates of {far} of {len(rates)} videos looked at are far from "
                f"the typical {median:g} a second, from {min(rates):g} to {max(rates):g}; --fps {median:g} reads "
                "by time"
            )


def count_steps(config: Config, lists: TrainingLists, ranks: Ranks) -> Config:
    """The config with `steps` in place of `epochs`, passes over the unlabeled list or, without one, the labeled list.

    Warns where lambda or the learning rate does not reach its value in these steps.
    """
    config = replace(config, steps=number_of_steps(config, lists), epochs=None)
    assert config.steps is not None
    warn_of_warmup(config, ranks)
    if ranks.first and lists.unlabeled and config.lambda_u and config.unlabeled_warmup > config.steps:
        print(
            f"warning: what unlabeled videos teach counts less than --lambda-u {config.lambda_u:g} until step "
            f"{config.unlabeled_warmup} (--unlabeled-warmup), and the run has {config.steps} steps: it ends at "
            f"{config.lambda_u * config.steps / config.unlabeled_warmup:.2g}; lower --unlabeled-warmup",
            file=sys.stderr,
        )
    return config


def warn_of_warmup(config: RunOptions, ranks: Ranks) -> None:
    """Warn where the learning rate rises to the last step, and never falls."""
    if ranks.first and config.steps and config.warmup_steps > config.steps:
        print(
            f"warning: the learning rate rises until step {config.warmup_steps} (--warmup-steps), and the run has "
            f"{config.steps} steps: it rises to --lr {config.lr:g} at the end and never falls; lower --warmup-steps",
            file=sys.stderr,
        )


def number_of_steps(config: Config, lists: TrainingLists) -> int:
    """The steps of a run, given by `steps` or by `epochs`; see `count_steps`."""
    if config.steps is not None:
        return config.steps
    videos, batch = lists.labeled, config.labeled_batch
    if lists.unlabeled:
        videos, batch = lists.unlabeled, config.unlabeled_batch
    return math.ceil((config.epochs or 0) * len(videos) / batch)


def training_steps(config: Config, lists: TrainingLists, ranks: Ranks) -> TrainingSteps:
    """The batches of a rank, by the number of the step."""
    assert config.steps is not None
    _, clips = training_clips(config)
    scale = max(clip.size for clip in clips) / config.size
    return TrainingSteps(
        lists.labeled,
        lists.unlabeled,
        labeled_batch=config.labeled_batch,
        unlabeled_batch=config.unlabeled_batch,
        steps=config.steps,
        clips=clips,
        fps=config.fps,
        spread=config.spread,
        short_side=[round(scale * side) for side in config.short_side],
        strong=config.strong,
        cutout=config.cutout,
        labeled_view=config.labeled_view,
        balance=config.balance,
        seed=config.seed,
        rank=ranks.rank,
        world_size=ranks.size,
    )
