"""A parser of the options of a dataclass, and of YAML recipes of them."""

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar, get_args, get_origin, get_type_hints

import jsonargparse

from cmpl_zoo_cli import recipes
from cmpl_zoo_cli.run_options import RunOptions
from cmpl_zoo_cli.spelling import flag

Options = TypeVar("Options", bound=RunOptions)


def types_of(*options: type) -> dict[str, Any]:
    """The types of the fields of dataclasses, by name."""
    return {field.name: get_type_hints(one)[field.name] for one in options for field in fields(one)}


class Parser(jsonargparse.ArgumentParser):
    """jsonargparse's parser with messages as argparse has them, without Python types, and `--config RECIPE`.

    Args:
        prog: how the program is called.
        usage: the forms of its command line.
        description: above its options.
        types: of the options, by name.
        recipe_folder: of the recipes that come with the package, below it.
        example: one of these.
        hidden: options that no recipe has.

    Attributes:
        recipe: the file that is being read, if any.
    """

    def __init__(
        self,
        prog: str,
        usage: str,
        description: str,
        types: Mapping[str, Any],
        recipe_folder: str,
        example: str,
        hidden: Sequence[str] = (),
    ) -> None:
        jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)
        super().__init__(
            prog=prog,
            usage=usage,
            description=description,
            formatter_class=Help,
            print_config="--print-config",
            allow_abbrev=False,
        )
        self.types, self.recipe_folder, self.example, self.hidden = types, recipe_folder, example, hidden
        self.recipe: Path | None = None
        names = ", ".join(recipes.packaged(recipe_folder))
        self.add_argument(
            "--config",
            action=Recipe,
            metavar="RECIPE",
            help="recipe: a YAML file of options, or the name of one that comes with cmpl_zoo: "
            f"{names} (default: none)",
        )

    def read(self, recipe: Path) -> dict[str, Any]:
        """The options in a recipe; raises a ValueError as `recipes.read` does."""
        return recipes.read(recipe, [name for name in self.types if name not in self.hidden], self.prog)

    def made(self, kind: type[Options], values: Mapping[str, Any]) -> Options:
        """A dataclass of options made of parsed values; ends the program with a message where they do not fit.

        Args:
            kind: the dataclass, which has `steps` and `epochs`.
            values: by name, with the recipes as `config`.
        """
        if values["steps"] is None and values["epochs"] is None and not values["config"]:
            self.error(f"give --steps or --epochs, or a recipe: --config {self.example}")
        if values["steps"] is not None and values["epochs"] is not None:
            for name in ("steps", "epochs"):
                if any(self.read(Path(str(recipe))).get(name) is not None for recipe in values["config"] or ()):
                    self.error(
                        f"give either --steps or --epochs; the recipe gives --{name}, which --{name} null unsets"
                    )
        try:
            return kind(**{field.name: values[field.name] for field in fields(kind)})
        except ValueError as error:
            self.error(str(error))

    def dump(self, cfg: Any, **how: Any) -> str:
        """What --print-config prints: a recipe."""
        for name in self.hidden:
            cfg.pop(name, None)
        return super().dump(cfg, **how)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if wrong := re.match(r'Parser key "(\w+)".*(?:Got value|Given value): (.*)', message, re.DOTALL):
            option, value = wrong.groups()
            where = f"--config {self.recipe}: {option}" if self.recipe else flag(option)
            message = f"{where} must be {expected(self.types.get(option, bool))}, not {value}"
        elif missing := re.fullmatch(r"the following arguments are required: (.*)", message):
            message = f"{', '.join(map(flag, missing[1].split(', ')))} must be given"
        elif word := re.match(r"[Uu]nrecognized arguments: ([^-]\S*)", message):
            message = f"{word[1]} follows no option; videos without a label are given with --unlabeled"
        elif unknown := re.match(r"[Uu]nrecognized arguments: (\S+)", message):
            message += f"; {recipes.advice(unknown[1], ['--config', *map(flag, self.types)], self.prog)}"
        self.print_usage(sys.stderr)
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())}\n")


def arrange(parser: Parser, parts: Mapping[str, str], values: Mapping[str, str]) -> None:
    """Give options dashes, plain names of their values and parts of the help.

    Args:
        parser: with all of its options.
        parts: names of the parts of the help, each by its first option.
        values: what the help calls the value of an option, where it is a text or a range.
    """
    part = options = parser._optionals  # jsonargparse has no public way to spell or group the options of a class
    for action in parser._actions:
        if action.dest in parts:
            part = parser.add_argument_group(parts[action.dest])
        if action.dest in (*parser.types, "dry_run") and action.option_strings:
            options._group_actions.remove(action)
            part._group_actions.append(action)
        if action.option_strings:
            _spell(parser, action, values)


def _spell(parser: Parser, action: argparse.Action, values: Mapping[str, str]) -> None:
    """Give an option dashes, a plain name of its value and, where it is true or false, a form without a value."""
    if action.dest == "print_config":
        action.help, action.metavar = "print all options as a recipe, and end without training", ""
    if action.dest not in parser.types and action.help != argparse.SUPPRESS:
        return
    action.option_strings = [flag(action.dest)]
    if action.dest == "output":
        action.option_strings.insert(0, "-o")
    for option in action.option_strings:
        parser._option_string_actions[option] = action
    kind = parser.types.get(action.dest, bool)
    if kind is bool:
        action.nargs, action.const, action.metavar = "?", True, "true|false"
    elif get_origin(kind) is tuple:
        action.type = lambda text: f"[{text}]" if re.fullmatch(r"\d+,\d+", text) else text
    if get_origin(kind) is not Literal and kind is not bool:
        action.metavar = values.get(action.dest, "N" if int in (kind, *get_args(kind)) else "X")


def expected(kind: Any) -> str:
    """What a value of an option must be, in words."""
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
            file = recipes.find(values, parser.recipe_folder)
            parser.read(file)
        except ValueError as error:
            parser.error(f"--config {error}")
        parser.recipe = file
        super().__call__(parser, cfg, str(file), option_string)
        parser.recipe = None


class Help(jsonargparse.DefaultHelpFormatter):
    """Options with their defaults; jsonargparse's own help also gives Python types. Paragraphs stay apart."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        fill = super()._fill_text
        return "\n\n".join(fill(part, width, indent) for part in text.split("\n\n"))

    def _get_help_string(self, action: argparse.Action) -> str:
        text, default = (action.help or "").rstrip("."), action.default
        if text[1:2].islower():  # as the other verbs have it
            text = text[0].lower() + text[1:]
        if action.required:
            return f"{text} (required)"
        if default == argparse.SUPPRESS or "by default" in text or "default:" in text:
            return text
        if isinstance(default, bool):
            default = str(default).lower()
        elif isinstance(default, tuple):
            default = ",".join(map(str, default))
        return f"{text} (default: {'none' if default is None else default})"
