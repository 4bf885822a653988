"""Reading frames and clips of video files."""

from cmpl_zoo.video.clips import (
    ClipConfig,
    ViewConfig,
    crop_views,
    load_clip,
    load_views,
    normalize,
    resolve_clip_config,
)
from cmpl_zoo.video.errors import VideoError
from cmpl_zoo.video.sampling import random_clips, uniform_clips
from cmpl_zoo.video.video import Video, VideoInfo, read_frames, video_info

__all__ = [
    "ClipConfig",
    "Video",
    "VideoError",
    "VideoInfo",
    "ViewConfig",
    "crop_views",
    "load_clip",
    "load_views",
    "normalize",
    "random_clips",
    "read_frames",
    "resolve_clip_config",
    "uniform_clips",
    "video_info",
]
