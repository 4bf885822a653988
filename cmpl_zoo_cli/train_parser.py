"""The command line of training: every option of `Config`, and YAML recipes of them."""

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args, get_origin, get_type_hints

import jsonargparse

from cmpl_zoo_cli import recipes, spelling
from cmpl_zoo_cli.train_config import REMOVED, Config, flag

# What the help calls the value of an option, where it is a text or a range.
VALUES = dict.fromkeys(("labeled", "unlabeled", "val"), "LIST")
VALUES |= dict.fromkeys(("output", "root", "unlabeled_root", "val_root"), "DIR")
VALUES |= dict.fromkeys(("primary", "auxiliary", "init", "auxiliary_init"), "MODEL")
VALUES |= {"classes": "NAMES", "dataset": "NAME", "license": "NAME", "short_side": "LEAST,MOST", "freeze": "STAGE"}
# The parts of the help, each with its first option.
PARTS = {
    "labeled": "videos and output",
    "dataset": "model card",
    "primary": "networks",
    "frames": "clips and augmentation",
    "scheme": "pseudo-labels",
    "steps": "optimization",
    "precision": "run",
}
TYPES = get_type_hints(Config)
REQUIRED = [field.name for field in fields(Config) if field.default is MISSING]


def parse_config(args: Sequence[str]) -> Config:
    """The options of a command line and of the recipes that its --config names.

    Ends the program with a message and status 2 where an option is unknown or invalid.
    """
    parser = _parser()
    options = parser.parse_args(spelling.today("train", args)).as_dict()
    given = options.pop("config") or []
    if used := [name for name, default in REMOVED.items() if options.pop(name) != default]:
        parser.error(f"{flag(used[0])} was removed, as it did not help; leave it out")
    if options["steps"] is not None and options["epochs"] is not None:
        for name in ("steps", "epochs"):
            if any(recipes.read(Path(str(recipe))).get(name) is not None for recipe in given):
                parser.error(f"give either --steps or --epochs; the recipe gives --{name}, which --{name} null unsets")
    try:
        return Config(**options)
    except ValueError as error:
        parser.error(str(error))


def _parser() -> "Parser":
    jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = Parser(
        prog="cmpl-zoo train",
        usage="%(prog)s --labeled LIST --output DIR [--config RECIPE] [options]",
        description=f"{Config.__doc__} Options and recipes are read from left to right: of two values of "
        "an option the last one counts.",
        formatter_class=Help,
        print_config="--print-config",
        allow_abbrev=False,
    )
    names = ", ".join(recipes.packaged())
    parser.add_argument(
        "--config",
        action=Recipe,
        metavar="RECIPE",
        help=f"recipe: a YAML file of options, or the name of one that comes with cmpl_zoo: {names} (default: none)",
    )
    parser.add_class_arguments(Config, as_group=False)
    for name, default in REMOVED.items():
        parser.add_argument(f"--{name}", type=bool, default=default, help=jsonargparse.SUPPRESS)
    part = options = parser._optionals  # jsonargparse has no public way to spell or group the options of a class
    for action in parser._actions:
        if action.dest in PARTS:
            part = parser.add_argument_group(PARTS[action.dest])
        if action.dest in TYPES:
            options._group_actions.remove(action)
            part._group_actions.append(action)
        _spell(parser, action)
    return parser


def _spell(parser: "Parser", action: argparse.Action) -> None:
    """Give an option dashes, a plain name of its value and, where it is true or false, a form without a value."""
    if action.dest == "print_config":
        action.help, action.metavar = "print all options as a recipe, and end without training", ""
    if action.dest not in TYPES and action.dest not in REMOVED:
        return
    action.option_strings = [flag(action.dest)]
    if action.dest == "output":
        action.option_strings.insert(0, "-o")
    for option in action.option_strings:
        parser._option_string_actions[option] = action
    kind = TYPES.get(action.dest, bool)
    if kind is bool:
        action.nargs, action.const, action.metavar = "?", True, "true|false"
    elif get_origin(kind) is tuple:
        action.type = lambda text: f"[{text}]" if re.fullmatch(r"\d+,\d+", text) else text
    if get_origin(kind) is not Literal and kind is not bool:
        action.metavar = VALUES.get(action.dest, "N" if int in (kind, *get_args(kind)) else "X")


class Parser(jsonargparse.ArgumentParser):
    """jsonargparse's parser with messages as argparse has them, without Python types.

    Attributes:
        recipe: the file that is being read, if any.
    """

    recipe: Path | None = None

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if wrong := re.match(r'Parser key "(\w+)".*(?:Got value|Given value): (.*)', message, re.DOTALL):
            option, value = wrong.groups()
            where = f"--config {self.recipe}: {option}" if self.recipe else flag(option)
            message = f"{where} must be {expected(TYPES.get(option, bool))}, not {value}"
        elif missing := re.fullmatch(r"the following arguments are required: (.*)", message):
            message = f"{', '.join(map(flag, missing[1].split(', ')))} must be given"
        elif unknown := re.match(r"[Uu]nrecognized arguments: (\S+)", message):
            message += f"; {recipes.advice(unknown[1], ['--config', *map(flag, TYPES)])}"
        self.print_usage(sys.stderr)
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())}\n")


def expected(kind: Any) -> str:
    """What a value of a type of `Config` must be, in words."""
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(str, get_args(kind)))
    if get_origin(kind) is tuple:
        return "two whole numbers, such as 256,320"
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", type(None): "null"}
    return " or ".join(words[part] for part in get_args(kind) or (kind,))


class Recipe(jsonargparse.ActionConfigFile):
    """`--config` with the name of a recipe or its path."""

    def __call__(self, parser: Any, cfg: Any, values: Any, option_string: str | None = None) -> None:
        try:
            file = recipes.find(values)
            recipes.read(file)
        except ValueError as error:
            parser.error(f"--config {error}")
        parser.recipe = file
        super().__call__(parser, cfg, str(file), option_string)
        parser.recipe = None


class Help(jsonargparse.DefaultHelpFormatter):
    """Options with their defaults; jsonargparse's own help also gives Python types."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text, default = (action.help or "").rstrip("."), action.default
        if text[1:2].islower():  # as the other verbs have it
            text = text[0].lower() + text[1:]
        if action.dest in REQUIRED:
            return f"{text} (required)"
        if default == argparse.SUPPRESS or action.dest not in TYPES or "by default" in text:
            return text
        if isinstance(default, bool):
            default = str(default).lower()
        elif isinstance(default, tuple):
            default = ",".join(map(str, default))
        return f"{text} (default: {'none' if default is None else default})"
