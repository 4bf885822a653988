"""Every frame of a video as FFmpeg decodes it, and what ended it early."""

from collections.abc import Iterator

import av

from cmpl_zoo.data.video import Video, VideoError


class EveryFrame:
    """The frames of an open video from first to last, the same that `Video` counts and reads, not yet RGB.

    Iterate once. Pictures of a folder come as RGB frames without timestamps.

    Attributes:
        error: what ended the frames early, "" where nothing did; known after the iteration.

    Raises:
        VideoError: there is no frame (while iterating).
    """

    def __init__(self, video: Video) -> None:
        self.video = video
        self.error = ""

    def __iter__(self) -> Iterator[av.VideoFrame]:
        frames = self._pictures() if self.video._container is None else self._decoded()
        first = next(frames, None)
        if first is None:
            cause = f" ({self.error})" if self.error else ""
            raise VideoError(f"{self.video.path}: none of its frames can be decoded{cause}")
        yield first
        yield from frames

    def _pictures(self) -> Iterator[av.VideoFrame]:
        for index in range(self.video.num_frames):
            try:
                picture = self.video.read([index])[0].numpy()
            except VideoError as error:
                self.error = str(error)
                return
            yield av.VideoFrame.from_ndarray(picture, "rgb24")

    def _decoded(self) -> Iterator[av.VideoFrame]:
        yield from self.video._frames()
        if error := self.video._ended_by:
            self.error = (error.strerror or str(error)).splitlines()[0]
