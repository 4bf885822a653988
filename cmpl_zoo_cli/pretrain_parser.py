"""The command line of pretraining: every option of `PretrainConfig`, and YAML recipes of them."""

from collections.abc import Sequence

from cmpl_zoo_cli import spelling
from cmpl_zoo_cli.options_parser import Parser, arrange, types_of
from cmpl_zoo_cli.pretrain_config import PretrainConfig

RECIPES = "pretext/recipes"  # in the package
VALUES = {"unlabeled": "LIST|DIR", "output": "DIR", "root": "DIR", "flow": "DIR", "dataset": "NAME", "license": "NAME"}
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

The result, DIR/model, has no classifier. Training with labels starts from it: cmpl-zoo train VIDEOS -o DIR2 --primary
MODEL --init DIR/model.

Options and recipes are read from left to right: of two values of an option the last one counts."""


def parse(args: Sequence[str]) -> PretrainConfig:
    """The options of a command line and of the recipes that its --config names.

    Ends the program with a message and status 2 where an option is unknown or invalid.
    """
    parser = _parser()
    return parser.made(PretrainConfig, parser.parse_args(spelling.today("pretrain", args)).as_dict())


def _parser() -> Parser:
    parser = Parser(
        "cmpl-zoo pretrain",
        "%(prog)s --unlabeled LIST|DIR -o DIR [--config RECIPE] [options]",
        DESCRIPTION,
        types_of(PretrainConfig),
        RECIPES,
    )
    parser.add_class_arguments(PretrainConfig, as_group=False)
    arrange(parser, PARTS, VALUES)
    return parser
