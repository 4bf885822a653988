"""Class names by class id: of Kinetics-400, of UCF-101, or from a file."""

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from cmpl_zoo.datasets.lists import ListError, VideoList, Videos

# In the order of the data set's own classInd.txt, which is not quite alphabetical.
UCF101 = """
    ApplyEyeMakeup ApplyLipstick Archery BabyCrawling BalanceBeam BandMarching BaseballPitch Basketball BasketballDunk
    BenchPress Biking Billiards BlowDryHair BlowingCandles BodyWeightSquats Bowling BoxingPunchingBag BoxingSpeedBag
    BreastStroke BrushingTeeth CleanAndJerk CliffDiving CricketBowling CricketShot CuttingInKitchen Diving Drumming
    Fencing FieldHockeyPenalty FloorGymnastics FrisbeeCatch FrontCrawl GolfSwing Haircut Hammering HammerThrow
    HandstandPushups HandstandWalking HeadMassage HighJump HorseRace HorseRiding HulaHoop IceDancing JavelinThrow
    JugglingBalls JumpingJack JumpRope Kayaking Knitting LongJump Lunges MilitaryParade Mixing MoppingFloor Nunchucks
    ParallelBars PizzaTossing PlayingCello PlayingDaf PlayingDhol PlayingFlute PlayingGuitar PlayingPiano PlayingSitar
    PlayingTabla PlayingViolin PoleVault PommelHorse PullUps Punch PushUps Rafting RockClimbingIndoor RopeClimbing
    Rowing SalsaSpin ShavingBeard Shotput SkateBoarding Skiing Skijet SkyDiving SoccerJuggling SoccerPenalty StillRings
    SumoWrestling Surfing Swing TableTennisShot TaiChi TennisSwing ThrowDiscus TrampolineJumping Typing UnevenBars
    VolleyballSpiking WalkingWithDog WallPushups WritingOnBoard YoYo
""".split()  # noqa: SIM905 (a list would be a page long)


def class_names(name_or_file: str | os.PathLike[str]) -> list[str]:
    """Class names by class id.

    Args:
        name_or_file: `kinetics400` (in alphabetical order, as in torchvision), `ucf101` (in the order of classInd.txt),
            or a text file with one name per line. The two names come first, so that a command means the same in every
            folder; give a file of that name as `./ucf101`.

    Raises:
        ListError: it is none of these, or the file cannot be used.
    """
    if name_or_file == "ucf101":
        return list(UCF101)
    if name_or_file == "kinetics400":
        from torchvision.models.video import R3D_18_Weights

        return list(R3D_18_Weights.KINETICS400_V1.meta["categories"])
    if not os.path.exists(name_or_file):
        raise ListError(
            f"{name_or_file}: no such file of class names; give one with a name per line, or kinetics400 or ucf101"
        )
    return read_classes(name_or_file)


def read_classes(file: str | os.PathLike[str]) -> list[str]:
    """Class names from a text file with one name per line; the line number, from 0, is the class id.

    Raises:
        ListError: the file is missing, empty, or names a class twice.
    """
    try:
        names = [line.strip() for line in Path(file).read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ListError(
            f"{file}: cannot read these class names ({error}); give a text file, one name per line"
        ) from error
    while names and not names[-1]:
        names.pop()
    for line, name in enumerate(names, start=1):
        if not name:
            raise ListError(f"{file}, line {line}: the class name is empty; delete the line")
        if (first := names.index(name) + 1) < line:
            raise ListError(f"{file}, line {line}: class {name!r} is on line {first} already; delete one of them")
    if not names:
        raise ListError(f"{file}: no class names; write one per line")
    return names


def sorted_classes(labels: Iterable[str]) -> list[str]:
    """The class names that labels have, by class id: as numbers where all of them are whole numbers, else as text."""
    names = sorted(set(labels))
    if all(re.fullmatch(r"-?[0-9]+", name) for name in names):
        names.sort(key=int)
    return names


def alike(classes: Iterable[str]) -> list[list[str]]:
    """The groups of class names that differ in case, spaces, hyphens, underscores or the code of accents alone."""
    groups: dict[str, list[str]] = {}
    for name in classes:
        key = unicodedata.normalize("NFC", re.sub(r"[\s_-]+", "", name)).casefold()
        groups.setdefault(key, []).append(name)
    return [names for names in groups.values() if len(names) > 1]


def videos_to_measure_on(video_list: VideoList, classes: Sequence[str]) -> Videos:
    """The videos of a labeled list, and of how many recordings they are; arguments and errors as of `class_ids`."""
    recordings = len({video_list.recording(index) for index in range(len(video_list))})
    return Videos(video_list.paths, class_ids(video_list, classes), recordings)


def class_ids(video_list: VideoList, classes: Sequence[str]) -> np.ndarray:
    """The class ids of the videos of a labeled list: int32 (videos,).

    Args:
        video_list: a list that was read with `labeled=True`.
        classes: class names by class id.

    Raises:
        ListError: a label is not among the classes.
    """
    ids = {name: i for i, name in enumerate(classes)}
    assert video_list.labels is not None, "a list read with labeled=True has labels"
    for index, label in enumerate(video_list.labels):
        if label not in ids:
            raise ListError(
                f"{video_list.file_and_line(index)}: label {label!r} is not among the {len(ids)} classes "
                f"({', '.join(list(classes)[:5])}{', ...' if len(ids) > 5 else ''}); correct it, or, to "
                "train, give all classes with --classes"
            )
    return np.fromiter((ids[label] for label in video_list.labels), np.int32, len(video_list))
