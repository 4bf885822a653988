"""The command line of training: every option of `Config`, and YAML recipes of them."""

from pathlib import Path

import jsonargparse
import yaml

from cmpl_zoo_cli.train_config import REMOVED, Config


def parse_config(args: list[str] | None = None, prog: str = "cmpl-zoo train") -> Config:
    """The options of a command line and of the recipes that its --config names.

    Ends the program with a message and status 2 where an option is unknown or invalid.
    """
    jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = jsonargparse.ArgumentParser(prog=prog, description=Config.__doc__)
    parser.add_argument("--config", action="config", help="YAML file of options, such as train/recipes/demo.yaml.")
    parser.add_class_arguments(Config)
    for name, default in REMOVED.items():
        parser.add_argument(f"--{name}", type=bool, default=default, help=jsonargparse.SUPPRESS)
    options = parser.parse_args(args).as_dict()
    recipes = options.pop("config") or []
    if used := [name for name, default in REMOVED.items() if options.pop(name) != default]:
        parser.error(f"--{used[0]} was removed, as it did not help; leave it out")
    if options["steps"] is not None and options["epochs"] is not None:
        for name in ("steps", "epochs"):
            if any(yaml.safe_load(Path(recipe).read_text()).get(name) is not None for recipe in recipes):
                parser.error(f"give either --steps or --epochs; the recipe gives --{name}, which --{name} null unsets")
    try:
        return Config(**options)
    except ValueError as error:
        parser.error(str(error))
