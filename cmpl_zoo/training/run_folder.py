"""The folder of a run: which run it belongs to, and its options in config.yaml."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import yaml

from cmpl_zoo._files import replace_text
from cmpl_zoo._locks import locked_by_another
from cmpl_zoo.distributed import Ranks
from cmpl_zoo.training.checkpoint import States
from cmpl_zoo.training.errors import RunError
from cmpl_zoo.training.provenance import versions
from cmpl_zoo_cli.pretrain_config import PretrainConfig
from cmpl_zoo_cli.spelling import flag
from cmpl_zoo_cli.train_config import Config

LISTS, RECORD = "lists", "made_from.json"  # the folder of lists that were made for the run, and of what
FORMER_LISTS = ".former_lists"  # of an earlier run, until a new one that is to replace it has begun
LOCK = ".lock"
# What a run may write, beside its lock.
WRITTEN = (
    "best", "primary", "auxiliary", "model", "states", "tensorboard", LISTS, FORMER_LISTS, "config.yaml",
    "metrics.jsonl", "summary.json", "report.html", "predictions.csv", "unreadable.csv",
)  # fmt: skip

Options = Config | PretrainConfig  # of a run of any kind


@contextmanager
def open_run(config: Options, ranks: Ranks) -> Iterator[None]:
    """Make or find the run's folder, which no other process may train in meanwhile; rank 0 does it.

    Its resolved options are written to config.yaml. With `overwrite` an earlier run in it is deleted: what was built
    before this could be built.

    Raises:
        RunError: it holds another run, or the same run with other options, or another process trains in it.
    """
    with ExitStack() as lock:
        ranks.first_alone(lambda: _open(config, continues(config, ranks), lock))
        yield


def _open(config: Options, begun: bool, lock: ExitStack) -> None:
    folder = Path(config.output)
    file = folder / "config.yaml"
    lock_own(folder, lock)
    options = asdict(config) | {"short_side": list(config.short_side)}
    if begun:
        before = former_options(file)
        # An option that is newer than the run was at its default.
        before = {field.name: field.default for field in fields(config)} | before
        changed = [k for k, v in options.items() if k not in config.free_on_resume and before[k] != v]
        if changed:
            was = ", ".join(f"{key} was {before[key]}" for key in changed)
            raise RunError(f"{folder} holds a run with other options ({was}); give them, or another --output")
    else:
        check_room(folder, config.overwrite, needed(config))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.enter_context(only_process(folder))
        if not begun:
            if is_begun(folder):
                delete_run(folder, config)
            (folder / "unreadable.csv").unlink(missing_ok=True)
        elif any(before.get(key) != options.get(key) for key in ("root", "unlabeled_root")):
            (folder / "unreadable.csv").unlink(missing_ok=True)  # its paths are those of another folder
        text = yaml.safe_dump(options | {"resume": False, "overwrite": False}, sort_keys=False)
        replace_text(file, f"# {versions()}\n{text}")
    except OSError as error:
        raise RunError(f"--output {folder} cannot be written to ({error.strerror}); give a folder that can") from error


def lock_own(folder: Path, until_end: ExitStack) -> None:
    """Lock the folder of a run until `until_end` is closed, as `only_process` does.

    A folder without a lock file is left alone: it may belong to somebody else, and then no file is added to it.
    """
    if (folder / LOCK).exists():
        until_end.enter_context(only_process(folder))


@contextmanager
def only_process(folder: Path) -> Iterator[None]:
    """Lock the folder of a run against other processes, as far as `locked_by_another` does.

    Raises:
        RunError: another process has it.
    """
    with (folder / LOCK).open("a") as file:
        if locked_by_another(file.fileno(), "lockf"):  # which the workers do not inherit
            raise RunError(f"another process trains in {folder}; wait for its end, or give another --output")
        yield


def continues(config: Options, ranks: Ranks) -> bool:
    """Whether a run that has begun is to be continued."""
    return (config.resume or ranks.restarted) and is_begun(Path(config.output))


def is_begun(folder: Path) -> bool:
    """Whether a folder holds a run; one that failed before its first log line and its first state is none."""
    metrics = folder / "metrics.jsonl"
    return bool(States(folder).files()) or (metrics.exists() and metrics.stat().st_size > 0)


def check_room(folder: Path, overwrite: bool, needed: dict[str, str | None]) -> None:
    """Refuse a folder that a new run cannot have.

    Args:
        folder: of the new run.
        overwrite: as in `Config`.
        needed: files and folders that the new run starts from, by option as it is typed.

    Raises:
        RunError: it is a file, or holds a run or something else, or would be deleted with what is needed, or another
            process trains in it.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"--output {folder} is a file; give a folder")
    if is_begun(folder):
        if not overwrite:
            raise RunError(
                f"{folder} holds a run already; continue it with --resume, give another --output, or delete it with "
                "--overwrite"
            )
        for name, value in needed.items():
            if value and Path(value).exists() and Path(value).resolve().is_relative_to(folder.resolve()):
                raise RunError(f"--overwrite would delete {name} {value} with {folder}; give another --output")
    elif folder.exists() and not is_ours(folder / "config.yaml"):
        own = {LOCK, LISTS} if (folder / LISTS / RECORD).exists() else {LOCK}
        if {path.name for path in folder.iterdir()} - own:
            raise RunError(f"{folder} is not empty and holds no run; give another --output")


def check_lists(folder: Path) -> None:
    """Refuse a folder for the lists of a new run that no run has made; raises RunError."""
    if folder.exists() and not (folder / RECORD).exists():
        raise RunError(f"{folder} is there already, and no run has made it; give another --output")


def is_ours(file: Path) -> bool:
    """Whether a config.yaml is that of a run, also of one that failed before its first step."""
    try:
        return file.read_text(encoding="utf-8").startswith("# cmpl_zoo ")  # as `versions` begins
    except (OSError, UnicodeDecodeError):
        return False


def delete_run(folder: Path, config: Options) -> None:
    """Delete what an earlier run has written and nothing else; its lists stay where the new run learns from them."""
    for name in WRITTEN:
        path = folder / name
        if name == LISTS and lists_in(folder, config):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def needed(config: Options) -> dict[str, str | None]:
    """The files and folders that a run starts from, by option as it is typed, but for lists in its own folder."""
    own = lists_in(Path(config.output), config)
    return {flag(name): getattr(config, name) for name in config.inputs if name not in own}


def lists_in(folder: Path, config: Options) -> set[str]:
    """The options that name a list in the folder of lists that is made for a run."""
    values = {name: getattr(config, name) for name in config.inputs}
    return {name for name, value in values.items() if value and Path(value).parent == folder / LISTS}


def former_options(file: Path) -> dict[str, Any]:
    """What config.yaml says of a run that is to be continued.

    Raises:
        RunError: it is missing or damaged.
    """
    try:
        options = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        cause = error.strerror
    except (UnicodeDecodeError, yaml.YAMLError):
        cause = "it is not YAML"
    else:
        if isinstance(options, dict):
            return options
        cause = "it holds no options"
    raise RunError(
        f"{file} cannot be read ({cause}), and a run is continued with its own options alone; put it back, or begin "
        "again with --overwrite instead of --resume"
    )
