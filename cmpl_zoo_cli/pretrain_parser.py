"""The command line of pretraining: every option of `PretrainConfig`, and YAML recipes of them."""

from collections.abc import Sequence
from dataclasses import fields

import jsonargparse

from cmpl_zoo_cli import recipes, spelling
from cmpl_zoo_cli.options_parser import Help, Parser, Recipe, arrange, types_of
from cmpl_zoo_cli.pretrain_config import PretrainConfig

RECIPES = "pretext/recipes"  # in the package
VALUES = {"unlabeled": "LIST|DIR", "output": "DIR", "root": "DIR", "dataset": "NAME", "license": "NAME"}
VALUES |= {"model": "MODEL", "init": "MODEL", "short_side": "LEAST,MOST"}
PARTS = {
    "unlabeled": "videos and output",
    "dataset": "model card",
    "task": "task and network",
    "frames": "clips",
    "batch": "optimization",
    "precision": "run",
}
DESCRIPTION = f"""{PretrainConfig.__doc__}

The result, DIR/model, has no classifier. What it has learned is put to use by its labels: cmpl-zoo train VIDEOS -o DIR2
--primary MODEL --init DIR/model.

Options and recipes are read from left to right: of two values of an option the last one counts."""


def parse(args: Sequence[str]) -> PretrainConfig:
    """The options of a command line and of the recipes that its --config names.

    Ends the program with a message and status 2 where an option is unknown or invalid.
    """
    parser = _parser()
    options = parser.parse_args(spelling.today("pretrain", args)).as_dict()
    try:
        return PretrainConfig(**{field.name: options[field.name] for field in fields(PretrainConfig)})
    except ValueError as error:
        parser.error(str(error))


def _parser() -> Parser:
    jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = Parser(
        prog="cmpl-zoo pretrain",
        usage="%(prog)s --unlabeled LIST|DIR -o DIR [--config RECIPE] [options]",
        description=DESCRIPTION,
        formatter_class=Help,
        print_config="--print-config",
        allow_abbrev=False,
    )
    parser.types, parser.recipe_folder = types_of(PretrainConfig), RECIPES
    names = ", ".join(recipes.packaged(RECIPES))
    parser.add_argument(
        "--config",
        action=Recipe,
        metavar="RECIPE",
        help=f"recipe: a YAML file of options, or the name of one that comes with cmpl_zoo: {names} (default: none)",
    )
    parser.add_class_arguments(PretrainConfig, as_group=False)
    arrange(parser, PARTS, VALUES)
    return parser
