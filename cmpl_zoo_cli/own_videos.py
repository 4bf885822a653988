"""`cmpl-zoo train VIDEOS`: the lists and the recipe of a run, as words beside those that are typed."""

import json
import math
import os
import shlex
import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmpl_zoo_cli import recipes
from cmpl_zoo_cli.spelling import flag
from cmpl_zoo_cli.train_config import CPU_RECIPE, GPU_RECIPE, PASSES, Config
from cmpl_zoo_cli.train_parser import CommandLine, gives, recipe_beside

if TYPE_CHECKING:
    from cmpl_zoo.tools.own_videos import MadeLists


def with_lists(line: CommandLine, begun: bool, until_end: ExitStack) -> Config:
    """The options of a run, once its lists are in its folder.

    They are made there; of a run that has `begun`, those that are there are used again, with the recipe that was chosen
    then.

    Args:
        line: the command line.
        begun: whether the run is continued.
        until_end: see `write_own_lists`.

    Raises:
        ListError: the videos cannot be used; nothing is written.
        RunError: the folder cannot be had, or its lists were made of other videos.
        OSError: the lists cannot be written; none of them is.
    """
    from cmpl_zoo.training.errors import RunError
    from cmpl_zoo.training.own_lists import put_back_lists, write_own_lists
    from cmpl_zoo.training.run_folder import LISTS, RECORD, check_lists, check_room, lock_own, needed

    config, run_folder = line.config, Path(line.config.output)
    folder = run_folder / LISTS
    made_from = asdict(line.own) | {
        "videos": line.own.videos and os.path.realpath(line.own.videos),
        "unlabeled": line.unlabeled,
        "unlabeled_root": config.unlabeled_root,
        "val": line.val,
        "val_root": config.val_root,
        "seed": config.seed,
    }
    lock_own(run_folder, until_end)
    put_back_lists(run_folder)
    if begun and (folder / RECORD).exists():
        before, after = former_words(folder / RECORD, made_from)
        return line.completed(before, without(after, "val") if line.val else after)
    if begun:
        raise RunError(f"{run_folder} holds a run whose lists were given; continue it with the same --labeled")
    check_lists(folder)
    made = lists_of(line)
    before, after = words_before(line, made), words_after(line, made)
    starts_from = needed(config) | {
        "--unlabeled": line.unlabeled,
        "--val": line.val,
        "VIDEOS": line.own.videos,
        **{f"--labels {file}": file for file in line.own.labels or ()},
    }
    if line.own.videos is not None:
        starts_from["--labeled"] = None  # it is still to be made
    check_room(run_folder, config.overwrite, starts_from)
    record = json.dumps({"made_from": made_from, "before": before, "after": after}, indent=2)
    write_own_lists(made.files | {RECORD: record + "\n"}, run_folder, until_end)
    if made.left_out:
        first = made.left_out[0]
        reasons = "" if line.dry_run else f", for the reasons in {folder / 'left_out.csv'}"
        print(
            f"warning: left out {len(made.left_out)}{reasons} (the first, {first['path']}: {first['reason']})",
            file=sys.stderr,
        )
    for doubt in made.doubts:
        print(f"warning: {doubt}", file=sys.stderr)
    return line.completed(before, after)


def former_words(record: Path, made_from: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The words before and after those that are typed, as they were when the lists of a run were made.

    What a run is validated on may be another list now.

    Raises:
        RunError: they were made of other videos, or the record is damaged.
    """
    from cmpl_zoo.training.errors import RunError

    try:
        former = json.loads(record.read_text(encoding="utf-8"))
        fixed = [name for name, value in made_from.items() if name not in ("val", "val_root") or value is None]
        changed = [name for name in fixed if former["made_from"].get(name) != made_from[name]]
        words = former["before"], former["after"]
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{record} is damaged; begin again with --overwrite instead of --resume") from error
    if changed:
        was = ", ".join(f"{name} was {former['made_from'].get(name)}" for name in changed)
        raise RunError(f"{record.parent} has lists of other videos ({was}); give the same, or another --output")
    return words


def lists_of(line: CommandLine) -> "MadeLists":
    """The lists of the videos that a command line names."""
    from cmpl_zoo._files import as_csv
    from cmpl_zoo.tools.own_videos import MadeLists, make_lists, more_videos

    config, own = line.config, line.own
    if own.videos is None:
        assert line.unlabeled is not None
        rows = more_videos(line.unlabeled, config.root)
        return MadeLists({"unlabeled.csv": as_csv(rows, ["path"])}, 0, len(rows), [], [])
    return make_lists(
        own.videos,
        own.labels or (),
        unlabeled=line.unlabeled,
        unlabeled_root=config.unlabeled_root,
        val=line.val,
        val_root=config.val_root,
        val_share=own.val_share,
        group=own.group,
        seed=config.seed,
        labels_alone=config.scheme == "none",
    )


def words_before(line: CommandLine, made: "MadeLists") -> list[str]:
    """The recipe that the rule of `cmpl-zoo train --help` chooses; nothing where one is typed."""
    if line.own.videos is None or gives(line.words, "config"):
        return []
    name = GPU_RECIPE if on_gpu(line.config.device) else CPU_RECIPE
    recipe = recipes.read(recipes.find(name))
    words = recipe_beside(line.words, name)
    for network, start in (("primary", "init"), ("auxiliary", "auxiliary_init")):
        if gives(line.words, network) and not gives(line.words, start):  # the recipe's weights are of another network
            words += [flag(start), weights_of(getattr(line.config, network))]
    steps = steps_of(line, made, recipe)
    if gives(line.words, "epochs"):
        words += ["--steps", "null"]
    elif steps != recipe["steps"]:
        words += ["--steps", str(steps)]
    if steps != recipe["steps"] and recipe["unlabeled_warmup"] == recipe["steps"]:  # lambda rises to the end
        words += ["--unlabeled-warmup", str(steps)]
    return words


def steps_of(line: CommandLine, made: "MadeLists", recipe: dict[str, Any]) -> int:
    """The steps that a command line asks for, or that the recipe has, more where they make few passes."""
    config = line.config
    if config.epochs is None and gives(line.words, "steps"):
        assert config.steps is not None
        return config.steps
    batches = {name: getattr(config, name) if gives(line.words, name) else recipe[name]
               for name in ("labeled_batch", "unlabeled_batch")}  # fmt: skip
    if config.epochs is not None:  # as `number_of_steps` of training counts them
        kind = "unlabeled" if made.unlabeled and config.scheme != "none" else "labeled"
        return math.ceil(config.epochs * getattr(made, kind) / batches[f"{kind}_batch"])
    return max(math.ceil(PASSES * made.labeled / batches["labeled_batch"]), recipe["steps"])


def without(words: list[str], option: str) -> list[str]:
    """Words without an option and its value."""
    place = words.index(flag(option)) if flag(option) in words else len(words)
    return words[:place] + words[place + 2 :]


def weights_of(network: str | None) -> str:
    """What a network that is typed starts from: its own weights in the zoo, or random ones, `null`."""
    from cmpl_zoo import list_models
    from cmpl_zoo.models.facts import with_tag

    return network if network and with_tag(network) in list_models(pretrained=True) else "null"


def words_after(line: CommandLine, made: "MadeLists") -> list[str]:
    """The lists as options and, where no video is without a label, that the labels alone are learned from."""
    folder, words = Path(line.config.output, "lists"), list[str]()
    for name in ("labeled", "unlabeled", "val"):
        if f"{name}.csv" in made.files:
            words += [flag(name), str(folder / f"{name}.csv")]
    if line.own.videos is not None:
        words += ["--root", line.own.videos]
    if not made.unlabeled:
        words += ["--unlabeled", "null"]
        for option, value in (("scheme", "none"), ("auxiliary", "null")):
            if not gives(line.words, option):
                words += [flag(option), value]
    return [*words, "--unlabeled-root", "null"]


def on_gpu(device: str) -> bool:
    import torch

    return device == "cuda" or (device == "auto" and torch.cuda.is_available())


def tell_plan(line: CommandLine, config: Config) -> None:
    """Print what the run will do, in five lines, after a few steps that are made to measure its time.

    Raises:
        RunError, DeviceError, ListError, VideoError, StorageError, WorkerError: the run cannot begin.
    """
    from cmpl_zoo.distributed import Ranks
    from cmpl_zoo.training.lists import check_readable, load_lists, read_lists
    from cmpl_zoo.training.plan import plan

    if line.dry_run:
        lists = load_lists(config, Ranks())
    else:  # training looks closer, and warns
        lists = read_lists(config)
        check_readable(config, lists)
    chosen = line.own.videos is not None and not gives(line.words, "config")
    reason = f"recipe {GPU_RECIPE}, as there is a GPU" if on_gpu(config.device) else f"recipe {CPU_RECIPE}, for a CPU"
    own = line.own
    held_out = f"held out by {own.group}" if own.group else "held out at random"
    if own.videos is None or line.val:
        held_out = f"in {config.val}"
    if own.videos is None or line.unlabeled:
        unlabeled = ""
    else:
        where = f"without a label in {', '.join(own.labels)}" if own.labels else "in no class folder"
        unlabeled = f" {where}; --scheme none --auxiliary null leaves them out, and is quicker"
    lines = plan(config, lists, held_out, unlabeled, reason if chosen else "as --config and the options say")
    print("\n".join(lines), flush=True)


def tell_next(config: Config) -> None:
    """Print what can be typed after a run."""
    from cmpl_zoo.training.lists import read_lists

    lists = read_lists(config)
    run = config.output
    video = (lists.val or lists.labeled).paths[0]
    commands = [["cmpl-zoo", "predict", run, video]]
    if config.val:
        root = config.root_of("val")
        commands.append(["cmpl-zoo", "evaluate", run, "--data", config.val, "--root", root])
    if config.unlabeled:
        root = config.root_of("unlabeled")
        todo = f"{Path(run).name}_todo.csv"  # another one for each run
        commands.append(["cmpl-zoo", "suggest", run, config.unlabeled, "--root", root, "-o", todo])
    print("next (both networks vote):" if config.auxiliary else "next:")
    for words in commands:
        print("  " + shlex.join(words) + ("  # what to label next" if words[1] == "suggest" else ""))
