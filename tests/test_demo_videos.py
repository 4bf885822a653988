"""The demo's videos: one frame says nothing that a class of the same cycle does not say too; the motion does."""

import csv
import itertools
from collections import Counter
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from cmpl_zoo.demo.render import ACTIONS, Action, Actor, Shot, poses, render_demo, render_frames, write_video

SETTINGS = {"videos_per_class": 3, "size": 32, "frames": 12, "fps": 8, "seed": 5}
PARTNERS = [(a, b) for a, b in itertools.combinations(ACTIONS, 2) if ACTIONS[a].cycle is ACTIONS[b].cycle]
PACES = [tuple(sorted(pair, key=lambda name: ACTIONS[name].rate)) for pair in PARTNERS]
FRAMES, FPS = 32, 16


def draw(seed: int) -> tuple[Actor, Shot]:
    return Actor.draw(np.random.default_rng([seed, 0])), Shot.draw(np.random.default_rng([seed, 1]))


def frame_step(action: str, shot: Shot) -> float:
    """Share of its cycle that an action runs through from frame to frame."""
    return shot.tempo * ACTIONS[action].rate / FPS


def numbers(pose) -> np.ndarray:
    return np.array([*itertools.chain(*pose.arms, *pose.legs), 360 * pose.lift])


def test_every_action_has_a_partner_on_its_cycle_that_jitter_cannot_reach():
    assert len(ACTIONS) >= 8
    assert {name for pair in PARTNERS for name in pair} == set(ACTIONS)
    tempos = [draw(seed)[1].tempo for seed in range(500)]
    spread = max(tempos) / min(tempos)
    for slow, fast in PACES:
        assert ACTIONS[fast].rate / ACTIONS[slow].rate > 1.5 * spread
    for name, action in ACTIONS.items():
        assert abs(action.rate) * max(tempos) < FPS / 4 / 2, f"{name} is ambiguous at a stride of 4"


@pytest.mark.parametrize(("one", "other"), PARTNERS)
@pytest.mark.parametrize("frame", [0, 7, FRAMES - 1])
def test_every_frame_of_an_action_is_as_likely_a_frame_of_its_partner(one, other, frame):
    """A shift of the start turns one into the other, pixel for pixel; a uniform start stays uniform when shifted."""
    for seed in range(3):
        actor, shot = draw(seed)
        shifted = replace(shot, start=shot.start + frame * (frame_step(one, shot) - frame_step(other, shot)))
        pose, partner = poses(one, shot, FRAMES, FPS)[frame], poses(other, shifted, FRAMES, FPS)[frame]
        np.testing.assert_allclose(numbers(pose), numbers(partner), atol=1e-6)
        pixels, partner_pixels = (
            next(itertools.islice(render_frames(name, actor, its_shot, 32, FRAMES, FPS), frame, None)).astype(int)
            for name, its_shot in ((one, shot), (other, shifted))
        )
        assert np.abs(pixels - partner_pixels).mean() < 0.1, "rounding may move an edge, nothing more"


def test_the_start_is_uniform_and_independent_of_all_else():
    shots = [draw(seed)[1] for seed in range(2000)]
    starts = np.array([shot.start for shot in shots])
    assert np.abs(np.histogram(starts, 10, (0, 1))[0] - 200).max() < 60
    for field in ("tempo", "reach", "mirrored", "zoom", "roll", "shake", "pan", "noise"):
        values = np.array([getattr(shot, field) for shot in shots], dtype=float)
        for wave in (np.sin, np.cos):
            assert abs(np.corrcoef(wave(2 * np.pi * starts), values)[0, 1]) < 0.1


@pytest.mark.parametrize(("slow", "fast"), PACES)
def test_the_fast_action_changes_more_from_frame_to_frame(slow, fast):
    """The plainest measure of motion tells paces apart in every pair of like videos, whose cameras pan and shake."""

    def change(name: str, seed: int) -> float:
        actor, shot = draw(seed)
        clip = np.stack([*render_frames(name, actor, replace(shot, noise=0.0), 32, FRAMES, FPS)])
        return np.abs(np.diff(clip.astype(int), axis=0)).mean()

    for seed in range(10):
        assert change(fast, seed) > 1.2 * change(slow, seed), f"seed {seed}"


def test_figures_stay_in_the_frame():
    """Without camera tricks: what the pose reaches on the outermost pixels is a hand at most."""
    for seed, (name, action) in itertools.product(range(4), ACTIONS.items()):
        assert isinstance(action, Action)
        actor, shot = draw(seed)
        still = replace(shot, noise=0.0, pan=0.0, shake=0.0, drift=(0.0, 0.0))
        clip = np.stack([*render_frames(name, actor, still, 64, FRAMES, FPS)]).astype(int)
        moved = np.ptp(clip, axis=0).max(axis=-1) > 30
        border = np.concatenate([moved[0], moved[-1], moved[:, 0], moved[:, -1]])
        assert moved.mean() > 0.05, f"{name} of seed {seed} hardly moves"
        assert border.mean() < 0.1, f"{name} of seed {seed} leaves the frame"


def test_same_draws_same_pixels():
    actor, shot = draw(1)
    one, again = ([*render_frames("walk", actor, shot, 32, 4, FPS)] for _ in range(2))
    assert np.array_equal(one, again)
    assert one[0].shape == (32, 32, 3) and one[0].dtype == np.uint8
    assert not np.array_equal(one, [*render_frames("walk", *draw(2), 32, 4, FPS)])


@pytest.fixture(scope="module")
def rendered(tmp_path_factory) -> Path:
    return render_demo(tmp_path_factory.mktemp("demo") / "videos", **SETTINGS)


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below a folder, with its bytes and its time of writing."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_list_names_every_file_and_every_actor_performs_every_action(rendered):
    with rendered.open(newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    assert rendered.name == "videos.csv" and reader.fieldnames == ["path", "label", "actor"]
    assert Counter((row["label"], row["actor"]) for row in rows) == Counter(
        itertools.product(ACTIONS, [str(1 + i) for i in range(SETTINGS["videos_per_class"])])
    )
    assert all(Path(row["path"]).parent.name == row["label"] for row in rows)
    listed = {row["path"] for row in rows}
    assert "wave_fast/wave_fast_0001.mp4" in listed
    assert set(contents(rendered.parent)) - listed == {"videos.csv", "settings.json"}, "nothing half-written is left"


def test_every_video_decodes_to_what_was_asked_for(rendered):
    for path in rendered.parent.glob("*/*.mp4"):
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
            assert (stream.codec_context.name, stream.average_rate) == ("h264", SETTINGS["fps"])
        assert np.shape(decoded) == (SETTINGS["frames"], SETTINGS["size"], SETTINGS["size"], 3)
        assert np.std(decoded) > 5, f"{path.name} shows something"


def test_second_call_does_nothing_and_other_settings_are_an_error(rendered):
    before = contents(rendered.parent)
    assert render_demo(rendered.parent, **SETTINGS) == rendered
    with pytest.raises(FileExistsError, match=r"videos: .*other settings.*(delete|another folder)"):
        render_demo(rendered.parent, **SETTINGS | {"seed": 6})
    assert contents(rendered.parent) == before


def test_a_list_of_other_videos_is_no_demo(tmp_path):
    (tmp_path / "videos.csv").write_text("path,label\na.mp4,x\n")
    with pytest.raises(FileExistsError, match=r"videos\.csv: .*no list of demo videos"):
        render_demo(tmp_path, **SETTINGS)
    assert [file.name for file in tmp_path.iterdir()] == ["videos.csv"]


@pytest.mark.parametrize("wrong", [{"size": 33}, {"frames": 0}, {"videos_per_class": 0}])
def test_impossible_settings_are_an_error_that_leaves_nothing(tmp_path, wrong):
    with pytest.raises(ValueError, match="the size even for"):
        render_demo(tmp_path / "videos", **SETTINGS | wrong)
    assert not list(tmp_path.iterdir())


def test_interrupted_rendering_is_not_listed_and_the_next_call_completes_it(rendered, tmp_path):
    blocked = tmp_path / "videos" / "walk"
    blocked.parent.mkdir()
    blocked.write_text("a file where the folder should be")
    with pytest.raises(OSError):
        render_demo(blocked.parent, **SETTINGS)
    assert not (blocked.parent / "videos.csv").exists()

    blocked.unlink()
    render_demo(blocked.parent, **SETTINGS)
    bytes_of = [{name: data for name, (data, _) in contents(path.parent).items()} for path in (rendered, blocked)]
    assert bytes_of[0] == bytes_of[1], "equal settings and seed, equal files"


def test_video_appears_only_once_it_is_whole(tmp_path):
    def breaks_off():
        for _ in range(100):  # more than the encoder holds back: part of the file is on disk
            yield np.zeros((32, 32, 3), np.uint8)
        raise InterruptedError("broke off")

    with pytest.raises(InterruptedError):
        write_video(tmp_path / "walk" / "walk_0001.mp4", breaks_off(), size=32, fps=8)
    assert not list(tmp_path.rglob("*.mp4"))
