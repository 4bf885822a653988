"""Opening a video file, and what a file is that is no video: its first bytes tell."""

import errno
import io
import os
from contextlib import suppress
from typing import Any

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.stream import VideoStream

from cmpl_zoo.storage.remote import StorageError
from cmpl_zoo.video.errors import VideoError

TEXT_FORMATS = {"tty", "concat", "hls", "dash"}  # text that FFmpeg draws as video, or that lists other files
NO_FRAME = "a header without a frame; the recording or the download stopped at its start"
# First bytes, in lower case and without leading blanks, and what they mean.
SIGNS = (
    (b"version https://git-lfs", "a pointer of Git LFS; `git lfs pull` gets the file itself"),
    (b"<", "a web page or XML; the download was refused, so try the address in a browser"),
    (b"{", "JSON; the download was refused, so try the address in a browser"),
    (b"pk\x03\x04", "a ZIP archive; unpack it"),
    (b"rar!", "a RAR archive; unpack it"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it"),
    (b"\x1f\x8b", "a gzip archive; unpack it"),
    (b"%pdf", "a PDF document"),
)


def open_video(path: str, content: bytes | None) -> tuple[InputContainer, VideoStream]:
    """Open a file, and choose the video stream that players show.

    Args:
        path: the file.
        content: what it holds, if that has been read.

    Raises:
        VideoError: there is no such file, or it is no video.
        StorageError: this process has too many files open.
    """
    try:
        if content is None:
            try:
                os.stat(path)
            except PermissionError as error:
                raise VideoError(f"{path}: cannot be read: {error.strerror}; check the permissions") from error
            except (OSError, ValueError) as error:
                raise VideoError(f"{path}: there is no such file") from error
            if not os.path.isfile(path):
                raise VideoError(f"{path}: is a pipe or a device, and a video is read from several places; save it")
            if os.path.getsize(path) == 0:
                raise VideoError(f"{path}: the file is empty")
        # Always a local file, even if its name looks like a URL; and no other file that a playlist names.
        options = {"protocol_whitelist": "file"}
        source: Any = f"file:{path}" if content is None else io.BytesIO(content)
        container = av.open(source, "r", metadata_errors="replace", options=options)
    except (FFmpegError, OSError, ValueError) as error:
        if getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE):  # no fault of the video
            raise StorageError(
                f"{path}: cannot be opened, as too many files are open; raise the limit (ulimit -n 65536), or lower "
                "--workers"
            ) from error
        raise VideoError(f"{path}: {_why_not_open(path, content, error)}") from error
    stream: Any = container.streams.best("video")
    if stream is not None and stream.frames == 1:  # a picture, such as a cover; is there a video beside it?
        stream = max(stream, *container.streams.video, key=lambda other: other.frames)
    cover = stream is not None and stream.disposition & Disposition.attached_pic
    if stream is None or cover or stream.codec_context is None or container.format.name in TEXT_FORMATS:
        cause = "no video stream that can be decoded" + ("; it holds sound" if container.streams.audio else "")
        if not container.streams:
            cause = NO_FRAME
        container.close()
        raise VideoError(f"{path}: {cause}")
    stream.thread_type = "NONE"  # workers already read in parallel
    stream.codec_context.thread_count = 1
    return container, stream


def _why_not_open(path: str, content: bytes | None, error: Exception) -> str:
    """Why FFmpeg cannot open a file, in words, for which it gives this error."""
    if isinstance(error, PermissionError):
        return f"cannot be read: {error.strerror}; check its permissions"
    start = content or b""
    if content is None:
        with suppress(OSError), open(path, "rb") as file:
            start = file.read(4096)
    start = start[:4096]
    if start and not start.strip(b"\0"):
        return f"not a video: it begins with {len(start)} zeros; the download did not finish, so download it again"
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    for sign, meaning in SIGNS:
        if text.lower().startswith(sign):
            return f"not a video, but {meaning}"
    line = text[:60].partition(b"\n")[0].decode("utf-8", errors="replace").strip()
    if len(line) > 3 and line.isprintable() and "\ufffd" not in line:
        return f"not a video, but text that begins with {line!r}"
    if isinstance(error, EOFError):
        return NO_FRAME
    return f"not a video that FFmpeg can open ({getattr(error, 'strerror', None) or error})"
