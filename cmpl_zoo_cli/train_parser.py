"""The command line of training: a folder of videos or lists, every option of `Config`, and YAML recipes of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from cmpl_zoo_cli import recipes
from cmpl_zoo_cli.options_parser import Parser, arrange, types_of
from cmpl_zoo_cli.spelling import flag, with_dashes
from cmpl_zoo_cli.train_config import CPU_RECIPE, GPU_RECIPE, PASSES, Config, OwnVideos

# What the help calls the value of an option, where it is a text or a range.
VALUES = {"labels": "FILE", "group": "COLUMN", "labeled": "LIST", "unlabeled": "LIST|DIR", "val": "LIST"}
VALUES |= dict.fromkeys(("output", "root", "unlabeled_root", "val_root"), "DIR")
VALUES |= dict.fromkeys(("primary", "auxiliary", "init", "auxiliary_init"), "MODEL")
VALUES |= {"classes": "NAMES", "dataset": "NAME", "license": "NAME", "short_side": "LEAST,MOST", "freeze": "STAGE"}
# The parts of the help, each with its first option.
PARTS = {
    "labels": "a folder of videos",
    "labeled": "lists and output",
    "dataset": "model card",
    "primary": "networks",
    "frames": "clips and augmentation",
    "scheme": "pseudo-labels",
    "val_every": "validation",
    "balance": "optimization",
    "precision": "run",
}
TYPES = types_of(OwnVideos, Config)
OWN = [field.name for field in fields(OwnVideos)]
VIDEOS = """folder of your videos, with a folder in it for each class, or any folder with --labels; videos directly in
it, or in a folder `unlabeled`, are learned from without a label (by default --labeled, --val and --unlabeled give the
videos)"""
LABELS = """one file or several with the labels of the videos in VIDEOS: CSV, also with semicolons or tabs, with the
columns label and path (or filepath, video, filename); the videos that they do not name, and those in rows without a
label, are learned from without one; by default the class folders are the labels"""
DESCRIPTION = f"""{Config.__doc__}

With VIDEOS, lists of them are made in DIR/lists, a share is held out for validation, and the run says what it will do
before it begins. Without --group it warns where videos on both sides are in one subfolder of a class, or have one name
but for a number at its end: they may be of one recording. Without --config the recipe is {GPU_RECIPE} where there is a
GPU, and else {CPU_RECIPE}, with more steps where they would make fewer than {PASSES} passes over the labeled videos; a
network that is typed then starts from its own weights in the zoo, or from random ones, and a stride replaces --spread.
Without unlabeled videos one network learns from the labels alone. With --resume the lists and the recipe are those that
the run began with.

Options and recipes are read from left to right: of two values of an option the last one counts."""


@dataclass(frozen=True)
class CommandLine:
    """What a command line of training asks for.

    Attributes:
        words: of the command line.
        config: its options; where lists are still to be made, those of another recipe without them.
        own: the folder of videos, if one is given.
        unlabeled: list or folder of unlabeled videos, if one is given.
        val: list of videos to validate on, if one is given.
        dry_run: to end before training.
    """

    words: list[str]
    config: Config
    own: OwnVideos
    unlabeled: str | None
    val: str | None
    dry_run: bool

    @property
    def makes_lists(self) -> bool:
        """Whether lists are still to be made: of the folder of videos, or of a folder of unlabeled ones."""
        return self.own.videos is not None or (self.unlabeled is not None and Path(self.unlabeled).is_dir())

    def within(self, folder: str) -> "CommandLine":
        """The same with another folder of the run."""
        return replace(self, words=[*self.words, "--output", folder], config=replace(self.config, output=folder))

    def completed(self, before: Sequence[str], after: Sequence[str]) -> Config:
        """The options with other words before and after those of the command line.

        Ends the program with a message and status 2 where they do not fit together.
        """
        return parse_config([*before, *self.words, *after])


def gives(words: Sequence[str], option: str) -> bool:
    """Whether an option is typed among words."""
    return any(word.partition("=")[0] == flag(option) for word in words)


def recipe_beside(words: Sequence[str], name: str) -> list[str]:
    """A recipe that is not typed, as words before those that are: without spread frames if a stride is typed."""
    strides = any(gives(words, option) for option in ("primary_stride", "auxiliary_stride", "fps"))
    return ["--config", name, *(["--spread", "false"] if strides and not gives(words, "spread") else [])]


def config_of(parser: Parser, words: Sequence[str], options: Mapping[str, Any]) -> Config:
    """The options of words that are parsed.

    Ends the program with a message and status 2 where they are invalid, or a stride that is typed has no effect.
    """
    for option in ("primary_stride", "auxiliary_stride"):
        if options["spread"] and gives(words, option) and not gives(words, "spread"):
            parser.error(f"{flag(option)} has no effect, as the recipe spreads the frames; add --spread false")
    return parser.made(Config, options)


def parse_config(args: Sequence[str]) -> Config:
    """The options of a command line and of the recipes that its --config names.

    Ends the program with a message and status 2 where an option is unknown or invalid.
    """
    parser = _parser()
    words = with_dashes(args)
    return config_of(parser, words, parser.parse_args(words).as_dict())


def parse(args: Sequence[str]) -> CommandLine:
    """A command line; ends the program with a message and status 2 where an option is unknown or invalid."""
    parser = _parser()
    words = with_dashes(args)
    options = parser.parse_args(words).as_dict()  # those of `OwnVideos` too, and the recipes, `config`
    labels = options["labels"] or []
    if options["videos"] is None and len(labels) > 1 and Path(labels[-1]).is_dir():
        options["videos"] = labels.pop()  # typed after the files, which have no number
    try:
        own = OwnVideos(**{name: options[name] for name in OWN})
    except ValueError as error:
        parser.error(str(error))
    given = options["unlabeled"], options["val"]
    if own.videos is None:
        if typed := [name for name in OWN if getattr(own, name) != getattr(OwnVideos, name)]:
            parser.error(f"{flag(typed[0])} is for lists that are made; give VIDEOS, the folder of the videos, too")
        if options["labeled"] is None:
            parser.error("VIDEOS or --labeled must be given")
        return CommandLine(words, config_of(parser, words, options), own, *given, options["dry_run"])
    if options["labeled"] is not None:
        parser.error("VIDEOS and --labeled both give the labeled videos; leave one of them out")
    if options["root"] != Config.root:
        parser.error(f"--root {options['root']}: with VIDEOS, paths start from that folder; leave --root out")
    if options["unlabeled"] is None and gives(words, "unlabeled"):
        parser.error(
            "--unlabeled null: with VIDEOS, those without a label are learned from; to leave them out, give --scheme "
            "none --auxiliary null"
        )
    # Checked now, with a recipe and lists that may not be those of the run: it is no use to look at all videos first.
    before = [] if options["config"] else recipe_beside(words, CPU_RECIPE)
    before += ["--steps", "null"] if options["epochs"] is not None else []
    lists = {
        "labeled": True,
        "unlabeled": options["unlabeled"] is None,
        "val": options["val"] is None and own.val_share,
    }
    after = [word for name, made in lists.items() if made for word in (flag(name), f"{name}.csv")]
    return CommandLine(words, parse_config([*before, *words, *after]), own, *given, options["dry_run"])


def _parser() -> Parser:
    parser = Parser(
        "cmpl-zoo train",
        "%(prog)s VIDEOS -o DIR [options]\n       %(prog)s --labeled LIST -o DIR [--config RECIPE] [options]",
        DESCRIPTION,
        TYPES,
        recipes.TRAINING,
        CPU_RECIPE,
        hidden=(*OWN, "dry_run"),
    )
    parser.add_argument("videos", nargs="?", metavar="VIDEOS", help=" ".join(VIDEOS.split()))
    parser.add_argument("--labels", nargs="+", type=str, help=" ".join(LABELS.split()))
    parser.add_class_arguments(OwnVideos, as_group=False, skip={"videos", "labels"})
    parser.add_class_arguments(Config, as_group=False)
    parser.add_argument(
        "--dry-run", action="store_true", help="say what the run will do, and end before training (default: false)"
    )
    for action in parser._actions:
        if action.dest == "labeled":  # or VIDEOS
            action.required = False
    arrange(parser, PARTS, VALUES)
    return parser
