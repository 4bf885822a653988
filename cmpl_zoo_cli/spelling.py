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


def starting_words(
    network: str, weights: str, *, subtract_mean_frame: bool, normalize_clip: bool, alone: bool = False
) -> list[str]:
    """The options of training by which a network starts from weights that see clips in this way.

    Args:
        network: its name.
        weights: the model that it starts from.
        subtract_mean_frame: as the weights have it.
        normalize_clip: as the weights have it.
        alone: no second network learns beside it; that of a recipe starts from weights that see clips as they are.
    """
    seen = {"subtract_mean_frame": subtract_mean_frame, "normalize_clip": normalize_clip}
    words = ["--primary", network, "--init", weights, *(flag(option) for option, value in seen.items() if value)]
    return words + (["--auxiliary-init", "null"] if any(seen.values()) and not alone else [])
