"""`cmpl-zoo flow`: what it makes of movements that are known, and runs that are cut off."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from made_videos import encode, refused, rows_of, start, wait_for_rows, write_list

from cmpl_zoo.pretext.flow import flow_path
from cmpl_zoo.tools.flow import flow_video
from cmpl_zoo.video.flow import as_color, in_pixels, to_the_other_side
from cmpl_zoo.video.video import Video
from cmpl_zoo_cli.main import main

pytestmark = pytest.mark.timeout(300)


def picture(height: int = 64, width: int = 96, seed: int = 0) -> np.ndarray:
    """A smooth random picture, uint8 (height, width, 3)."""
    coarse = torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (1, 3, height // 4, width // 4)))
    smooth = torch.nn.functional.interpolate(coarse.float(), size=(height, width), mode="bicubic")[0]
    return smooth.clamp(0, 255).byte().permute(1, 2, 0).numpy()


def moving(path: Path, right: int, down: int, frames: int = 6) -> Path:
    """A video of frames, as a `.npy` file, in which a square of 32 pixels moves so far from frame to frame."""
    video = picture()[None].repeat(frames, 0)
    square = picture(32, 32, seed=1)
    for number, frame in enumerate(video):
        top, left = 16 + number * down, 32 + number * right
        frame[top : top + 32, left : left + 32] = square
    np.save(path, video)
    return path


def movement(path: Path) -> torch.Tensor:
    """The movement in each frame of flow, (T, 2, H, W)."""
    with Video(path) as video:
        return in_pixels(video.read(range(video.num_frames)).permute(0, 3, 1, 2))


@pytest.mark.parametrize(("right", "down"), [(2, 0), (-3, 0), (0, 2), (1, -2)])
def test_a_square_moves(tmp_path, right, down):
    path = moving(tmp_path / "square.npy", right, down)
    row = flow_video(str(path), str(tmp_path / "flow.mp4"), 64)
    assert row["verdict"] == "made" and row["frames"] == 6
    flow = movement(tmp_path / "flow.mp4")
    assert flow.shape == (6, 2, 64, 96)
    for number in range(5):
        top, left = 16 + number * down, 32 + number * right
        inside = flow[number, :, top + 8 : top + 24, left + 8 : left + 24]
        assert inside.mean(dim=(1, 2)).tolist() == pytest.approx([right, down], abs=0.25)
        assert flow[number, :, :, :12].abs().mean() < 0.05
    assert (flow[5] - flow[4]).abs().mean() < 0.02  # the last one again


def test_colors_tell_pixels():
    flow = torch.cat([torch.linspace(-70, 70, 2001), torch.tensor([0.0, 0.01, -0.01])])
    flow = torch.stack([flow, -flow], dim=-1)[None]
    color = torch.from_numpy(as_color(flow.numpy())).permute(2, 0, 1)
    told = in_pixels(color)[:, 0].T
    wanted = flow[0].clamp(-64, 64)
    assert ((told - wanted).abs() <= 0.002 + 0.065 * wanted.abs().sqrt()).all()
    assert color[:, 0, 2001].tolist() == [128] * 3
    mirrored = to_the_other_side(color)
    assert in_pixels(mirrored)[0].equal(-in_pixels(color)[0]) and mirrored[1:].equal(color[1:])


def test_a_list_of_videos(tmp_path, capsys):
    root, out = tmp_path / "videos", tmp_path / "flow"
    (root / "deep").mkdir(parents=True)
    encode(root / "deep" / "a.mp4", 9, 160, 80)
    encode(root / "b.mkv", 25, 64, 48)
    encode(root / "one.mp4", 1)
    (root / "bad.mp4").write_bytes(b"no video")
    moving(root / "tiny.npy", 1, 0)
    np.save(root / "tiny.npy", np.load(root / "tiny.npy")[:, :8, :8])
    names = ["deep/a.mp4", "b.mkv#t=0.2,0.6", "one.mp4", "bad.mp4", "tiny.npy"]
    quoted = [f'"{name}"' for name in names]
    command = ["flow", write_list(tmp_path / "l.csv", quoted), "--root", root, "-o", out, "--max-short-side", "40"]
    assert main([str(word) for word in [*command, "--workers", 1]]) == 1
    rows = rows_of(out / "report.csv")
    assert [(row["path"], row["verdict"], row["frames"]) for row in rows] == list(
        zip(names, ["made", "made", "made", "unreadable", "failed"], ["9", "10", "1", "", ""], strict=True)
    )
    assert "3 made" in capsys.readouterr().out
    assert [row["path"] for row in rows_of(out / "l.csv")] == names[:3]
    for name, shape in {names[0]: (9, 2, 40, 80), names[1]: (10, 2, 40, 53), names[2]: (1, 2, 40, 53)}.items():
        assert movement(Path(flow_path(f"{root}/{name}", str(root), str(out)))).shape == shape
    assert movement(out / "one.mp4").abs().max() < 0.1
    assert "--max-short-side 40, not with --max-short-side 41" in refused(capsys, *command[:-1], 41)
    assert "would overwrite" in refused(capsys, *command[:-4], "-o", root)


def test_a_folder_of_videos(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "videos" / name).mkdir(parents=True)
        encode(tmp_path / "videos" / name / "x.mp4", 5)
    assert main(["flow", str(tmp_path / "videos"), "-o", str(tmp_path / "flow"), "--workers", "1"]) == 0
    assert sorted(path.parent.name for path in (tmp_path / "flow").rglob("x.mp4")) == ["a", "b"]


def test_flow_within_the_folder_of_the_videos_is_refused(tmp_path, capsys):
    encode(tmp_path / "a.mp4")
    assert "would be taken; give another" in refused(capsys, "flow", tmp_path, "-o", tmp_path / "flow")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_a_run_that_was_killed_continues_and_keeps_what_is_there(tmp_path, capsys):
    root, out = tmp_path / "videos", tmp_path / "flow"
    root.mkdir()
    encode(root / "0.mp4", 40, 160, 120)
    for number in range(1, 8):
        shutil.copy(root / "0.mp4", root / f"{number}.mp4")
    file = write_list(tmp_path / "l.csv", [f"{number}.mp4" for number in range(8)])
    command = ["flow", file, "--root", root, "-o", out, "--workers", 1]
    process = start(*command)
    wait_for_rows(process, out / "report.csv", 2)
    process.kill()
    process.communicate()
    made = {path: path.stat().st_mtime_ns for path in out.glob("*.mp4")}
    assert 2 <= len(made) < 8
    (out / "report.csv").unlink()  # the flow itself is enough
    assert main([str(word) for word in command]) == 0
    output = capsys.readouterr().out
    verdicts = [row["verdict"] for row in rows_of(out / "report.csv")]
    assert verdicts.count("there") >= len(made) and verdicts[-1] == "made", output
    assert all(path.stat().st_mtime_ns == time for path, time in made.items())
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [*(f"{number}.mp4" for number in range(8)), "flow.json", "l.csv", "report.csv"]
    )
