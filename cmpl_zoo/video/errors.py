"""The error of everything that reads videos."""


class VideoError(Exception):
    """An unreadable video: none of its frames can be decoded. The message is the path and the cause."""
