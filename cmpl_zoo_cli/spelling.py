"""The words of a command line as they are written today: dashes in options, and today's name of what was renamed."""

import os
import sys
from collections.abc import Sequence

# (verb, former option): its name now; "" where its values now stand alone. To be removed after version 0.1.
RENAMED = {
    ("split", "--val"): "--val-share",
    ("prepare", "--short-side"): "--max-short-side",
    ("evaluate", "--clips"): "--test-clips",
    ("evaluate", "--crops"): "--test-crops",
    ("evaluate", "--model"): "",
}
# Verbs that took the output folder without an option, after so many other words. Likewise.
WORDS_BEFORE_OUTPUT = {"prepare": 1, "shard": 1, "demo": 0}


def today(verb: str, words: Sequence[str]) -> list[str]:
    """The words after a verb, with `--batch_size` as `--batch-size` and former options as they are called now.

    A former option is reported on stderr. What follows a lone `--` stays as it is.
    """
    end = words.index("--") if "--" in words else len(words)
    spelled = []
    for word in words[:end]:
        if not word.startswith("--"):
            spelled.append(word)
            continue
        option, equals, value = word.partition("=")
        option = option.replace("_", "-")
        new = RENAMED.get((verb, option), option)
        if new:
            spelled.append(new + equals + value)
        elif equals:
            spelled.append(value)
        if new != option:
            notice(f"{option} is called {new} now" if new else f"{option} is no longer needed, leave out this word")
    return _with_output_option(verb, spelled) + list(words[end:])


def _with_output_option(verb: str, words: list[str]) -> list[str]:
    """`prepare LIST DIR` as `prepare LIST -o DIR`."""
    if verb not in WORDS_BEFORE_OUTPUT or any(word.startswith(("-o", "--output")) for word in words):
        return words
    before = WORDS_BEFORE_OUTPUT[verb]
    values = {i + 1 for i, word in enumerate(words) if word.startswith("-") and "=" not in word and word != "--copy"}
    alone = [i for i, word in enumerate(words) if not word.startswith("-") and i not in values]
    if len(alone) != before + 1:
        return words
    place = alone[before]
    notice(f"{verb} takes its folder as -o {words[place]} now")
    return [*words[:place], "-o", *words[place:]]


def notice(text: str) -> None:
    """Print a line on stderr, once where torchrun started several processes."""
    if os.environ.get("RANK", "0") == "0":
        print(f"cmpl-zoo: {text}", file=sys.stderr)
