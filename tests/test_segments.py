"""Segments of videos: paths with a media fragment, lists with start and end, and every command that reads them."""

import pytest

from cmpl_zoo.video.segments import Segment, recording_of, split_fragment, with_fragment
from cmpl_zoo.video.video import VideoError


@pytest.mark.parametrize(
    ("fragment", "start", "end"),
    [
        ("t=10,20", 10, 20),
        ("t=10", 10, None),
        ("t=,20", 0, 20),
        ("t=0.25,2.", 0.25, 2),
        ("t=npt:10,20.5", 10, 20.5),
        ("t=1:30,2:05.25", 90, 125.25),
        ("t=npt:1:02:03,12:00:00", 3723, 43200),
        ("t=120,300:00:00", 120, 1080000),
    ],
)
def test_fragments_of_the_standard(fragment: str, start: float, end: float | None) -> None:
    assert split_fragment(f"some/clip.mp4#{fragment}") == ("some/clip.mp4", Segment(start, end))


@pytest.mark.parametrize(
    ("fragment", "cause"),
    [
        ("t=", "segment in time"),
        ("t=,", "segment in time"),
        ("t=10,", "segment in time"),
        ("t=ten,20", "segment in time"),
        ("t=-1,20", "segment in time"),
        ("t=1e3", "segment in time"),
        ("t=10-20", "segment in time"),
        ("t=1:75", "segment in time"),
        ("t=smpte:0:00:01,0:00:02", "segment in time"),
        ("t=٣,٤", "segment in time"),
        ("t=1,2&xywh=0,0,10,10", "'xywh'"),
        ("xywh=160,120,320,240", "'xywh'"),
        ("track=audio", "'track'"),
        ("t=20,10", "from 20 to 10 s"),
        ("t=20,20", "from 20 to 20 s"),
    ],
)
def test_a_malformed_fragment_is_one_sentence(fragment: str, cause: str) -> None:
    path = f"clip.mp4#{fragment}"
    with pytest.raises(VideoError) as caught:
        split_fragment(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert cause in str(caught.value)


def test_other_paths_have_no_fragment(tmp_path) -> None:
    shard = "sets/shard-000000.tar#walk/a#t=1,2.mp4@1536+73401"
    named = tmp_path / "clip.mp4#t=10,20"
    named.write_bytes(b"a file of this whole name")
    for path in ("clip.mp4", "take#2.mp4", "a#b=c.mp4", "#t=1,2", shard, str(named)):
        assert split_fragment(path) == (path, None)
        assert recording_of(path) == path
    assert split_fragment(f"{shard}#t=3,4") == (shard, Segment(3, 4))
    assert split_fragment(f"{named}#t=3,4") == (str(named), Segment(3, 4))


def test_with_fragment_is_read_back_and_is_one_path_a_segment() -> None:
    for start, end, text in [
        (None, None, "a.mp4"),
        (0, None, "a.mp4"),
        (None, 20, "a.mp4#t=0,20"),
        (10.0, 20.0, "a.mp4#t=10,20"),
        (0.1 + 0.2, None, "a.mp4#t=0.30000000000000004"),
        (1e-7, 1e16, "a.mp4#t=0.0000001,10000000000000000"),
    ]:
        assert with_fragment("a.mp4", start, end) == text
        segment = split_fragment(text)[1]
        assert (segment or Segment(0)) == Segment(start or 0, end)
    for start, end in [(20, 10), (5, 5), (-1, 3), (0, float("nan")), (float("inf"), None)]:
        with pytest.raises(ValueError, match="segment"):
            with_fragment("a.mp4", start, end)


def test_overlapping_segments() -> None:
    assert Segment(0, 10).overlaps(Segment(9.5, 20))
    assert Segment(5).overlaps(Segment(100, 101))
    assert Segment(3, 4).overlaps(Segment(0))
    assert not Segment(0, 10).overlaps(Segment(10, 20))
    assert not Segment(10, None).overlaps(Segment(0, 10))
