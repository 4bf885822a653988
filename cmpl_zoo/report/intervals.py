"""How far a share of some videos may be from that of all such videos."""

import math

from cmpl_zoo.records import Scores, videos_right

Z95 = 1.959964  # of the normal distribution, whose middle 95 % are within so many standard deviations


def wilson(right: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share, in percent, by Wilson's score (JASA 1927).

    It takes the videos as independent of each other: where several are of one recording, the true one is wider.

    Args:
        right: of the videos.
        total: videos, at least 1.
    """
    share, z = right / total, Z95
    center = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return 100 * max(0.0, center - half), 100 * min(1.0, center + half)


def top1_interval(scores: Scores) -> tuple[float, float]:
    """The 95 % interval of the accuracy on videos, in percent; see `wilson`."""
    return wilson(videos_right(scores), scores["videos"])
