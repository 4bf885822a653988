"""The folder of a run: which run it belongs to, and its options in config.yaml."""

import shutil
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import yaml

from cmpl_zoo._files import replace_text
from cmpl_zoo.distributed import Ranks
from cmpl_zoo.training.checkpoint import States
from cmpl_zoo.training.errors import RunError
from cmpl_zoo.training.provenance import versions
from cmpl_zoo_cli.pretrain_config import PretrainConfig
from cmpl_zoo_cli.spelling import flag
from cmpl_zoo_cli.train_config import Config

LISTS, RECORD = "lists", "made_from.json"  # the folder of lists that were made for the run, and of what


Options = Config | PretrainConfig  # of a run of any kind


def open_run(config: Options, ranks: Ranks) -> None:
    """Make or find the run's folder, and write its resolved options to config.yaml; rank 0 does it.

    Raises:
        RunError: it holds another run, or the same run with other options.
    """
    ranks.first_alone(lambda: _open(config, resume=config.resume or ranks.restarted))


def _open(config: Options, resume: bool) -> None:
    folder = Path(config.output)
    file = folder / "config.yaml"
    options = asdict(config) | {"short_side": list(config.short_side)}
    begun = resume and is_begun(folder)
    if begun:
        before = former_options(file)
        # An option that is newer than the run was at its default.
        before = {field.name: field.default for field in fields(config)} | before
        changed = [k for k, v in options.items() if k not in config.free_on_resume and before[k] != v]
        if changed:
            was = ", ".join(f"{key} was {before[key]}" for key in changed)
            raise RunError(f"{folder} holds a run with other options ({was}); give them, or another --output")
        if any(before.get(key) != options.get(key) for key in ("root", "unlabeled_root")):
            (folder / "unreadable.csv").unlink(missing_ok=True)  # its paths are those of another folder
    else:
        make_room(folder, config.overwrite, needed(config))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not begun:
            (folder / "unreadable.csv").unlink(missing_ok=True)
        text = yaml.safe_dump(options | {"resume": False, "overwrite": False}, sort_keys=False)
        replace_text(file, f"# {versions()}\n{text}")
    except OSError as error:
        raise RunError(f"--output {folder} cannot be written to ({error.strerror}); give a folder that can") from error


def is_begun(folder: Path) -> bool:
    """Whether a folder holds a run; one that failed before its first log line and its first state is none."""
    metrics = folder / "metrics.jsonl"
    return bool(States(folder).files()) or (metrics.exists() and metrics.stat().st_size > 0)


def make_room(folder: Path, overwrite: bool, needed: dict[str, str | None]) -> None:
    """Refuse a folder that a new run cannot have, and with `overwrite` delete the earlier run in it.

    Args:
        folder: of the new run.
        overwrite: as in `Config`.
        needed: files and folders that the new run starts from, by option as it is typed.

    Raises:
        RunError: it is a file, or holds a run or something else, or would be deleted with what is needed.
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
        shutil.rmtree(folder)
    elif folder.exists() and not (folder / "config.yaml").exists():
        own = {LISTS} if (folder / LISTS / RECORD).exists() else set[str]()
        if {path.name for path in folder.iterdir()} - own:
            raise RunError(f"{folder} is not empty and holds no run; give another --output")


def needed(config: Options) -> dict[str, str | None]:
    """The files and folders that a run starts from, by option as it is typed."""
    return {flag(name): getattr(config, name) for name in config.inputs}


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
