"""Segments of videos: paths with a media fragment, lists with start and end, and every command that reads them."""

import json
import random
import re
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_videos import decode_everything, encode, refused, rows_of
from PIL import Image
from training import command, run

import cmpl_zoo
from cmpl_zoo.datasets import ListError, check_disjoint, read_list
from cmpl_zoo.features import read_features
from cmpl_zoo.linear_probe import check_held_out, fit_probe
from cmpl_zoo.tools.find_videos import VideoFinder
from cmpl_zoo.video import load_clip, seeking, video_info
from cmpl_zoo.video import video as video_module
from cmpl_zoo.video.errors import VideoError
from cmpl_zoo.video.segments import Segment, recording_of, split_fragment, with_fragment
from cmpl_zoo.video.video import Video
from cmpl_zoo_cli.main import main

TIMED_CLIPS = (
    "arm_wrestling.mp4", "asl_thanks.mkv", "av1.mkv", "flipping_a_pancake.mkv", "hevc.mp4", "nasa_two_audio.mp4",
    "newtonscradle.gif", "no_duration.webm", "unordered.mov", "v_ApplyEyeMakeup_g01_c01.avi",
    "v_BaseballPitch_g01_c01.avi",
)  # fmt: skip
UNEVEN = [0, 40, 80, 200, 240, 500, 533, 566, 600, 1000, 1040, 1080]  # milliseconds


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


def check_segments(path: Path, times: list[float], segments: list[tuple[float, float]]) -> None:
    """Segments have exactly the frames of the file that are shown in them, in every way of reading."""
    everything = decode_everything(path)
    with Video(path) as video:
        stored = [frame.to_ndarray(format="gray") for frame in video.decode()]
    for start, end in segments:
        check_segment(path, start, end, times, everything, stored)


def check_segment(
    path: Path, start: float, end: float, times: list[float], everything: torch.Tensor, stored: list[np.ndarray]
) -> None:
    inside = [index for index, time in enumerate(times) if start - 1e-6 <= time < end - 1e-6]
    with Video(f"{path}#t={start},{end}") as video:
        assert (video.num_frames, video.info.frames) == (len(inside), len(inside))
        assert video.timestamps == pytest.approx([times[index] - times[inside[0]] for index in inside])
        frames, found = video.read_with_indices([len(inside) + 5, *range(len(inside))])
        assert found == [len(inside) - 1, *range(len(inside))]
        assert torch.equal(frames[1:], everything[inside])
        assert torch.equal(frames[0], everything[inside[-1]])
        assert torch.equal(video.read([0]), everything[inside[:1]])
        decoded = [frame.to_ndarray(format="gray") for frame in video.decode()]
    assert len(decoded) == len(inside)
    assert all(np.array_equal(one, stored[index]) for one, index in zip(decoded, inside, strict=True))


@pytest.mark.parametrize("name", TIMED_CLIPS)
def test_a_segment_has_the_frames_that_are_shown_in_it(shared_data, name: str) -> None:
    path = shared_data / "clips" / name
    with Video(path) as video:
        times = video.timestamps
    assert times is not None
    rng = random.Random(name)
    pairs = [sorted(rng.sample(range(len(times)), 2)) for _ in range(2)]
    segments = [(times[first], times[last]) for first, last in pairs]  # the start is in it, the end is not
    check_segments(path, times, [*segments, (times[pairs[0][1]], times[-1] + 1)])


@pytest.mark.parametrize("bframes", ["0", "3"])
@pytest.mark.parametrize("container", ["mp4", "mkv", "ts", "avi"])
def test_segments_of_made_files_with_open_and_closed_groups(tmp_path, container: str, bframes: str) -> None:
    """Also AVI with B-frames, whose timestamps are those of decoding."""
    options = {"bf": bframes, "b_strategy": "0", "g": "12", "sc_threshold": "0", "x264-params": "open-gop=1"}
    path = encode(tmp_path / f"v.{container}", 100, **options)
    times = [index / 25 for index in range(100)]
    segments = [(0, 100), (11, 14), (21, 22), (24, 33), (59, 60), (73, 100), (99, 100)]
    check_segments(path, times, [(first / 25, last / 25) for first, last in segments])


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_segments_of_a_variable_rate(tmp_path, container: str) -> None:
    path = encode(tmp_path / f"v.{container}", len(UNEVEN), times=UNEVEN)
    check_segments(path, [time / 1000 for time in UNEVEN], [(0.08, 0.5), (0.2, 0.201), (0.5, 9)])
    with Video(f"{path}#t=0.5,0.61") as video:
        assert video.fps == pytest.approx(30, rel=0.01)  # 500, 533, 566 and 600 ms


@pytest.mark.parametrize("container", ["mkv", "mp4", "ts"])
def test_a_late_segment_is_not_decoded_from_the_start(tmp_path, monkeypatch, container: str) -> None:
    """Transport streams list no packet in their header, and are searched by decoding timestamps."""
    path = encode(tmp_path / f"v.{container}", 600, g="20", bf="2")
    decoded = []
    plain = seeking.decode_packets

    def counted(packets, errors):
        for frame in plain(packets, errors):
            decoded.append(frame)
            yield frame

    monkeypatch.setattr(seeking, "decode_packets", counted)
    monkeypatch.setattr(Video, "_decode_from_start", lambda self: pytest.fail("decodes from the start"))
    monkeypatch.setattr(Video, "_decode_file", lambda self: pytest.fail("decodes from the start"))
    with Video(f"{path}#t=20.04,20.4") as video:
        assert video.read(range(9)).shape == (9, 48, 64, 3)
        assert sum(1 for _ in video.decode()) == 9
    assert 0 < len(decoded) < 60


def test_frames_that_are_passed_on_the_way_are_told(tmp_path) -> None:
    """Of interlaced video, which is decoded from the start: a sign of life, or its reader is given up."""
    path = encode(tmp_path / "v.mp4", 100, g="20", flags="+ilme+ildct", **{"x264-params": "tff=1"})
    passed: list[int] = []
    with Video(f"{path}#t=2,2.4") as video:
        assert sum(1 for _ in video.decode(lambda: passed.append(1))) == 10
    assert len(passed) == 50


def test_the_packets_of_a_file_are_read_once_for_its_segments(tmp_path, monkeypatch) -> None:
    path = encode(tmp_path / "v.mkv", 200, g="20")
    plain, readings = video_module.read_packets, []
    monkeypatch.setattr(video_module, "read_packets", lambda demuxed: readings.append(1) or plain(demuxed))
    everything = decode_everything(path)
    for start in (7, 1, 4):
        with Video(f"{path}#t={start},{start + 1}") as video:
            assert torch.equal(video.read([0, 24]), everything[[25 * start, 25 * start + 24]])
    assert len(readings) == 1
    encode(path, 60, g="20")  # another file of that name
    with Video(f"{path}#t=1") as video:
        assert video.num_frames == 35
        assert torch.equal(video.read([34]), decode_everything(path)[59:])
    assert len(readings) == 2


def test_clips_and_facts_of_a_segment(shared_data) -> None:
    path = shared_data / "clips" / "flipping_a_pancake.mkv"
    everything = decode_everything(path)[90:120]
    assert video_info(f"{path}#t=npt:0:03,4").frames == 30
    clips = load_clip(f"{path}#t=3,4", frames=8, stride=4, size=(240, 240), crop_pct=1, mean=(0,) * 3, std=(1,) * 3)
    taken = everything[[4 * i for i in range(8)]]
    assert torch.equal((255 * clips[0]).round().byte().permute(1, 2, 3, 0), taken[:, :, 93:333])


def test_segments_that_hold_no_frame(shared_data, tmp_path) -> None:
    clips = shared_data / "clips"
    late = f"{clips / 'asl_thanks.mkv'}#t=30,40"
    between = f"{clips / 'no_duration.webm'}#t=0.3,0.31"
    beyond_damage = f"{clips / 'corrupted.mp4'}#t=4,4.5"
    Image.new("RGB", (8, 8)).save(tmp_path / "one.webp")
    np.save(tmp_path / "frames.npy", np.zeros((4, 8, 8, 3), np.uint8))
    for path, cause in [
        (late, r"after the last frame .* 1\.667 s"),
        (between, r"between two frames, at 0\.267 and 0\.333 s"),
        (beyond_damage, "none of its frames can be decoded"),
        (f"{clips / 'frames' / 'jumping' / '0001'}#t=1", "pictures have no times"),
        (f"{tmp_path / 'frames.npy'}#t=1", "pictures have no times"),
        (f"{tmp_path / 'one.webp'}#t=0,1", "pictures have no times"),
        (f"{clips / 'asl_thanks.mkv'}#t=2,1", "from 2 to 1 s"),
        (f"{tmp_path / 'missing.mp4'}#t=1,2", "no such file"),
    ]:
        for read in (lambda video: video.read([0]), lambda video: next(video.decode()), lambda video: video.info):
            with pytest.raises(VideoError, match=cause) as caught, Video(path) as video:
                read(video)
            assert str(caught.value).startswith(path.partition("#")[0])


def test_a_file_of_the_whole_name_is_that_file(tmp_path) -> None:
    short, whole = encode(tmp_path / "v.mp4", 50), encode(tmp_path / "other.mp4", 20)
    assert video_info(f"{short}#t=1,2").frames == 25
    whole.rename(tmp_path / "v.mp4#t=1,2")
    assert video_info(f"{short}#t=1,2").frames == 20
    assert video_info(f"{short}#t=1,2#t=0.4,0.6").frames == 5


def listed(file: Path, *rows: str, header: str = "path,label,start,end") -> Path:
    file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return file


def test_lists_of_segments(tmp_path) -> None:
    file = listed(
        tmp_path / "videos.csv",
        "a.mp4,x,0,10",
        "a.mp4,y,5.5,15",
        "a.mp4,x,1e1,",
        "a.mp4,x,,20",
        "a.mp4,x,,",
        "sub/b.mp4#t=npt:0:01,0:02.50,y,,",
    )
    file.write_text(file.read_text().replace("sub/b.mp4#t=npt:0:01,0:02.50", '"sub/b.mp4#t=npt:0:01,0:02.50"'))
    videos = read_list(file, "root")
    assert list(videos.paths) == [
        "root/a.mp4#t=0,10",
        "root/a.mp4#t=5.5,15",
        "root/a.mp4#t=10",
        "root/a.mp4#t=0,20",
        "root/a.mp4",
        "root/sub/b.mp4#t=1,2.5",
    ]
    assert [videos.recording(index) for index in (1, 5)] == ["root/a.mp4", "root/sub/b.mp4"]
    assert [videos.name(index) for index in (1, 5)] == ["a.mp4#t=5.5,15", "sub/b.mp4#t=npt:0:01,0:02.50"]


@pytest.mark.parametrize(
    ("row", "cause"),
    [
        ("a.mp4,x,ten,20", "start is 'ten'"),
        ("a.mp4,x,10,2O", "end is '2O'"),
        ("a.mp4,x,0:10,0:20", "start is '0:10'"),
        ("a.mp4,x,-1,20", "number of seconds from 0"),
        ("a.mp4,x,nan,20", "number of seconds from 0"),
        ("a.mp4,x,1,inf", "number of seconds from 0"),
        ("a.mp4,x,20,10", "from 20 to 10"),
        ("a.mp4#t=5,x,1,2", "both|in the path and in start,end"),
        ("a.mp4#t=five,x,,", "segment in time"),
        ('"./a.mp4#t=0:03,4",x,,', "on line 2 already"),
        ("a.mp4,x,3.0,4.", "on line 2 already"),
    ],
)
def test_bad_segments_in_lists_name_file_and_line(tmp_path, row: str, cause: str) -> None:
    file = listed(tmp_path / "videos.csv", "a.mp4,x,3,4", row)
    with pytest.raises(ListError, match=rf"videos\.csv, line 3: (.*/)?a\.mp4.*({cause})"):
        read_list(file, tmp_path)


def test_segments_are_found_by_the_name_of_their_file(tmp_path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.mp4").touch()
    times = [("0", "10"), ("10", "20"), ("10", "20"), ("", "")]
    rows = [
        {"path": "a.mp4", "label": label, "start": start, "end": end}
        for label, (start, end) in zip("xyzx", times, strict=True)
    ]
    found = VideoFinder(tmp_path).find({"": rows})[""]
    assert [(row["path"], row["start"]) for row in found.rows] == [("sub/a.mp4", "0"), ("sub/a.mp4", "")]
    assert [row["reason"] for row in found.left_out] == ["sub/a.mp4 is listed more than once, as different videos or "
                                                         "classes"] * 2  # fmt: skip


def test_lists_are_disjoint_by_recording(tmp_path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    train = read_list(listed(tmp_path / "train.csv", "b.mp4,x,,", "a.mp4,x,0,10"), tmp_path)
    for val, line in [("a.mp4,x,20,30", 2), ("link/a.mp4,x,20,30", 2), ("a.mp4,x,,", 2), ('"a.mp4#t=20",x,,', 2)]:
        held_out = read_list(listed(tmp_path / "val.csv", val), tmp_path)
        with pytest.raises(ListError, match=rf"val\.csv, line {line}: .*same recording.*train\.csv, line 3.*--group"):
            check_disjoint(train, held_out)
    check_disjoint(train, read_list(listed(tmp_path / "val.csv", "c.mp4,x,0,10"), tmp_path))
    with pytest.raises(ListError, match=r"val\.csv, line 2: .*a\.mp4#t=0,10 is also in a training list"):
        check_disjoint(train, read_list(listed(tmp_path / "val.csv", "a.mp4,x,,10"), tmp_path))


def test_a_column_says_what_a_recording_is(tmp_path) -> None:
    header = "path,label,start,end,recording"
    train = read_list(listed(tmp_path / "train.csv", "a.mp4,x,0,10,one", "b.mp4,x,0,10,", header=header), tmp_path)
    check_disjoint(train, read_list(listed(tmp_path / "val.csv", "a.mp4,x,10,20,two", header=header), tmp_path))
    for row, cause in [
        ("a.mp4,x,9,20,two", r"a\.mp4#t=9,20 is of the same recording as .*a\.mp4#t=0,10"),  # they overlap
        ("a.mp4,x,,,two", r"a\.mp4 is of the same recording"),
        ("c.mp4,x,,,one", r"c\.mp4 is of the same recording as .*a\.mp4#t=0,10"),
        ("b.mp4,x,20,30,", r"b\.mp4#t=20,30 is of the same recording as .*b\.mp4#t=0,10"),
    ]:
        with pytest.raises(ListError, match=rf"val\.csv, line 2: .*{cause}"):
            check_disjoint(train, read_list(listed(tmp_path / "val.csv", row, header=header), tmp_path))


def test_split_keeps_the_segments_of_a_recording_together(tmp_path, capsys) -> None:
    rows = [f"{name}.mp4,{label},{10 * i},{10 * i + 10},day{i}" for name in "abcdefgh" for i, label in enumerate("xy")]
    file = listed(tmp_path / "videos.csv", *rows, header="path,label,start,end,day")
    options = ["--labels-per-class", "all", "--val-share", "0.5"]
    assert main(["split", str(file), *options, "-o", str(tmp_path / "lists")]) == 0
    labeled, val = (rows_of(tmp_path / "lists" / f"{name}.csv") for name in ("labeled", "val"))
    assert len(labeled) + len(val) == 16
    assert {row["path"] for row in labeled}.isdisjoint({row["path"] for row in val})
    check_disjoint(read_list(tmp_path / "lists" / "labeled.csv"), read_list(tmp_path / "lists" / "val.csv"))

    few = listed(tmp_path / "few.csv", "a.mp4,x,0,1", "a.mp4,x,1,2", "b.mp4,y,0,1", "c.mp4,y,0,1")
    assert "whole recordings" in refused(capsys, "split", few, *options, "-o", tmp_path / "few")


def test_split_by_group_is_what_training_goes_by(tmp_path) -> None:
    rows = [f"a.mp4,{label},{10 * i},{10 * i + 10},{i % 4}" for i in range(16) for label in "xy"]
    rows = [row for i, row in enumerate(rows) if i % 2 == i // 8 % 2]  # one label a segment
    file = listed(tmp_path / "videos.csv", *rows, header="path,label,start,end,day")
    split = ["split", str(file), "--labels-per-class", "all", "--val-share", "0.3", "--group", "day"]
    assert main([*split, "-o", str(tmp_path / "lists")]) == 0
    parts = {name: rows_of(tmp_path / "lists" / f"{name}.csv") for name in ("labeled", "val")}
    days = {name: {row["day"] for row in part} for name, part in parts.items()}
    assert days["labeled"].isdisjoint(days["val"])
    assert days["labeled"] | days["val"] == {"0", "1", "2", "3"}
    train, val = (read_list(tmp_path / "lists" / f"{name}.csv") for name in ("labeled", "val"))
    check_disjoint(train, val)  # one file, and the groups say otherwise
    assert val.recordings == [row["day"] for row in parts["val"]]


SEGMENTS = [  # of real files: path, class, start, end, and the number of frames in it
    ("arm_wrestling.mp4", "sport", "0", "2.5", 70),
    ("arm_wrestling.mp4", "sport", "2.5", "4.5", 56),
    ("arm_wrestling.mp4", "still", "7", "", 84),
    ("flipping_a_pancake.mkv", "still", "", "1.5", 45),
    ("flipping_a_pancake.mkv", "sport", "8", "9", 30),
    ("v_ApplyEyeMakeup_g01_c01.avi", "still", "4", "5.2", 30),
]


@pytest.fixture(scope="module")
def segments(shared_data, tmp_path_factory) -> tuple[Path, Path]:
    """The list of `SEGMENTS`, and its root."""
    folder = tmp_path_factory.mktemp("segments")
    return listed(folder / "videos.csv", *(",".join(row[:4]) for row in SEGMENTS)), shared_data / "clips"


def test_check_judges_each_segment(segments, tmp_path) -> None:
    file, root = segments
    more = ["arm_wrestling.mp4,sport,10,12", "corrupted.mp4,x,0,1", "corrupted.mp4,x,2,4", "missing.mp4,x,0,1"]
    bad = tmp_path / "all.csv"
    bad.write_text(file.read_text() + "\n".join(more) + "\n")
    assert main(["check", str(bad), "--root", str(root), "-o", str(tmp_path / "out"), "--workers", "2"]) == 1
    report = rows_of(tmp_path / "out" / "report.csv")
    assert [row["path"] for row in report[:4]] == [
        "arm_wrestling.mp4#t=0,2.5",
        "arm_wrestling.mp4#t=2.5,4.5",
        "arm_wrestling.mp4#t=7",
        "flipping_a_pancake.mkv#t=0,1.5",
    ]
    assert [int(row["frames"]) for row in report[:6]] == [row[4] for row in SEGMENTS]
    assert [row["verdict"] in ("ok", "odd") for row in report] == [True] * 6 + [False, True, False, False]
    assert (report[6]["verdict"], report[8]["verdict"]) == ("unreadable", "truncated")
    assert report[6]["cause"].startswith("the segment starts after the last frame")
    assert report[9]["cause"] == "there is no such file"
    kept = rows_of(tmp_path / "out" / "all.csv")
    assert kept == [row for row, line in zip(rows_of(bad), report, strict=True) if line["verdict"] in ("ok", "odd")]


def test_prepared_segments(segments, tmp_path) -> None:
    file, root = segments
    options = ["--root", str(root), "--max-short-side", "240", "--gop", "8", "--workers", "2"]
    assert main(["prepare", str(file), *options, "-o", str(tmp_path / "small")]) == 0
    rows = rows_of(tmp_path / "small" / "videos.csv")
    assert list(rows[0]) == ["path", "label", "recording"]
    assert [row["path"] for row in rows] == [
        "arm_wrestling_0.000-2.500.mp4",
        "arm_wrestling_2.500-4.500.mp4",
        "arm_wrestling_7.000-end.mp4",
        "flipping_a_pancake_0.000-1.500.mp4",
        "flipping_a_pancake_8.000-9.000.mp4",
        "v_ApplyEyeMakeup_g01_c01_4.000-5.200.mp4",
    ]
    assert [row["recording"] for row in rows] == [row[0] for row in SEGMENTS]
    in_files = read_list(file, root)
    for row, path, (*_, count) in zip(rows, in_files.paths, SEGMENTS, strict=True):
        with Video(tmp_path / "small" / row["path"]) as copy, Video(path) as segment:
            assert copy.num_frames == segment.num_frames == count
            if ".avi" not in path:  # whose frames come with the timestamps of others
                assert copy.timestamps == pytest.approx(segment.timestamps, abs=0.002)
            for index in (0, count - 1):  # encoded and resized, but the same pictures
                pictures = (video.read([index]).float().permute(0, 3, 1, 2) for video in (copy, segment))
                small, large = (torch.nn.functional.adaptive_avg_pool2d(picture, 16) for picture in pictures)
                assert (small - large).abs().mean() < 4
    copies = tmp_path / "small" / "videos.csv"
    lines = copies.read_text().splitlines()
    train, val = tmp_path / "train.csv", tmp_path / "val.csv"
    train.write_text("\n".join(lines[:2]) + "\n")
    val.write_text("\n".join([lines[0], *lines[4:]]) + "\n")
    check_disjoint(read_list(train, tmp_path), read_list(val, tmp_path))
    val.write_text("\n".join([lines[0], lines[3]]) + "\n")
    with pytest.raises(ListError, match=r"arm_wrestling_7\.000-end\.mp4 is of the same recording as .*0\.000-2\.500"):
        check_disjoint(read_list(train, tmp_path), read_list(val, tmp_path))


def test_files_of_segments_are_packed_once(segments, tmp_path) -> None:
    file, root = segments
    mixed = tmp_path / "mixed.csv"
    mixed.write_text(file.read_text() + '"flipping_a_pancake.mkv#t=0:03,4",sport,,\nav1.mkv,still,,\n')
    shards = tmp_path / "shards"
    assert main(["shard", str(mixed), "--root", str(root), "-o", str(shards)]) == 0
    with tarfile.open(shards / "shard-000000.tar") as tar:
        members = {member.name: tar.extractfile(member).read() for member in tar}
    assert list(members) == [
        f"{index:09d}.{suffix}"
        for index, name in ((0, "mp4"), (3, "mkv"), (5, "avi"), (7, "mkv"))
        for suffix in (name, "json")
    ]
    assert members["000000003.mkv"] == (root / "flipping_a_pancake.mkv").read_bytes()
    assert [(row["start"], row["end"]) for row in json.loads(members["000000003.json"])] == [
        ("", "1.5"),
        ("8", "9"),
        ("3", "4"),
    ]
    assert json.loads(members["000000007.json"])["path"] == "av1.mkv"
    in_files = read_list(mixed, root)
    for again in (mixed, shards / "shards.csv"):  # the index is a list, too
        in_shards = read_list(again, shards)
        assert len(in_shards) == len(in_files) == 8
        for address, path in zip(in_shards.paths, in_files.paths, strict=True):
            with Video(address) as packed, Video(path) as video:
                assert packed.num_frames == video.num_frames
                assert torch.equal(packed.read([0, 29]), video.read([0, 29]))
    missing = listed(tmp_path / "missing.csv", "hevc.mp4,x,0,1")
    with pytest.raises(ListError, match=r"missing\.csv, line 2: hevc\.mp4 is not in the shards"):
        read_list(missing, shards)


def test_train_evaluate_and_probe_on_segments(segments, tmp_path, capsys) -> None:
    file, root = segments
    lines = file.read_text().splitlines()
    for name, chosen in {"labeled": lines[1:4], "unlabeled": lines[1:4], "val": lines[4:]}.items():
        (tmp_path / f"{name}.csv").write_text("\n".join([lines[0], *chosen]) + "\n")
    run(command(tmp_path, root, tmp_path / "run", "--steps", "2", "--val-every", "2"))
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["validation"]["primary"]["videos"] == 3
    assert not (tmp_path / "run" / "unreadable.csv").exists()

    model = str(tmp_path / "run" / "primary")
    features = ["features", model, str(file), "--root", str(root), "-o", str(tmp_path / "f.npz"), "--workers", "0"]
    assert main(features) == 0
    found = read_features(tmp_path / "f.npz")
    assert found.paths[1] == "arm_wrestling.mp4#t=2.5,4.5"
    assert len(fit_probe(found).accuracies) == 2  # each class is in two recordings
    with pytest.raises(ValueError, match="all videos of class 'a' are of one recording"):
        fit_probe(replace(found, labels=[*"aaabbb"]))
    with pytest.raises(ValueError, match=r"7 is of a recording that is also in"):
        check_held_out(replace(found, paths=found.paths[:2]), replace(found, paths=found.paths[2:]))
    capsys.readouterr()

    path = f"{root / 'flipping_a_pancake.mkv'}#t=8,9"
    expected = cmpl_zoo.predict(cmpl_zoo.create_model(model).eval(), path)
    assert main(["predict", model, path]) == 0
    said = capsys.readouterr().out
    assert f"{100 * expected[0][1]:.1f}" in said and expected[0][0] in said

    (tmp_path / "val.csv").write_text("\n".join([lines[0], "arm_wrestling.mp4,still,5,6"]) + "\n")
    error = run(command(tmp_path, root, tmp_path / "other", "--steps", "2"), expect=2).stderr
    assert re.search(r"val\.csv, line 2: .*arm_wrestling\.mp4#t=5,6 is of the same recording", error)
    assert not (tmp_path / "other").exists()
