"""What the Hub's client and a damaged file of weights raise, in one sentence with the next step."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from safetensors import SafetensorError


@contextmanager
def explained(source: str, advice: str = "") -> Iterator[None]:
    """Turn what the Hub's client or a damaged file raise into one sentence.

    Args:
        source: the repository or folder in question, for the message.
        advice: what else to do about it.

    Raises:
        RuntimeError: the sentence, from the error that it explains.
    """
    try:
        yield
    except (HTTPError, OSError, ImportError, EntryNotFoundError, HFValidationError, SafetensorError) as error:
        raise RuntimeError(f"{source}: {reason(error)}{advice}") from error
    except ValueError as error:
        if "proxy" not in str(error):
            raise
        raise RuntimeError(f"{source}: {_sentence(error)}; check the environment{_proxy()}") from error


def reason(error: Exception) -> str:
    """An error of the Hub's client or of a file of weights in words, with the next step."""
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if isinstance(error, GatedRepoError):
        return "this repository is gated; accept its conditions on its page and log in with `hf auth login`"
    if isinstance(error, RepositoryNotFoundError):
        return "there is no such repository, or it is private; check the name, or log in with `hf auth login`"
    if isinstance(error, RevisionNotFoundError):
        return "the repository has no such revision; check what follows the @"
    if isinstance(error, LocalEntryNotFoundError):
        cause = error.__cause__ or error.__context__
        if isinstance(cause, HfHubHTTPError):
            return reason(cause)
        return (
            "the file is not in the cache and the Hub could not be reached; check the network, HF_ENDPOINT and "
            f"HF_HUB_OFFLINE{_proxy()}"
        )
    if isinstance(error, EntryNotFoundError):
        return (
            f"the repository lacks {_file(error)}; take one with config.json and model.safetensors, since a pickle "
            "can run a stranger's code"
        )
    if isinstance(error, HFValidationError):
        return "this is no name of a repository; give it as ORG/NAME"
    if status == 401:
        return "the Hub refuses the access token; log in again with `hf auth login` or unset HF_TOKEN"
    if status == 403:
        return "the access token does not allow this; take one with the right to it at hf.co/settings/tokens"
    if status == 409:
        return "this repository exists, and the access token does not see it; take one with the right to it"
    if status is not None and (status >= 500 or status in (408, 429)):
        return f"the Hub answered with status {status}; try again later"
    if status is not None:
        return f"the Hub answered with status {status} ({_sentence(error)}); check the name and HF_ENDPOINT"
    if isinstance(error, SafetensorError):
        return f"the weights are damaged or no safetensors file ({_sentence(error)}); download or save them again"
    if isinstance(error, HTTPError):
        check = f"check the network and HF_ENDPOINT{_proxy()}, try again"
        return f"the connection to the Hub failed ({_sentence(error)}); {check}"
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE keeps the Hub out of reach; unset it"
    if isinstance(error, FileNotFoundError) and not str(error):  # as timm raises it
        return "there is no such file of weights; check its path"
    if isinstance(error, OSError) and error.filename and Path(error.filename).is_relative_to(constants.HF_HOME):
        return f"{error.filename} cannot be used ({error.strerror}); set HF_HOME to a folder that can be written"
    if isinstance(error, ImportError) and _proxy():
        return f"{_sentence(error)} (for the proxy that the environment names)"
    if "Consistency check failed" in str(error):
        return "the download has another size than the Hub announced; try again"
    return _sentence(error)


def _file(error: EntryNotFoundError) -> str:
    """The file that a repository lacks."""
    response = getattr(error, "response", None)
    return Path(response.url.path).name if response is not None else "a file"


def _proxy() -> str:
    """What else to check where connections go through a proxy; its address may hold a password and is not shown."""
    named = [name for name in os.environ if name.lower() in ("https_proxy", "http_proxy", "all_proxy")]
    return f", and the proxy that {' and '.join(sorted(named))} names" if named else ""


def _sentence(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
