"""`cmpl-zoo pretrain`."""

import shlex
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cmpl_zoo.distributed import Ranks
    from cmpl_zoo_cli.pretrain_config import PretrainConfig


def main(argv: list[str]) -> int:
    """Pretrain with the options of a command line; see `cmpl_zoo_cli.main.main`."""
    from cmpl_zoo_cli.pretrain_parser import parse

    config, dry_run = parse(argv)
    if not dry_run:
        return start(config, dry_run)
    with TemporaryDirectory() as folder:  # nothing is left
        return start(replace(config, output=folder), dry_run)


def start(config: "PretrainConfig", dry_run: bool) -> int:
    """The exit status of a run, or of saying what it would do."""
    from cmpl_zoo_cli.ranks import run_ranks

    return run_ranks(config.output, config.timeout_minutes, lambda ranks: work(config, dry_run, ranks))


def work(config: "PretrainConfig", dry_run: bool, ranks: "Ranks") -> None:
    """Make the list that is still to be made, say what the run will do, pretrain, and say what can be done next."""
    from cmpl_zoo.pretext.pretrain import plan, prepare, pretrain
    from cmpl_zoo.training.run_folder import continues
    from cmpl_zoo_cli.spelling import starting_words

    config = replace(config, output=ranks.gather(config.output)[0])  # in a dry run of several processes each has one
    folder = config.unlabeled if Path(config.unlabeled).is_dir() else None
    with ExitStack() as until_end:
        prepared = prepare(config, ranks, until_end)
        # Several processes take another time than the one that would be measured here.
        if dry_run or (folder and ranks.size == 1 and not continues(config, ranks)):
            ranks.first_alone(lambda: print("\n".join(plan(prepared)), flush=True))
        if dry_run:
            return
        pretrain(prepared, ranks)
    if folder and ranks.first:
        start, trained = str(Path(config.output, "model")), f"{config.output}_trained"
        seen = {"subtract_mean_frame": config.subtract_mean_frame, "normalize_clip": config.normalize_clip}
        words = ["train", folder, *starting_words(config.model, start, **seen), "-o", trained]
        print(f"next, with a folder for each class or a file of --labels:\n  cmpl-zoo {shlex.join(words)}")
