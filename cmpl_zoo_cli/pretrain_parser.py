"""The command line of pretraining: every option of `PretrainConfig`, and YAML recipes of them."""

from collections.abc import Sequence

from cmpl_zoo_cli.options_parser import Parser, arrange, types_of
from cmpl_zoo_cli.pretrain_config import PretrainConfig
from cmpl_zoo_cli.spelling import with_dashes

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


def parse(args: Sequence[str]) -> tuple[PretrainConfig, bool]:
    """The options of a command line and of the recipes that its --config names, and whether to end before training.

    Ends the program with a message and status 2 where an option is unknown or invalid.
    """
    parser = _parser()
    options = parser.parse_args(with_dashes(args)).as_dict()
    return parser.made(PretrainConfig, options), options["dry_run"]


def _parser() -> Parser:
    parser = Parser(
        "cmpl-zoo pretrain",
        "%(prog)s --unlabeled LIST|DIR -o DIR [--config RECIPE] [options]",
        DESCRIPTION,
        types_of(PretrainConfig),
        RECIPES,
        "rotation_small",
        hidden=("dry_run",),
    )
    parser.add_class_arguments(PretrainConfig, as_group=False)
    parser.add_argument(
        "--dry-run", action="store_true", help="say what the run will do, and end before it begins (default: false)"
    )
    arrange(parser, PARTS, VALUES)
    return parser
