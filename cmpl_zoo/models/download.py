"""Files of weights from a public address: continued after a cut transfer, checked, and kept in torch's hub cache."""

import hashlib
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import torch
from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import WeakFileLock

_HASH = re.compile(r"-([0-9a-f]{8,64})\.")  # the first digits of a file's SHA-256, as torch.hub's files are named


def download(url: str, cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """A file of weights, from the disk where it is there already.

    Looked for in the folder `CMPL_ZOO_WEIGHTS`, then in the cache, then at the address. `CMPL_ZOO_MIRROR`, such as
    `http://mirror.example:8080`, replaces the scheme and the host of the address. Several processes may ask at once:
    one downloads, and the others wait. What a cut transfer has brought is kept, and the next call continues it; only a
    whole file gets the file's name.

    Args:
        url: where it is published; with the first digits of its SHA-256 in its name, as `r3d_18-b3b3357e.pth`, these
            are checked, wherever the file was found.
        cache_dir: folder to keep it in; torch.hub's `checkpoints` by default.

    Raises:
        RuntimeError: the file cannot be had or is not the published one; the message says why and what to do.
    """
    name = Path(urlsplit(url).path).name
    if own := os.environ.get("CMPL_ZOO_WEIGHTS"):
        if not Path(own).expanduser().is_dir():
            raise RuntimeError(f"CMPL_ZOO_WEIGHTS is {own}, and there is no such folder; correct or unset it")
        file = Path(own).expanduser() / name
        if file.is_file():
            return _checked(file, name, "put the published file there, or unset CMPL_ZOO_WEIGHTS")
    folder = Path(cache_dir).expanduser() if cache_dir else Path(torch.hub.get_dir(), "checkpoints")
    file, part = folder / name, folder / f"{name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not file.is_file():
            with WeakFileLock(folder / f"{name}.lock"):
                if not file.is_file():  # which another process may have made meanwhile
                    _fetch(_mirrored(url), part, name)
                    os.replace(part, file)
    except OSError as error:
        raise RuntimeError(
            f"{file}: cannot be written ({error.strerror or error}); make room for it, or give another folder as "
            "cache_dir or in TORCH_HOME"
        ) from error
    return _checked(file, name, "delete it and try again")


def _mirrored(url: str) -> str:
    mirror = os.environ.get("CMPL_ZOO_MIRROR")
    if not mirror:
        return url
    place = urlsplit(mirror)
    if not (place.scheme in ("http", "https") and place.netloc):
        raise RuntimeError(f"CMPL_ZOO_MIRROR is {mirror}, no address; give one such as https://HOST or unset it")
    address = urlsplit(url)
    return urlunsplit((place.scheme, place.netloc, place.path.rstrip("/") + address.path, address.query, ""))


def _fetch(address: str, part: Path, name: str) -> None:
    """Download to `part`, from where it ends; RuntimeError unless all of the file is there afterwards."""
    if part.is_file() and _HASH.search(name) and not fault_of(part, name):
        return  # ended between the last byte and its name
    elsewhere = (
        f"put {name} into a folder and set CMPL_ZOO_WEIGHTS to it, or set CMPL_ZOO_MIRROR to the address of a mirror"
    )
    try:
        with part.open("ab") as target, _retrying_silently():
            http_get(address, target, resume_size=target.tell(), displayed_filename=name)
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status == 416:  # nothing is left of the file after what is there
            part.unlink()
            raise RuntimeError(f"{address}: is shorter than what was received before; try again") from error
        advice = "try again later, what was received is kept" if status >= 500 else elsewhere
        raise RuntimeError(f"{address}: the server answered with status {status}; {advice}") from error
    except OfflineModeIsEnabled as error:
        raise RuntimeError(
            f"{address}: {name} is not in {part.parent}, and HF_HUB_OFFLINE forbids to download it; unset that, or "
            f"{elsewhere}"
        ) from error
    except HTTPError as error:
        cause = str(error).partition("\n")[0] or type(error).__name__
        raise RuntimeError(
            f"{address}: cannot be downloaded ({cause}); check the network and try again, what was received is kept; "
            f"or {elsewhere}"
        ) from error
    if fault := fault_of(part, name):
        part.unlink()
        raise RuntimeError(f"{address}: is not the published {name} ({fault}); try again, or {elsewhere}")


@contextmanager
def _retrying_silently() -> Iterator[None]:
    """huggingface_hub warns twice of each of its retries; what they end with is told once."""
    logger = logging.getLogger(http_get.__module__)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _checked(file: Path, name: str, advice: str) -> Path:
    if fault := fault_of(file, name):
        raise RuntimeError(f"{file}: is not the published file ({fault}); {advice}")
    return file


def fault_of(file: Path, name: str) -> str:
    """Why a file is not the one that its name promises; "" where nothing speaks against it."""
    with file.open("rb") as opened:
        if opened.read(64).lstrip().startswith(b"<"):
            return "it is a web page"
    if wanted := _HASH.search(name):
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        if not digest.startswith(wanted[1]):
            return f"its SHA-256 begins with {digest[: len(wanted[1])]} instead of {wanted[1]}"
    return ""
