"""`cmpl-zoo predict`."""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

from cmpl_zoo_cli.arguments import Verbs, add_computing, add_root, add_verb, probability, reading_workers, whole
from cmpl_zoo_cli.garbage import without_garbage_collection
from cmpl_zoo_cli.predict_windows import add_windows, check_windows, predict_windows
from cmpl_zoo_cli.prediction_files import CsvRows, JsonRows, PredictionFile
from cmpl_zoo_cli.prediction_text import PartlySeen, Table, as_list, report, tenths
from cmpl_zoo_cli.video_words import expanded, is_stream, videos_of

if TYPE_CHECKING:
    from cmpl_zoo.models import VideoModel
    from cmpl_zoo.prediction import RankedClasses

SAME = 0.05  # two probabilities of one model differ by less, on whatever device and with any precision; our choice
PREDICT = """\
The most probable classes of videos. VIDEO is

  clip.mp4, frames/         a video file, GIF, or folder of JPEG or PNG frames
  clip.mp4#t=10,20          seconds 10 to 20 of a video
  videos/                   all videos below a folder
  'videos/*/a*.mp4'         what a pattern matches
  list.csv                  the videos of a list: CSV with a column path
  shards/, s3://.../shards  the videos of a shard set
  rtsp://..., /dev/video0   an address (http, rtsp, rtmp, tcp, udp) or a
                            camera: a line for each clip until Ctrl-C

One video is printed as a list of classes, several as a table, a line each.
Exit status: 0, 1 if a video could not be read, 2 if the command cannot run."""


def add_parser(verbs: Verbs) -> None:
    verb = add_verb(verbs, "predict", run, "the most probable classes of videos, of a stream or of a camera", PREDICT)
    verb.add_argument(
        "model",
        metavar="MODEL",
        help="model directory, name, hf-hub:ORG/NAME, or the folder of a run, whose networks vote",
    )
    verb.add_argument("videos", nargs="+", metavar="VIDEO", help="see above")
    verb.add_argument(
        "--with",
        action="append",
        default=[],
        dest="others",
        metavar="MODEL",
        help="another model of the same classes that votes together with the first; may be given several times "
        "(default: none)",
    )
    add_root(verb)
    verb.add_argument(
        "--top-k",
        type=whole(1),
        metavar="N",
        help="classes to print (default: 5 of a single video, 1 of each of several)",
    )
    verb.add_argument(
        "--min-probability",
        type=probability,
        default=0.0,
        metavar="P",
        help="call a video uncertain if no class is as probable as this (default: 0)",
    )
    verb.add_argument(
        "--csv",
        metavar="FILE",
        help="write a row for each video: path, label, and a column for each class; - is the standard output "
        "(default: print text)",
    )
    verb.add_argument(
        "--json",
        metavar="FILE",
        help="write a line of JSON for each video: path, label, probabilities; - is the standard output "
        "(default: print text)",
    )
    verb.add_argument(
        "--resume",
        action="store_true",
        help="continue the files of --csv and --json: videos in them are skipped (default: a file that exists is "
        "an error)",
    )
    add_computing(verb)
    add_windows(verb)


def run(args: argparse.Namespace) -> int:
    with without_garbage_collection():
        from cmpl_zoo.distributed import device_errors_explained
        from cmpl_zoo.prediction.loading import load_models
        from cmpl_zoo.video.segments import split_fragment

    if args.resume and {args.csv, args.json} <= {None, "-"}:
        raise ValueError("--resume continues a file; give --csv FILE or --json FILE")
    check_windows(args)
    if args.csv == args.json == "-":
        raise ValueError("--csv - and --json - cannot both be the standard output; give one of them a file")
    files = [file for file in (args.csv, args.json, args.bouts) if file]
    places = [os.path.realpath(file) for file in files]
    if twice := [file for file, place in zip(files, places, strict=True) if places.count(place) > 1]:
        raise ValueError(f"{twice[0]}: two outputs cannot go there; give each another file")
    streams = [word for word in args.videos if is_stream(word)]
    if streams and len(args.videos) > 1:
        raise ValueError(f"{streams[0]}: a stream is predicted alone; give the other videos to a command of their own")
    if streams and split_fragment(streams[0])[1]:
        raise ValueError(f"{streams[0]}: an address has no segments; save it as a file, and give the segment of that")
    if streams and (there := [file for file in files if os.path.isfile(file)]):
        raise ValueError(f"{there[0]}: is there already, and a stream cannot be resumed; give another file")
    if streams and args.windows:
        raise ValueError(f"{streams[0]}: a stream is predicted window by window as it is; leave out --windows")
    if streams and args.resume:
        raise ValueError(f"{streams[0]}: a stream cannot be resumed; leave out --resume, and give another file")
    videos, refused = ([], 0) if streams else expanded(args.videos, lambda path: videos_of(path, args.root))
    if not (streams or videos):
        return 1
    with device_errors_explained():
        models = load_models([args.model, *args.others], args.device, args.precision)
        if streams:
            failed = predict_stream(args, models)
        else:
            failed = (predict_windows if args.windows else predict_videos)(args, models, videos)
    return 1 if refused or failed else 0


def predict_videos(args: argparse.Namespace, models: "Sequence[VideoModel]", videos: Sequence[str]) -> int:
    """Predict videos and print or write what they are; the number of those that could not be read."""
    from tqdm import tqdm

    from cmpl_zoo.models.labels import label_names
    from cmpl_zoo.prediction import predict

    names = label_names(models[0])
    failed, partly_seen = 0, PartlySeen()
    with opened_files(args, names) as files:
        for file in files:
            check_same_model(file, models)
        if files:
            videos = list(dict.fromkeys(videos))  # a row each
        wanted = [video for video in videos if not files or any(video not in file for file in files)]
        done = len(videos) - len(wanted)
        single = len(videos) == len(args.videos) == 1
        table = None if single else Table(videos, names, args.min_probability)
        predictions = predict(
            models,
            wanted,
            topk=None,
            workers=reading_workers(args),
            batch_size=args.batch_size,
            precision=args.precision,
        )
        try:
            with tqdm(
                total=len(videos), initial=done, unit="video", disable=None if table else True, leave=False
            ) as bar:
                for prediction in predictions:
                    if prediction.error:
                        report(prediction.error)
                        failed += 1
                    elif files:
                        for file in files:
                            if prediction.path not in file:
                                file.write(prediction.path, prediction.classes)
                    else:
                        show(prediction.path, prediction.classes, table, args)
                    partly_seen.add(prediction)
                    done += 1
                    bar.update()
        except KeyboardInterrupt:
            how = f" after {done} of {len(videos)} videos" if files else ""
            to_continue = "; --resume continues" if {args.csv, args.json} - {None, "-"} else ""
            raise KeyboardInterrupt(f"stopped{how}{to_continue}") from None
    if partly_seen.count:
        report(partly_seen.notice())
    written = [file for file in (args.csv, args.json) if file]
    if "-" not in written:
        left_out = f", {failed} unreadable left out" if failed else ""
        for file in filter(os.path.exists, written):
            print(f"{file}  {len(videos) - failed} videos{left_out}")
    return failed


def predict_stream(args: argparse.Namespace, models: "Sequence[VideoModel]") -> int:
    """Predict a stream until it ends or Ctrl-C; 1 if it broke off."""
    from cmpl_zoo.models.labels import label_names
    from cmpl_zoo.prediction.streams import predict_stream, without_password
    from cmpl_zoo.video import VideoError
    from cmpl_zoo.video.segments import with_fragment

    [address] = args.videos
    names = label_names(models[0])
    table = Table(["0:00:00.0"], names, args.min_probability)
    found = predict_stream(models, address, len(names), batch_size=args.batch_size, precision=args.precision)
    with closing(found) as windows, opened_files(args, names) as files:
        try:
            for window in windows:
                path = with_fragment(without_password(address), round(window.start, 3), round(window.end, 3))
                for file in files:
                    file.write(path, window.classes)
                if not files:
                    show(tenths(window.start), window.classes, table, args)
        except VideoError as error:
            report(str(error))
            return 1
    return 0


@contextmanager
def opened_files(args: argparse.Namespace, names: Sequence[str]) -> Iterator[list[PredictionFile]]:
    """The files of --csv and --json."""
    with ExitStack() as stack:
        files = []
        for file, rows in ((args.csv, CsvRows), (args.json, JsonRows)):
            if file:
                opened = PredictionFile(file, rows(names), args.min_probability, args.resume)
                files.append(stack.enter_context(closing(opened)))
        yield files


def check_same_model(file: PredictionFile, models: "Sequence[VideoModel]") -> None:
    """Raise ValueError where the models give other probabilities than a file that is to be continued has."""
    from cmpl_zoo.prediction import predict
    from cmpl_zoo.video import VideoError

    for row in file.former:
        try:
            found = predict(models, row.path, topk=None)
        except VideoError:  # it is no longer there
            continue
        name, probability = max(found, key=lambda pair: abs(pair[1] - row.probabilities[pair[0]]))
        if abs(probability - row.probabilities[name]) > SAME:
            raise ValueError(
                f"{file.name}: cannot be continued: it gives {row.path} {row.probabilities[name]:.1%} {name}, and the "
                f"model {probability:.1%}; give the model that it was made with, or another file"
            )


def show(name: str, classes: "RankedClasses", table: Table | None, args: argparse.Namespace) -> None:
    """Print what a video is: a line of a table, or without one a list."""
    from tqdm import tqdm

    text = (
        table.line(name, classes[: args.top_k or 1])
        if table
        else as_list(name, classes[: args.top_k or 5], args.min_probability)
    )
    tqdm.write(text, file=sys.stdout)
