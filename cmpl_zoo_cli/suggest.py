"""`cmpl-zoo suggest`."""

import argparse
import os
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cmpl_zoo_cli.arguments import (
    Verbs,
    add_computing,
    add_root,
    add_verb,
    check_output,
    check_writable,
    reading_workers,
    whole,
)
from cmpl_zoo_cli.prediction_text import report
from cmpl_zoo_cli.unlabeled_videos import ListedVideo, lists_with_labels, relative, unlabeled_videos
from cmpl_zoo_cli.video_words import file_of, is_list, matches_of

if TYPE_CHECKING:
    from cmpl_zoo.suggestions import Suggestion

COLUMNS = ["path", "label", "predicted", "probability", "disagreement"]
SUGGEST = """\
Which videos to label next: of those without a label the ones that the two
networks of a run disagree on most, or that one network is least sure of,
spread over the classes that they predict and over recordings. VIDEO is a
video, folder, pattern or list, as for cmpl-zoo predict. What has a label in one
of the lists is left out. The column recording, group, or that which the run was
grouped by tells what a video of a list is taken from; without it, that is its
file.

FILE is CSV: path; label, which is empty, to be filled in; predicted and
probability, the class that the networks vote for; disagreement, from 0 to 1;
and the other columns of the list. A page beside it, with .html in place of
.csv, shows the videos. The commands that come next are printed.

Exit status: 0, 1 if a video could not be read, 2 if the command cannot run."""


def add_parser(verbs: Verbs) -> None:
    verb = add_verb(
        verbs,
        "suggest",
        run,
        "which videos to label next",
        SUGGEST,
        usage="%(prog)s MODEL [MODEL] VIDEO [VIDEO ...] -o FILE [options]",
    )
    verb.add_argument(
        "model",
        metavar="MODEL",
        help="model directory, name, hf-hub:ORG/NAME, or the folder of a run, whose networks are two; a second model "
        "has the same classes",
    )
    verb.add_argument("videos", nargs="+", metavar="VIDEO", help="see above")
    verb.add_argument("-n", type=whole(1), default=50, metavar="N", help="how many videos to label (default: 50)")
    verb.add_argument(
        "-o", "--output", required=True, metavar="FILE", help="file for the videos, such as todo.csv (required)"
    )
    add_root(verb)
    add_computing(verb)


def run(args: argparse.Namespace) -> int:
    from cmpl_zoo.suggestions import choose
    from cmpl_zoo_cli.next_training import next_training

    models, words = models_and_videos(args.model, args.videos)
    file = Path(args.output)
    check_file(file, words)
    videos, refused = unlabeled_videos(words, args.root)
    if not videos:
        return 1
    listed = {video.path: video for video in videos}
    folder = common_folder(words, listed) if args.root == "." else args.root
    training = next_training(models[0], folder, lists_with_labels(words, args.root))
    recordings_of = {video.path: video.recording(training.group) for video in videos}
    found, unreadable = what_models_say(models, recordings_of, args)
    chosen = choose(found, args.n)
    page = write_files(chosen, listed, models, training.videos, file)
    if args.n > len(chosen):
        report(f"-n {args.n} is more than there are: all {len(chosen)} videos without a label are suggested")
    classes, recordings = len({one.predicted for one in chosen}), len({one.recording for one in chosen})
    print(f"{file}  {len(chosen)} videos of {recordings} recordings to label, predicted to be of {classes} classes")
    print(f"{page}  shows them")
    print("\n".join(training.lines(file)))
    return 1 if refused or unreadable else 0


def common_folder(words: Sequence[str], videos: Container[str]) -> str:
    """The folder that the folders and videos among the words are in, `.` where there are none.

    Args:
        words: of the command line.
        videos: paths of the videos that they stand for, of which one may be a folder of frames.
    """
    files = [file_of(path) for word in words if not is_list(word) for path in matches_of(word)]
    there = [file for file in files if os.path.exists(file)]
    places = [file if os.path.isdir(file) and file not in videos else os.path.dirname(file) for file in there]
    if any(map(os.path.isabs, places)):
        places = [os.path.abspath(place) for place in places]
    return (places and os.path.commonpath(places)) or "."


def models_and_videos(model: str, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The models and the videos of a command line whose first word is a model: the second one may be one, too.

    Raises:
        ValueError: there is no video.
    """
    from cmpl_zoo.prediction.loading import networks_of

    named = [model, *words[:1]] if is_model(words[0]) else [model]
    models, videos = [network for name in named for network in networks_of(name)], list(words[len(named) - 1 :])
    if not videos:
        raise ValueError(f"{words[0]}: this is a model; give the videos to choose from after it")
    if len(models) > 2:
        raise ValueError(f"{words[0]}: with it, these are {len(models)} models, and two at most are compared")
    if is_model(videos[0]):
        raise ValueError(f"{videos[0]}: this is a third model, and two at most are compared; leave it out")
    return models, videos


def is_model(word: str) -> bool:
    """Whether a word names a model and no video."""
    from cmpl_zoo.models import list_models
    from cmpl_zoo.prediction.loading import networks_of

    if os.path.exists(word):
        holds_a_model = any(os.path.isfile(os.path.join(network, "config.json")) for network in networks_of(word))
        return holds_a_model or word.endswith(".safetensors")
    return word.startswith(("hf-hub:", "local-dir:")) or word.partition(".")[0] in list_models()


def check_file(file: Path, words: Sequence[str]) -> None:
    """Raise ValueError where a file cannot be written, or is there already: somebody may have typed labels into it."""
    check_output(str(file), *words)
    if file.suffix.lower() != ".csv":
        raise ValueError(f"-o {file}: must end in .csv, and a page of that name in .html; give another name")
    for each in (file, file.with_suffix(".html")):
        if each.exists():
            raise ValueError(f"{each}: is there already, and is kept; give -o another name, or delete it")
    check_writable(file, f"-o {file}")


def what_models_say(
    names: Sequence[str], recordings: Mapping[str, str], args: argparse.Namespace
) -> tuple[list["Suggestion"], int]:
    """What the models say of videos, by path, of recordings, and how many cannot be read, which are told.

    Raises:
        VideoError: none can be read.
    """
    from tqdm import tqdm

    from cmpl_zoo.distributed import device_errors_explained
    from cmpl_zoo.prediction import predict
    from cmpl_zoo.prediction.loading import load_models
    from cmpl_zoo.suggestions import suggestion
    from cmpl_zoo.video import VideoError

    found, unreadable = list["Suggestion"](), 0
    with device_errors_explained():
        models = load_models(names, args.device, args.precision)
        predictions = predict(
            models,
            list(recordings),
            topk=None,
            workers=reading_workers(args),
            batch_size=args.batch_size,
            precision=args.precision,
        )
        both = zip(recordings.values(), predictions, strict=True)
        try:
            for recording, prediction in tqdm(both, total=len(recordings), unit="video", disable=None, leave=False):
                if prediction.error:
                    report(prediction.error)
                    unreadable += 1
                else:
                    found.append(suggestion(prediction, recording))
        except KeyboardInterrupt:
            raise KeyboardInterrupt("stopped; nothing is written") from None
    if not found:
        raise VideoError(
            f"none of the {len(recordings)} videos without a label can be read; see whether they have moved"
        )
    return found, unreadable


def write_files(
    chosen: Sequence["Suggestion"], listed: Mapping[str, ListedVideo], models: Sequence[str], folder: str, file: Path
) -> Path:
    """Write the list to fill in, and a page beside it that shows the videos; both or none. Returns the page.

    Args:
        chosen: the videos, in order.
        listed: videos by their paths, and more.
        models: their names, for the page.
        folder: that paths in the list start from.
        file: the list.

    Raises:
        OSError: one of the files cannot be written.
    """
    from cmpl_zoo._files import as_csv, replace_text
    from cmpl_zoo.report.contact_sheet import Tile, write_contact_sheet

    rows, tiles = [], []
    for number, video in enumerate(chosen, 1):
        own = {
            "path": relative(video.path, folder),
            "label": "",
            "predicted": video.predicted,
            "probability": f"{video.probability:.3f}",
            "disagreement": f"{video.disagreement:.3f}",
        }
        rows.append(listed[video.path].columns | own)
        each = [f"{Path(name).name}: {label} {p:.0%}" for name, (label, p) in zip(models, video.per_model, strict=True)]
        tiles.append(Tile(video.path, f"{number}. {own['path']}", each))
    columns = dict.fromkeys([*COLUMNS, *(name for row in rows for name in row)])
    page = file.with_suffix(".html")
    how = "disagree on most" if len(models) > 1 else "is least sure of"
    intro = [
        f"{len(rows)} videos that {' and '.join(models)} {how}, spread over the classes that are predicted and over "
        f"recordings. Type what they show into the column label of {file.name}."
    ]
    try:
        write_contact_sheet(tiles, page, "What to label next", intro)
        replace_text(file, as_csv(rows, list(columns)))
    except BaseException as error:
        page.unlink(missing_ok=True)
        if isinstance(error, OSError):  # as of a full disk
            raise OSError(f"{file} cannot be written ({error.strerror}); make room, or give another path") from error
        raise
    return page
