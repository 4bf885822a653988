"""Long recordings: windows, their equality with segments, bouts, overlays, and the command."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import av
import pytest
import torch
from made_videos import encode, refused, rows_of

import cmpl_zoo
from cmpl_zoo.demo.render import render_demo
from cmpl_zoo.prediction import predict
from cmpl_zoo.prediction.overlay import draw_label, write_overlay
from cmpl_zoo.prediction.timelines import Bout, Window, bouts, timeline
from cmpl_zoo.video.clips import crop_views
from cmpl_zoo.video.errors import VideoError
from cmpl_zoo.video.segments import with_fragment
from cmpl_zoo.video.video import Video
from cmpl_zoo.video.windows import read_windows, window_spans
from cmpl_zoo_cli.main import main

DEMO = "r3d50_eighth.cmpl_demo"
ONE_VIEW = {"frames": 8, "clips": 1, "crops": 1}


def demo_model(**clip: object) -> torch.nn.Module:
    """The demo's network, which sees one view of a video, made of other frames."""
    model = cmpl_zoo.create_model(DEMO, pretrained=True).eval()
    model.clip = ONE_VIEW | clip
    return model


@pytest.mark.parametrize(
    ("start", "end", "window", "hop", "spans"),
    [
        (0, 10, 4, 4, [(0, 4), (4, 8), (8, 10)]),  # the last is half a window
        (0, 9.9, 4, 4, [(0, 4), (4, 8)]),  # 1.9 s are less than half
        (0, 10, 4, 2, [(0, 4), (2, 6), (4, 8), (6, 10)]),  # the first that reaches the end is the last
        (0, 10, 2, 4, [(0, 2), (4, 6), (8, 10)]),
        (0, 1, 4, 4, [(0, 1)]),  # never none
        (100, 107, 2, 3, [(100, 102), (103, 105), (106, 107)]),
    ],
)
def test_where_windows_are(start, end, window, hop, spans):
    assert list(window_spans(start, end, window, hop)) == spans


def test_starts_of_windows_do_not_drift():
    *_, (start, _) = window_spans(0, 7200, 0.1, 0.1)
    assert start == pytest.approx(7199.9, abs=1e-9)


def assert_equal_to_segments(model: torch.nn.Module, path: Path, window: float, hop: float) -> list[Window]:
    """That each window of a recording is predicted as the segment that it is."""
    found = list(timeline(model, path, window, hop, batch_size=3))
    for one in found:
        alone = predict(model, with_fragment(one.video, one.start, one.end), topk=99)
        assert dict(one.classes) == pytest.approx(dict(alone), abs=1e-5), f"{one.start} to {one.end}"
        assert (one.label, one.probability) == one.classes[0] == max(one.classes, key=lambda pair: pair[1])
    return found


@pytest.mark.parametrize("clip", [{"stride": 3}, {"stride": 2, "fps": 16}, {"spread": True}], ids=str)
@pytest.mark.parametrize(
    ("name", "windows"),
    [
        ("v_ApplyEyeMakeup_g01_c01.avi", 6),  # timestamps at irregular distances
        ("v_BaseballPitch_g01_c01.avi", 3),
        ("flipping_a_pancake.mkv", 10),
        ("arm_wrestling.mp4", 10),  # pixels that are not square
        ("newtonscradle.gif", 1),
        ("nasa_two_audio.mp4", 13),  # not its first stream
        ("av1.mkv", 5),
    ],
)
def test_a_window_is_predicted_as_its_segment(shared_data, name, windows, clip):
    found = assert_equal_to_segments(demo_model(**clip), shared_data / "clips" / name, window=1.5, hop=1)
    assert len(found) == windows
    assert len({tuple(one.classes) for one in found}) == windows  # they differ


def test_frames_at_irregular_times(tmp_path):
    """A camera that slows down and pauses for three seconds: windows without a frame are left out."""
    times = [*range(0, 2000, 40), *range(2000, 4000, 100), *range(7000, 9000, 33)]
    path = encode(tmp_path / "v.mkv", frames=len(times), times=times)
    for clip in ({"stride": 2, "fps": 16}, {"stride": 2}, {"spread": True}):
        found = assert_equal_to_segments(demo_model(**clip), path, window=1, hop=1)
        assert [one.start for one in found] == [0, 1, 2, 3, 7, 8]


def test_windows_of_a_segment_are_those_of_the_file(shared_data):
    """Their times are in the file, and so are their frames."""
    path = shared_data / "clips" / "flipping_a_pancake.mkv"
    model = demo_model(stride=2, fps=16)
    whole = {one.start: one for one in timeline(model, path, 2)}
    part = list(timeline(model, f"{path}#t=4,8.5", 2))
    assert [(one.start, one.end) for one in part] == [(4, 6), (6, 8)]
    for one in part:
        assert one.video == str(path)
        assert dict(one.classes) == pytest.approx(dict(whole[one.start].classes), abs=1e-6)


def test_models_with_clips_of_different_kinds_vote(shared_data):
    path = shared_data / "clips" / "flipping_a_pancake.mkv"
    models = [demo_model(stride=2), demo_model(spread=True, frames=5)]
    for one in timeline(models, path, 3):
        alone = predict(models, with_fragment(one.video, one.start, one.end), topk=99)
        assert dict(one.classes) == pytest.approx(dict(alone), abs=1e-5)


def test_a_file_that_breaks_off(shared_data):
    """28 of 50 frames, at 10 a second, decode: the window from 2 s on is filled with the last, and none follows."""
    path = shared_data / "clips" / "corrupted.mp4"
    with pytest.warns(UserWarning, match=r"corrupted\.mp4: only 28 of its 50 frames"), Video(path) as video:
        settings = [{"frames": 4, "stride": 3, "size": (48, 48), "crop_pct": 0.9, "clips": 1, "crops": 1}]
        found = list(read_windows(video, 1, 1, settings))  # type: ignore[arg-type]
    assert [one.start for one in found] == [0, 1, 2]
    # A clip of 4 frames at a stride of 3 is longer than a window of 10 frames: from 20 on they are 20, 23, 26, 29.
    with Video(path) as video:
        frames = {index: read_alone(video, index) for index in (20, 23, 26, 27)}
    assert all(torch.equal(found[2].clips[0][:, i], frames[index]) for i, index in enumerate((20, 23, 26, 27)))


def read_alone(video: Video, index: int) -> torch.Tensor:
    """A frame as it is in a clip, (3, height, width)."""
    return crop_views(video.read([index]).permute(0, 3, 1, 2), (48, 48), 53)[0, 0]


def test_no_windows_without_time(shared_data):
    folder = next(file.parent for file in (shared_data / "clips" / "frames").rglob("*.jpg"))
    with pytest.raises(VideoError, match=r"frames.*no frame rate"):
        list(timeline(demo_model(stride=2), folder, 2))
    for window, hop in ((0, 1), (1, -1), (math.inf, 1), (math.nan, None)):
        with pytest.raises(ValueError, match="above 0"):
            timeline(demo_model(stride=2), "any.mp4", window, hop)


def seen(label: str, start: float, end: float, probability: float = 0.5, video: str = "v.mp4") -> Window:
    return Window(video, start, end, label, probability, [(label, probability)])


def spans_of(found: object) -> list[tuple[str, float, float]]:
    return [(bout.label, bout.start, bout.end) for bout in found]  # type: ignore[attr-defined]


def test_neighboring_windows_of_one_label_are_a_bout():
    windows = [seen("run", 0, 2, 0.9), seen("run", 2, 4, 0.6), seen("walk", 4, 6, 0.8), seen("run", 6, 7, 0.7)]
    assert list(bouts(windows)) == [
        Bout("v.mp4", "run", 0, 4, 0.75),
        Bout("v.mp4", "walk", 4, 6, 0.8),
        Bout("v.mp4", "run", 6, 7, 0.7),
    ]
    assert list(bouts([])) == []


def test_bouts_of_windows_that_overlap_or_leave_gaps_meet_in_the_middle():
    overlapping = [seen("run", 0, 4), seen("run", 1, 5), seen("walk", 2, 6), seen("walk", 3, 7)]
    assert spans_of(bouts(overlapping)) == [("run", 0, 3.5), ("walk", 3.5, 7)]
    apart = [seen("run", 0, 1), seen("walk", 4, 5), seen("walk", 8, 9)]
    assert spans_of(bouts(apart)) == [("run", 0, 2.5), ("walk", 2.5, 9)]


def test_uncertain_windows_are_gaps():
    windows = [seen("run", 0, 2), seen("uncertain", 2, 4), seen("run", 4, 6)]
    assert spans_of(bouts(windows)) == [("run", 0, 2), ("run", 4, 6)]
    assert spans_of(bouts(windows, shortest=2)) == [("run", 0, 2), ("run", 4, 6)]  # not less than 2 s


def test_short_bouts_are_left_out_and_what_they_part_is_joined():
    windows = [seen("run", 0, 5, 0.9), seen("walk", 5, 6), seen("run", 6, 9, 0.6), seen("uncertain", 9, 20)]
    windows += [seen("run", 20, 24), seen("walk", 24, 25)]
    assert [(*span, bout.probability) for bout in bouts(windows, 2) for span in spans_of([bout])] == [
        ("run", 0, 9, pytest.approx(0.75)),
        ("run", 20, 24, 0.5),
    ]


def test_bouts_of_several_recordings_stay_apart():
    windows = [seen("run", 0, 2, video="a.mp4"), seen("run", 0, 2, video="b.mp4")]
    assert [bout.video for bout in bouts(windows, shortest=1)] == ["a.mp4", "b.mp4"]


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> tuple[Path, list[tuple[str, float, float]]]:
    """Videos of the demo's motions one after the other, joined without encoding again, and what is shown when."""
    folder = tmp_path_factory.mktemp("recording")
    videos = rows_of(render_demo(folder / "demo", videos_per_class=2, seed=5))
    shown = [videos[i] for i in (0, 1, 6, 14, 7, 10, 2, 3, 12, 13, 8, 5)]
    path = folder / "joined.mp4"
    join([folder / "demo" / row["path"] for row in shown], path)
    return path, [(row["label"], 2 * i, 2 * i + 2) for i, row in enumerate(shown)]  # each has 32 frames, 16 a second


def join(videos: list[Path], target: Path) -> None:
    with av.open(str(target), "w") as new:
        stream, shift = None, 0
        for video in videos:
            with av.open(str(video)) as old:
                source = old.streams.video[0]
                stream = stream or new.add_stream_from_template(source)
                for packet in old.demux(source):
                    if packet.size:
                        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                        packet.stream = stream
                        new.mux(packet)
                shift += source.duration


def share_right(found: list[dict[str, str]], truth: list[tuple[str, float, float]]) -> float:
    """The share of the seconds of a recording that bouts label right."""
    right = sum(
        max(0.0, min(end, float(bout["end"])) - max(start, float(bout["start"])))
        for label, start, end in truth
        for bout in found
        if bout["label"] == label
    )
    return right / truth[-1][2]


def test_the_command_finds_what_is_shown_when(recording, tmp_path):
    """Windows half as long as each motion is shown; a recording that is given twice counts once."""
    path, truth = recording
    words = ["predict", DEMO, path, path, "--windows", "1", "--hop", "0.5", "--csv", "w.csv", "--json", "w.json"]
    words += ["--bouts", "b.csv", "--shortest", "1", "--overlay", "shown"]
    command = [sys.executable, "-m", "cmpl_zoo_cli", *map(str, words)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "shown  1 recording; their sound is not kept"
    windows, found = rows_of(tmp_path / "w.csv"), rows_of(tmp_path / "b.csv")
    assert list(found[0]) == ["video", "label", "start", "end", "probability"]
    assert share_right(found, truth) > 0.8
    assert [row["start"] for row in windows[:3]] == ["0.0", "0.5", "1.0"] and len(windows) == 2 * 24 - 1
    expected = list(timeline(cmpl_zoo.create_model(DEMO, pretrained=True).eval(), path, 1, 0.5))
    for row, one in zip(windows, expected, strict=True):
        assert (row["video"], row["label"]) == (str(path), one.label)
        assert {name: float(row[name]) for name, _ in one.classes} == pytest.approx(dict(one.classes), abs=2e-5)
    for text, one in zip((tmp_path / "w.json").read_text().splitlines(), expected, strict=True):
        row = json.loads(text)
        assert (row["start"], row["end"], row["label"]) == (one.start, one.end, one.label)
        assert row["probabilities"] == pytest.approx(dict(one.classes), abs=2e-5)
    with Video(path) as old, Video(tmp_path / "shown" / "joined.mp4") as new:
        assert new.timestamps == pytest.approx(old.timestamps, abs=1e-4)


def test_an_overlay_draws_each_bout_and_nothing_between(tmp_path):
    """At their times, of a video whose frames are at irregular times and whose size is odd."""
    times = [*range(0, 2000, 40), *range(2000, 4000, 100)]
    path = encode(tmp_path / "v.mkv", frames=len(times), width=161, height=121, times=times)
    shown = [Bout(str(path), "run", 0.5, 1.0, 0.87), Bout(str(path), "walk", 2.95, 9, 0.5)]
    write_overlay(path, shown, tmp_path / "out.mp4")
    with Video(path) as old, Video(tmp_path / "out.mp4") as new:
        assert new.timestamps == pytest.approx(old.timestamps, abs=1e-4)
        before, after = (one.read(range(len(times))).float()[:, :120, :160] for one in (old, new))
        assert new.read([0]).shape == (1, 120, 160, 3)
    labels = {text: torch.tensor(draw_label(text, 120, 160)).float() for text in ("run 87%", "walk 50%")}
    height, width = (max(label.shape[side] for label in labels.values()) for side in (0, 1))
    for i, time in enumerate(times):
        text = "run 87%" if 500 <= time < 1000 else "walk 50%" if time >= 2950 else ""
        if text:
            before[i, -labels[text].shape[0] :, : labels[text].shape[1]] = labels[text]
        difference = (after[i] - before[i]).abs()
        assert difference.mean() < 8 and difference[-height:, :width].mean() < 30, time


def test_a_label_fits_into_the_picture():
    for height, width in ((1080, 1920), (48, 64), (2, 2)):
        label = draw_label("a class of a long name 100%", height, width)
        assert label.shape[0] <= height and label.shape[1] <= width
    assert draw_label("walk 50%", 360, 640).max() == 255


def test_a_recording_without_a_bout_leaves_the_columns(shared_data, tmp_path, capsys):
    recording, file = shared_data / "clips" / "v_BaseballPitch_g01_c01.avi", tmp_path / "b.csv"
    words = ["predict", DEMO, recording, "--windows", "1", "--shortest", "60", "--bouts", file]
    assert main([str(word) for word in words]) == 0
    assert file.read_text() == "video,label,start,end,probability\n"
    assert capsys.readouterr().out.endswith("1 recording, no bout that --min-probability and --shortest leave\n")


def test_a_copy_that_cannot_be_drawn_is_told_apart_from_what_was_read(tmp_path, capsys):
    thin = encode(tmp_path / "thin.mkv", 60, 64, 1, codec="ffv1")
    words = ["predict", DEMO, thin, "--windows", "1", "--bouts", tmp_path / "b.csv", "--overlay", tmp_path / "copies"]
    assert main([str(word) for word in words]) == 1
    out, err = capsys.readouterr()
    assert out == f"{tmp_path / 'b.csv'}  1 recording\n" and "thin.mkv" in err
    assert rows_of(tmp_path / "b.csv") and not (tmp_path / "copies").exists()


def test_a_recording_that_cannot_be_read_costs_that_one(shared_data, tmp_path, capsys):
    (tmp_path / "notes.mp4").write_text("not a video")
    good = shared_data / "clips" / "v_BaseballPitch_g01_c01.avi"
    words = ["predict", DEMO, tmp_path / "notes.mp4", good, "--windows", "1", "--bouts", tmp_path / "b.csv"]
    assert main([str(word) for word in words]) == 1
    out, err = capsys.readouterr()
    assert "1 recording, 1 unreadable left out" in out and len(err.splitlines()) == 1 and "notes.mp4" in err
    assert {row["video"] for row in rows_of(tmp_path / "b.csv")} == {str(good)}


@pytest.mark.parametrize(
    ("words", "facts"),
    [
        (["--hop", "2"], ["--hop", "--windows"]),
        (["--overlay", "o"], ["--overlay", "--windows"]),
        (["--windows", "2", "--resume", "--csv", "w.csv"], ["--resume"]),
        (["--windows", "2", "--top-k", "3"], ["--top-k"]),
        (["--windows", "2", "--csv", "-", "--bouts", "-"], ["-: two outputs"]),
        (["--windows", "2", "--csv", "there.csv"], ["there.csv", "already"]),
        (["--windows", "2", "--overlay", "."], ["v.mp4", "already"]),
        (["also/v.mp4", "--windows", "2", "--overlay", "o"], ["v.mp4", "also/v.mp4"]),
    ],
    ids=" ".join,
)
def test_options_that_do_not_go_together(tmp_path, monkeypatch, capsys, words, facts):
    monkeypatch.chdir(tmp_path)
    Path("there.csv").write_text("mine")
    encode(Path("v.mp4"))
    Path("also").mkdir()
    encode(Path("also/v.mp4"))
    error = refused(capsys, "predict", DEMO, "v.mp4", *words)
    assert all(fact in error for fact in facts), error
    assert Path("there.csv").read_text() == "mine"
    assert sorted(os.listdir()) == ["also", "there.csv", "v.mp4"]


def test_a_full_disk_is_one_sentence_and_leaves_no_copy(shared_data, tmp_path):
    """A file may not grow beyond 16 kB."""
    path = shared_data / "clips" / "v_BaseballPitch_g01_c01.avi"
    limited = ["bash", "-c", 'ulimit -f 16; exec "$@"', "-", sys.executable, "-m", "cmpl_zoo_cli", "predict", DEMO]
    command = [*limited, str(path), "--windows", "1", "--overlay", "shown"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert f"{Path('shown', path.stem)}.mp4: cannot be written: File too large" in done.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "two"])
def test_windows_are_seconds(capsys, seconds):
    with pytest.raises(SystemExit):
        main(["predict", DEMO, "v.mp4", "--windows", seconds])
    assert "--windows" in capsys.readouterr().err
