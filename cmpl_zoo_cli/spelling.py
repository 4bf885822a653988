"""The options of a command line as they are written: with dashes, also where a recipe's names have underscores."""

from collections.abc import Sequence


def flag(option: str) -> str:
    """An option as it is typed."""
    return "--" + option.replace("_", "-")


def with_dashes(words: Sequence[str]) -> list[str]:
    """The words with `--batch_size` as `--batch-size`; what follows a lone `--` stays as it is."""
    end = words.index("--") if "--" in words else len(words)
    spelled = []
    for word in words[:end]:
        option, equals, value = word.partition("=")
        spelled.append(option.replace("_", "-") + equals + value if word.startswith("--") else word)
    return spelled + list(words[end:])


def starting_words(network: str, weights: str, *, subtract_mean_frame: bool, normalize_clip: bool) -> list[str]:
    """The options of training by which a network starts from weights that see clips in this way."""
    words = [flag("primary"), network, flag("init"), weights]
    seen = {"subtract_mean_frame": subtract_mean_frame, "normalize_clip": normalize_clip}
    return words + [flag(option) for option, value in seen.items() if value]
