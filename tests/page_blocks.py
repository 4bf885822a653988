"""The blocks of code of a page of Markdown, and whether the command knows what is typed in them.

A block without a language, or of bash, sh, console or python, is run by a test unless the line before it says why not:

    <!-- not run: needs a GPU -->       what it needs
    <!-- as printed -->                 a transcript of a real run: lines that begin with "$ " were typed
"""

import argparse
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cmpl_zoo_cli import pretrain_parser, train_parser
from cmpl_zoo_cli.parser import build_parser

SHELL = ("", "bash", "sh", "console")
RUN = ("shell", "python")
BLOCK = re.compile(
    r"(?:^ *<!-- (?P<mark>not run|as printed)(?:: (?P<reason>[^\n]*?))? -->\n)?"
    r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
INLINE = re.compile(r"(?<!`)`(cmpl-zoo [^`]+)`(?!`)")
# Scripts of a clone that are a verb of the command.
SCRIPTS = {"train/cmpl.py": "train", "train/pretrain.py": "pretrain", "train/evaluate.py": "evaluate"}


@dataclass(frozen=True)
class Block:
    """A block of code of a page.

    Attributes:
        place: page and line.
        language: "shell", "python", or another one as the page has it.
        text: without the fences.
        mark: what the comment before it says, "not run", "as printed" or nothing.
        reason: of "not run".
    """

    place: str
    language: str
    text: str
    mark: str
    reason: str

    @property
    def is_run(self) -> bool:
        return self.language in RUN and not self.mark


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("indent")) + 1
        language = "shell" if match["language"] in SHELL else match["language"]
        code = re.sub(f"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
        found.append(Block(f"{page.name}:{line}", language, code, match["mark"] or "", match["reason"] or ""))
    return found


def problems(page: Path) -> Iterator[str]:
    """What is wrong with a page's marks, and with the commands and options that it names, in prose too."""
    for block in blocks(page):
        if block.mark == "not run" and not block.reason:
            yield f"{block.place}: not run, but why? <!-- not run: REASON -->"
        if block.is_run and block.text.startswith("$ "):
            yield f"{block.place}: a transcript needs <!-- as printed --> before it, or leave the prompts out"
        if block.language == "shell":
            yield from (f"{block.place}: {wrong}" for line in typed(block) for wrong in unknown_words(line))
    for match in INLINE.finditer(BLOCK.sub("", page.read_text(encoding="utf-8"))):
        line = " ".join(match[1].split())
        yield from (f"{page.name}: `{line}`: {wrong}" for wrong in unknown_words(line))


def typed(block: Block) -> list[str]:
    """The command lines of a block, each with its continuation lines."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [line.removeprefix("$ ") for line in lines if block.mark != "as printed" or line.startswith("$ ")]


def unknown_words(line: str) -> Iterator[str]:
    """What a command line has that the command does not know: verbs, and options of its verb."""
    lexer = shlex.shlex(re.sub(r"(^|\s)#.*", "", line), posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        words = list(lexer)
    except ValueError:  # an apostrophe, or a quote that ends on another line
        words = line.split()
    verb = ""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        option = word.partition("=")[0]
        if set(word) <= set("|&;()"):
            verb = ""
        elif word in SCRIPTS:
            verb = SCRIPTS[word]
        elif Path(word).name == "cmpl-zoo" and following.islower():
            verb = following if following in options() else ""
            if not verb and following.isalpha():
                yield f"cmpl-zoo has no verb {following}"
        elif verb and re.match("--?[a-z]", option) and option not in options()[verb]:
            yield f"cmpl-zoo {verb} has no option {option}"


@cache
def options() -> dict[str, set[str]]:
    """The options of each verb of the command."""
    (verbs,) = (action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction))
    parsers = {**verbs.choices, "train": train_parser._parser(), "pretrain": pretrain_parser._parser()}
    return {verb: set(_options(parser)) for verb, parser in parsers.items()}


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for part in action.choices.values():
                yield from _options(part)
