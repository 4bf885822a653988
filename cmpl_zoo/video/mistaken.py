"""What a file that FFmpeg cannot open is instead of a video: its first bytes tell."""

from contextlib import suppress

NO_FRAME = "a header without a frame; the recording or the download stopped at its start"
# First bytes, in lower case and without leading blanks, and what they mean.
SIGNS = (
    (b"version https://git-lfs", "a pointer of Git LFS, not the video itself; `git lfs pull` gets it"),
    (b"<", "a web page or XML, not a video; the download was refused, so try the address in a browser"),
    (b"{", "JSON, not a video; the download was refused, so try the address in a browser"),
    (b"pk\x03\x04", "a ZIP archive; unpack it"),
    (b"rar!", "a RAR archive; unpack it"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it"),
    (b"\x1f\x8b", "a gzip archive; unpack it"),
    (b"%pdf", "a PDF document, not a video"),
)


def why_not_open(path: str, content: bytes | None, error: Exception) -> str:
    """Why FFmpeg cannot open a file, in words.

    Args:
        path: the file.
        content: what it holds, if that has been read.
        error: what FFmpeg says.
    """
    start = content or b""
    if content is None:
        with suppress(OSError), open(path, "rb") as file:
            start = file.read(4096)
    start = start[:4096]
    if start and not start.strip(b"\0"):
        return f"its first {len(start)} bytes are zeros, as of a download that did not finish; download it again"
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    for sign, meaning in SIGNS:
        if text.lower().startswith(sign):
            return meaning
    line = text[:60].partition(b"\n")[0].decode("utf-8", errors="replace").strip()
    if len(line) > 3 and line.isprintable() and "\ufffd" not in line:
        return f"a text file, not a video; it begins with {line!r}"
    if isinstance(error, EOFError):
        return NO_FRAME
    return f"not a video that FFmpeg can open ({getattr(error, 'strerror', None) or error})"
