"""Recipes: YAML files of training options, some of which come with the package."""

import difflib
import importlib.util
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from cmpl_zoo_cli.train_config import Config

TRAINING_OPTIONS = [field.name for field in fields(Config)]
TRAINING = "training/recipes"  # the folder of those for `cmpl-zoo train`, in the package


def packaged(folder: str = TRAINING) -> dict[str, Path]:
    """The recipes in a folder of the package by name, found without importing it, which would load torch."""
    package = importlib.util.find_spec("cmpl_zoo")
    assert package and package.origin
    return {file.stem: file for file in sorted(Path(package.origin).parent.glob(f"{folder}/*.yaml"))}


def find(name: str, folder: str = TRAINING) -> Path:
    """The file of a recipe, by its name in a folder of the package or by its path.

    Raises:
        ValueError: there is none.
    """
    recipes, file = packaged(folder), Path(name)
    if name in recipes:
        return recipes[name]
    if file.exists():
        return file
    raise ValueError(f"{name}: no such file, nor a recipe of that name; the recipes are {', '.join(recipes)}")


def read(file: Path, known: Iterable[str] = TRAINING_OPTIONS, prog: str = "cmpl-zoo train") -> dict[str, Any]:
    """The options in a recipe.

    Args:
        file: of the recipe.
        known: the options that a recipe may have.
        prog: what takes them, for messages.

    Raises:
        ValueError: it cannot be read, or holds no options of training.
    """
    try:
        options = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{file}: cannot be read ({error.strerror}); repair that, or give another recipe") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{file}: is not YAML ({error}); correct it, or give another recipe") from error
    if not isinstance(options, dict):
        raise ValueError(f"{file}: holds no options; write lines such as `lr: 0.1`")
    known = list(known)
    if unknown := [str(name) for name in options if name not in known]:
        raise ValueError(f"{file}: there is no option {unknown[0]}; {advice(unknown[0], known, prog)}")
    return options


def advice(unknown: str, known: Sequence[str], prog: str = "cmpl-zoo train") -> str:
    """What to do about an option that does not exist."""
    close = difflib.get_close_matches(unknown, known, n=1)
    return f"did you mean {close[0]}?" if close else f"{prog} --help lists what there is"
