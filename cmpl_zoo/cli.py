"""The `cmpl-zoo` command: one function a verb."""

import argparse
import math
import sys
from pathlib import Path

import torch

from cmpl_zoo import hub
from cmpl_zoo._version import __version__
from cmpl_zoo.cli_import import add_import_parsers
from cmpl_zoo.convert import slow_r50
from cmpl_zoo.data.check import check
from cmpl_zoo.data.every_video import available_cores
from cmpl_zoo.data.manifest import read_list, split_list, write_split
from cmpl_zoo.data.pack import write_shards
from cmpl_zoo.data.prepare import Settings, prepare
from cmpl_zoo.data.video import VideoError
from cmpl_zoo.demo.render import render_demo
from cmpl_zoo.models import create_model
from cmpl_zoo.models.r3d import R3D
from cmpl_zoo.predict import predict

CHECK = """\
Decode every video of a list from end to end, and write to DIR:

  report.csv  a row per video, in the order of the list: verdict, cause, frames stated and decoded, fps, size, codec
  LIST.csv    the list, with all its columns, without the videos that are left out

verdicts:
  ok          kept
  odd         kept: variable frame rate, timestamps that do not increase, rotated, no duration or frame count in the
              header, frames that change size, pictures that the decoder had to repair
  truncated   left out: fewer frames decode than the file states, or decoding fails half-way
  too short   left out: fewer frames than --min-frames
  unreadable  left out: nothing decodes, its reader crashed, or no frame came for 5 minutes

The same command continues a run that was stopped or killed. Exit status: 0 if every video was kept, 1 if some were
left out, 2 if the command cannot run."""


PREPARE = """\
Re-encode every video of a list as H.264, and write to DST:

  .../NAME.mp4  the copy, under the same relative path; also of a GIF or a folder of frames
  report.csv    a row per video, in the order of the list: verdict, cause, frames, bytes before and after, seconds
  LIST.csv      the list of the copies, with all its columns

A copy has every frame that decodes, upright, in 8-bit yuv420p with even sides, a keyframe every --gop frames, the
source's timestamps if they increase, and no sound.

verdicts:
  encoded     with a cause if a damaged video ended early
  copied      with --copy: an MP4 of a single H.264 stream, whole, not rotated, no larger and with no longer GOP than
              asked for
  unreadable  left out: nothing decodes, its reader crashed, or no frame came for 5 minutes
  failed      left out: it cannot be encoded

The same command continues a run that was stopped or killed. Exit status: 0 if every video has a copy, 1 if some have
none, 2 if the command cannot run."""


def run_split(args: argparse.Namespace) -> int:
    manifest = read_list(args.list)
    if Path(args.list).resolve().parent == Path(args.output).resolve():
        raise ValueError(
            f"{args.output} holds {args.list}, which a list of the split may overwrite; give another folder"
        )
    parts = split_list(manifest, args.labels_per_class, args.seed, args.sampling, args.val, args.group)
    write_split(manifest, parts, args.output, args.keep_labels)
    for name, indices in parts.items():
        print(f"{Path(args.output, name)}.csv  {len(indices)} videos")
    return 0


def run_shard(args: argparse.Namespace) -> int:
    manifest = read_list(args.list, args.root, labeled=False)
    if not math.isfinite(args.shard_size):
        raise ValueError(f"--shard-size must be a number of MB, not {args.shard_size}")
    print(write_shards(manifest, args.output, round(args.shard_size * 1e6)))
    return 0


def run_check(args: argparse.Namespace) -> int:
    manifest = read_list(args.list, args.root, labeled=False)
    workers = available_cores() if args.workers is None else args.workers
    all_kept, summary = check(manifest, args.root, args.output, workers=workers, min_frames=args.min_frames)
    print(summary)
    return 0 if all_kept else 1


def run_prepare(args: argparse.Namespace) -> int:
    settings = Settings(args.short_side, args.gop, args.crf, args.copy)
    manifest = read_list(args.list, args.root, labeled=False)
    workers = available_cores() if args.workers is None else args.workers
    all_kept, summary = prepare(manifest, args.root, args.output, settings, workers=workers)
    print(summary)
    return 0 if all_kept else 1


def run_predict(args: argparse.Namespace) -> int:
    model = create_model(args.model, pretrained=True).eval()
    assert isinstance(model, R3D)
    model.reparameterize()
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    failed = 0
    for path in args.videos:
        try:
            ranked = predict(model, path)
        except VideoError as error:
            print(f"cmpl-zoo: {error}", file=sys.stderr)
            failed = 1
            continue
        print(path)
        for name, probability in ranked:
            print(f"  {probability:6.1%}  {name}")
    return failed


def run_push(args: argparse.Namespace) -> int:
    address = hub.push(args.directory, args.repository, private=args.private, dry_run=args.dry_run)
    print(f"{args.directory} loads; it would go to {address}" if args.dry_run else address)
    return 0


def run_convert(args: argparse.Namespace) -> int:
    print(slow_r50(args.file, args.output))
    return 0


def run_demo(args: argparse.Namespace) -> int:
    print(render_demo(args.directory, videos_per_class=args.videos_per_class, seed=args.seed))
    return 0


def number_or_all(text: str) -> int | None:
    return None if text == "all" else int(text)


def add_list(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("list", metavar="LIST", help="CSV with a column `path`")
    verb.add_argument("--root", default=".", metavar="DIR", help="folder that the paths are relative to (default: .)")


def add_workers(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--workers", type=int, metavar="N", help="processes (default: one per CPU core at hand)")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cmpl-zoo", description="A zoo of R3D video networks.")
    parser.add_argument("--version", action="version", version=f"cmpl-zoo {__version__}")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    add_import_parsers(verbs.add_parser("import", help="make lists of the videos and lists that you have"))

    verb = verbs.add_parser(
        "check",
        help="find the videos of a list that do not decode",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=CHECK,
    )
    verb.set_defaults(run=run_check)
    add_list(verb)
    verb.add_argument("-o", "--output", required=True, metavar="DIR", help="folder for the report and the new list")
    verb.add_argument(
        "--min-frames", type=int, default=8, metavar="N", help="videos with fewer are too short (default: 8)"
    )
    add_workers(verb)

    verb = verbs.add_parser(
        "prepare",
        help="make small copies of a list's videos that are fast to read",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=PREPARE,
    )
    verb.set_defaults(run=run_prepare)
    add_list(verb)
    verb.add_argument("output", metavar="DST", help="folder for the copies")
    verb.add_argument(
        "--short-side",
        type=int,
        required=True,
        metavar="PIXELS",
        help="largest short side of the copies; smaller videos are not enlarged (usual: 256)",
    )
    verb.add_argument("--gop", type=int, default=16, metavar="N", help="frames between keyframes (default: 16)")
    verb.add_argument(
        "--crf", type=int, default=23, metavar="Q", help="quality, 0 (lossless) to 51 (worst) (default: 23)"
    )
    verb.add_argument("--copy", action="store_true", help="copy unchanged the files that already meet all this")
    add_workers(verb)

    verb = verbs.add_parser(
        "split",
        help="draw which videos of a list keep their label",
        description="Draw which videos of a list keep their label. Writes labeled.csv, unlabeled.csv (unless all "
        "labels are kept) and, with --val, val.csv to DIR.",
    )
    verb.set_defaults(run=run_split)
    verb.add_argument("list", metavar="LIST", help="CSV with the header path,label")
    verb.add_argument(
        "--labels-per-class",
        type=number_or_all,
        required=True,
        metavar="N",
        help="videos per class that keep their label; all, to only split off --val",
    )
    verb.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the draw (default: 0)")
    verb.add_argument(
        "--sampling",
        choices=["uniform", "category-wise"],
        default="uniform",
        help="the same number from each class, or N x classes in proportion to class size (default: uniform)",
    )
    verb.add_argument(
        "--val", type=float, default=0.0, metavar="SHARE", help="share split off for validation (default: 0)"
    )
    verb.add_argument(
        "--group",
        metavar="COLUMN",
        help="column; rows of one value are never split between val.csv and the other lists",
    )
    verb.add_argument(
        "--keep-labels", action="store_true", help="keep labels in unlabeled.csv, to measure pseudo-labels with"
    )
    verb.add_argument("-o", "--output", required=True, metavar="DIR", help="folder for the lists")

    verb = verbs.add_parser(
        "shard",
        help="pack the videos of a list into tar shards",
        description="Pack the videos of a list into tar shards in WebDataset's layout, with a byte index. The same "
        "command continues a run that was stopped or killed.",
    )
    verb.set_defaults(run=run_shard)
    add_list(verb)
    verb.add_argument(
        "output", metavar="DST", help="folder for the shards, which is the --root of lists of these videos from then on"
    )
    verb.add_argument(
        "--shard-size", type=float, default=1000, metavar="MB", help="largest size of a shard (default: 1000)"
    )

    verb = verbs.add_parser(
        "predict",
        help="the five best classes of videos",
        description="Print the five best classes of each video and their probabilities, computed on a GPU if there is "
        "one. Exit status: 0, 1 if a video could not be read, 2 if the command cannot run.",
    )
    verb.set_defaults(run=run_predict)
    verb.add_argument("model", help="model directory, name, or hf-hub:ORG/NAME")
    verb.add_argument("videos", nargs="+", metavar="video", help="video file, GIF, or folder of frames")

    verb = verbs.add_parser(
        "push",
        help="publish a model directory on the Hugging Face Hub",
        description="Load a model directory, to check that it works, and upload it to the Hugging Face Hub.",
    )
    verb.set_defaults(run=run_push)
    verb.add_argument("directory", help="model directory, such as runs/NAME/primary")
    verb.add_argument("repository", metavar="ORG/NAME", help="repository on the Hub, created if it does not exist")
    verb.add_argument(
        "--private", action="store_true", help="publish to a private repository; an existing public one is refused"
    )
    verb.add_argument("--dry-run", action="store_true", help="check the directory without contacting the Hub")

    verb = verbs.add_parser(
        "convert",
        help="make a model directory from another project's weights",
        description="Make a model directory from another project's weights.",
    )
    verb.set_defaults(run=run_convert)
    verb.add_argument(
        "kind", choices=["slow_r50"], help="which weights: PyTorchVideo's slow_r50 of Kinetics-400, as r3d50"
    )
    verb.add_argument("file", help="the checkpoint, such as SLOW_8x8_R50.pyth")
    verb.add_argument("-o", "--output", required=True, metavar="DIR", help="folder for the model")

    verb = verbs.add_parser(
        "demo",
        help="render the demo's videos",
        description="Render the videos of the demo: figures doing eight actions, and their list, videos.csv.",
    )
    verb.set_defaults(run=run_demo)
    verb.add_argument("directory", type=Path, help="folder for the videos and videos.csv")
    verb.add_argument(
        "--videos-per-class",
        type=int,
        default=50,
        metavar="N",
        help="videos of each of the eight classes (default: 50)",
    )
    verb.add_argument("--seed", type=int, default=0, metavar="N", help="seed of all draws (default: 0)")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    try:
        return args.run(args)
    except (ValueError, RuntimeError, OSError) as error:
        message = str(error)
        if isinstance(error, OSError) and error.filename:  # as the system says it
            message = f"{error.filename}: {error.strerror}; mend that, or give another path"
        print(f"cmpl-zoo: {message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"cmpl-zoo: {stop or 'stopped'}", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
