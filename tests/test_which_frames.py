"""Which frames of real files clips are made of: counted, by time or spread, in prediction, evaluation and training."""

import itertools
import json
import re
import shutil
import warnings
from pathlib import Path

import av
import numpy as np
import pytest
import torch
import yaml
from made_videos import encode, write_list
from PIL import Image
from training import CLASSES, command, run

import cmpl_zoo
from cmpl_zoo import hub
from cmpl_zoo.datasets import TrainingClip, TrainingSteps, Videos
from cmpl_zoo.datasets.typical import Length, lengths, typical
from cmpl_zoo.prediction import predict
from cmpl_zoo.video import Video, load_clip, read_frames
from cmpl_zoo.video.clips import crop_views, load_views
from cmpl_zoo_cli.main import main

AT_30 = [round(1000 * i / 30) for i in range(60)]  # milliseconds
# Two seconds of a screen or a phone in the dark: no two steps are alike.
UNEVEN = [0, 20, 100, 300, 310, 320, 700, 900, 950, 960, 1300, 1500, 1510, 1700, 1990]


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("film")
    pictures = folder / "pictures"
    pictures.mkdir()
    for number, frame in enumerate(read_frames(encode(folder / "source.mp4", 32), range(32)).numpy()):
        Image.fromarray(frame).save(pictures / f"{number:02d}.png")
    return {
        "16": encode(folder / "16.mkv", 32, times=[round(1000 * i / 16) for i in range(32)]),
        "30": encode(folder / "30.mp4", 60, times=AT_30, bf="2", b_strategy="0"),
        "uneven": encode(folder / "uneven.mkv", len(UNEVEN), times=UNEVEN),
        "pictures": pictures,
    }


def frames_of(path: Path, indices: list[int]) -> torch.Tensor:
    """What a clip of these frames looks like: (3, T, 32, 32)."""
    return crop_views(read_frames(path, indices).permute(0, 3, 1, 2), (32, 32), 32)[0].transpose(0, 1)


def clip(path: Path, **settings: object) -> torch.Tensor:
    return load_views(path, size=(32, 32), crop_pct=1, **settings)[0]  # type: ignore[arg-type]


def test_the_same_motion_at_every_frame_rate(film):
    at_16, at_30 = (clip(film[rate], frames=8, stride=2, fps=16) for rate in ("16", "30"))
    # 16 frames a second: the middle window of 15 frames of 32; 30: from 26 of 60 on, 3.75 frames apart.
    assert torch.equal(at_16, frames_of(film["16"], [8, 10, 12, 14, 16, 18, 20, 22]))
    assert torch.equal(at_30, frames_of(film["30"], [16, 19, 23, 27, 31, 34, 38, 42]))
    counted = clip(film["30"], frames=8, stride=2)
    assert torch.equal(counted, frames_of(film["30"], list(range(22, 38, 2))))


def test_the_frame_that_is_shown_at_a_time_of_a_variable_rate(film):
    # From the middle of the frames at which 600 ms fit, that is 700 of 0 to 1300: 700, 900, 1100 and 1300 ms.
    expected = [UNEVEN.index(time) for time in (320, 320, 700, 900)]
    assert torch.equal(clip(film["uneven"], frames=4, stride=1, fps=5), frames_of(film["uneven"], expected))


def test_spread_reaches_over_the_whole_video(film):
    views = load_views(film["30"], frames=4, size=(32, 32), crop_pct=1, clips=3, spread=True)
    for view, expected in zip(views, ([2, 17, 32, 47], [7, 22, 37, 52], [12, 27, 42, 57]), strict=True):
        assert torch.equal(view, frames_of(film["30"], expected))


def test_pictures_have_no_rate_and_are_counted_with_a_warning(film):
    with pytest.warns(UserWarning, match="pictures have no frame rate") as told:
        by_time = clip(film["pictures"], frames=4, stride=2, fps=16)
    assert len(told) == 1
    assert torch.equal(by_time, clip(film["pictures"], frames=4, stride=2))


def test_a_file_without_timestamps_is_read_at_the_rate_that_it_states_with_a_warning(film, tmp_path):
    raw = encode(tmp_path / "v.h264", 50, bf="0")  # a stream of the codec alone
    with pytest.warns(UserWarning, match="without timestamps.* rate that it states"):
        by_time = clip(raw, frames=4, stride=2, fps=12.5)
    assert torch.equal(by_time, frames_of(raw, [18, 22, 26, 30]))
    assert lengths([str(raw)]) == [Length(50, 25.0, timed=False)]


@pytest.mark.parametrize("how", [{"fps": 16.0, "stride": 2}, {"spread": True}, {"stride": 2}])
def test_the_choice_travels_with_the_model(how, film, tmp_path):
    torch.manual_seed(0)
    model = cmpl_zoo.create_model("r3d50_eighth", num_classes=3, clip={"frames": 4, "clips": 2, "crops": 1, **how},
                                  pretrained_cfg_overlay={"input_size": (3, 32, 32)})  # fmt: skip
    folder = hub.save(model, tmp_path, CLASSES)
    written = json.loads((folder / "config.json").read_text())["model_args"]["clip"]
    assert written == {"frames": 4, "clips": 2, "crops": 1, **how}, "a key is written only where it is set"
    again = cmpl_zoo.create_model(folder).eval()
    assert again.clip == written
    settings = {"frames": 4, "clips": 2, "size": (32, 32), **how}
    with torch.inference_mode():
        expected = again(load_clip(film["30"], **settings)).softmax(1).mean(0)
    assert dict(predict(again, film["30"])) == pytest.approx(dict(zip(CLASSES, expected.tolist(), strict=True)))
    assert ("spread over the video" in (folder / "README.md").read_text()) == ("spread" in how)
    assert ("stride 2 at 16 frames a second" in (folder / "README.md").read_text()) == ("fps" in how)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"fps": 0}, "fps is 0"), ({"fps": -3.5}, "fps is -3.5"), ({"fps": "30"}, "fps is '30'"),
        ({"fps": float("nan")}, "fps is nan"), ({"fps": 10**6}, "fps is 1000000"), ({"spread": 1}, "spread is 1"),
        ({"spread": True, "stride": 4}, "spread and stride"), ({"spread": True, "fps": 4}, "spread and fps"),
    ],
)  # fmt: skip
def test_a_choice_that_there_is_not_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        cmpl_zoo.create_model("r3d50_eighth", clip=wrong)


def test_a_new_choice_replaces_that_of_the_weights(tmp_path):
    base = {"frames": 8, "clips": 2, "crops": 1}
    for given, expected in (
        ({}, {"stride": 2, "fps": 16}),
        ({"stride": 3}, {"stride": 3, "fps": 16}),
        ({"fps": None}, {"stride": 2}),
        ({"spread": True}, {"spread": True}),
    ):
        assert cmpl_zoo.create_model("r3d50_eighth.cmpl_demo", clip=given).clip == base | expected
    spread = cmpl_zoo.create_model("r3d50_eighth", num_classes=3, clip={"spread": True})
    folder = hub.save(spread, tmp_path, CLASSES)
    assert "spread" not in cmpl_zoo.create_model(folder, clip={"stride": 3}).clip


def test_training_draws_one_frame_of_each_part_or_by_time(tmp_path):
    with av.open(str(tmp_path / "v.mp4"), "w") as container:  # the gray of a frame is four times its number
        stream = container.add_stream("libx264", rate=30, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv444p"
        for number in range(60):
            gray = np.full((32, 32, 3), 4 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(gray, format="rgb24")))
        container.mux(stream.encode())
    one = Videos([str(tmp_path / "v.mp4")], np.array([0]))
    shared = {"labeled_batch": 1, "unlabeled_batch": 0, "steps": 40, "short_side": (32, 32)}

    def drawn(stride: int = 1, **how) -> list[list[int]]:
        clips = [TrainingClip(frames=4, stride=stride, size=32)]
        steps = TrainingSteps(one, None, clips=clips, **shared, **how)
        clips = [steps[step]["labeled"][0][0] for step in range(40)]
        return [(clip.float().mean((0, 2, 3)) / 4).round().long().tolist() for clip in clips]

    spread = drawn(spread=True)
    assert all(15 * part <= index < 15 * (part + 1) for indices in spread for part, index in enumerate(indices))
    assert len({indices[0] for indices in spread}) > 8, "any frame of a part"
    for indices in drawn(stride=2, fps=16):
        assert {b - a for a, b in itertools.pairwise(indices)} <= {3, 4}, "2/16 s are 3.75 frames"


def test_a_run_by_time_and_a_spread_one_leave_models_that_say_so(film, tmp_path):
    for label in "ab":
        for number in range(2):
            shutil.copy(film["30"], tmp_path / f"{label}{number}.mp4")
    listed = write_list(tmp_path / "labeled.csv", [f"{label}{n}.mp4" for label in "ab" for n in range(2)])
    listed.write_text(listed.read_text().replace("a0.mp4,x", "a0.mp4,a").replace("a1.mp4,x", "a1.mp4,a"))
    for lists in ("unlabeled", "val"):
        shutil.copy(listed, tmp_path / f"{lists}.csv")
    (tmp_path / "val.csv").write_text("path,label\nv.mp4,a\n")
    shutil.copy(film["16"], tmp_path / "v.mp4")
    for how, clip_of in (
        (["--fps", "15"], {"stride": 2, "fps": 15.0}), (["--spread"], {"spread": True}), ([], {"stride": 2}),
    ):  # fmt: skip
        output = tmp_path / f"run{len(how)}"
        done = run(command(tmp_path, tmp_path, output, "--steps", "1", *how))
        model = cmpl_zoo.create_model(output / "primary")
        assert model.clip == {"frames": 4, "clips": 2, "crops": 1} | clip_of
        summary = json.loads((output / "summary.json").read_text())
        assert summary["typical_videos"]["labeled"] == {"frames": 60, "fps": pytest.approx(30, rel=0.01)}
        assert summary["typical_videos"]["val"]["fps"] == pytest.approx(16, rel=0.01)
        assert ("--fps 30 reads by time" in done.stderr) == (how == [])  # 16 of the validation is far from 30
        assert "typically 60 frames at 30" in (output / "primary" / "README.md").read_text()
    # A run of a version that knew neither option continues.
    options = yaml.safe_load((tmp_path / "run0" / "config.yaml").read_text())
    (tmp_path / "run0" / "config.yaml").write_text(
        yaml.safe_dump({k: v for k, v in options.items() if k not in ("fps", "spread")})
    )
    run(command(tmp_path, tmp_path, tmp_path / "run0", "--steps", "1", "--resume"))
    error = run(command(tmp_path, tmp_path, tmp_path / "run0", "--steps", "1", "--resume", "--spread"), expect=2).stderr
    assert re.search("other options.*spread was False", error)


def test_training_says_at_its_start_what_its_clips_do_not_suit(videos, lists, tmp_path):
    done = run(
        command(
            lists, videos, tmp_path / "run", "--steps", "1", "--frames", "16", "--auxiliary", "null", "--scheme", "none"
        )
    )
    assert re.search(
        r"labeled\.csv: of 9 videos looked at, 9 are shorter than a clip of 16 frames at stride 2.*--spread",
        done.stderr,
    )
    for wrong, message in (
        (["--fps", "0"], r"--fps must be above 0"), (["--spread", "--fps", "3"], r"--fps.*--spread"),
        (["--fps", "x"], r"--fps must be a number"),
    ):  # fmt: skip
        assert re.search(message, run(command(lists, videos, tmp_path / "no", "--steps", "1", *wrong), expect=2).stderr)


def test_the_typical_video_is_the_median_of_the_readable_ones(film, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    found = lengths([str(path) for path in (film["16"], film["30"], film["30"], broken, film["pictures"])])
    assert [(video.frames, video.fps and round(video.fps)) for video in found] == [
        (32, 16),
        (60, 30),
        (60, 30),
        (32, None),
    ]
    assert typical(found) == {"frames": 46, "fps": pytest.approx(30, rel=0.01)}
    assert typical(found[3:]) == {"frames": 32}
    # A clip of 8 frames at stride 8 spans 57 frames, and at 30 frames a second as long as 29 at 15 and 113 at 60.
    for frames, rate, fps in ((57, None, None), (57, 30.0, 30), (29, 15.0, 30), (113, 60.0, 30)):
        assert Length(frames, rate).spans(8, 8, fps) and not Length(frames - 1, rate).spans(8, 8, fps)


def test_predict_warns_once_of_a_rate_far_from_what_the_network_knows(film):
    model = cmpl_zoo.create_model("r3d50_eighth", num_classes=3, clip={"frames": 4, "clips": 1, "crops": 1}).eval()
    model.pretrained_cfg["notes"] = {"typical_video": {"frames": 32, "fps": 16}}
    with pytest.warns(UserWarning, match=r"30 frames a second.*counts frames.*16") as told:
        predict(model, film["30"])
        predict(model, film["30"])
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predict(cmpl_zoo.create_model("r3d50_eighth.cmpl_demo", pretrained=True).eval(), film["30"])
        other = cmpl_zoo.create_model("r3d50_eighth", num_classes=3, clip={"frames": 4, "clips": 1, "crops": 1}).eval()
        other.pretrained_cfg["notes"] = ["a text"]
        predict(other, film["30"])


def cut_short(path: Path, target: Path) -> Path:
    """The first 60 % of an MP4 whose index comes first."""
    content = path.read_bytes()
    target.write_bytes(content[: int(len(content) * 0.6)])
    return target


def test_clips_that_are_filled_up_with_copies_are_told_once_for_the_file(tmp_path, capsys):
    whole = encode(tmp_path / "whole.mp4", 100, movflags="faststart", g="10")
    short = cut_short(whole, tmp_path / "short.mp4")
    with Video(short) as video:
        decoded = sum(1 for _ in video.decode())
    assert 10 < decoded < 90
    message = rf"short\.mp4: only {decoded} of its 100 frames can be decoded; copies"
    assert main(["predict", "r3d50_eighth.cmpl_demo", str(short), str(whole)]) == 0
    error = capsys.readouterr().err
    assert len(re.findall(message, error)) == 1 and "whole.mp4" not in error and "UserWarning" not in error
    data = write_list(tmp_path / "list.csv", ["short.mp4", "whole.mp4"], "walk")
    args = ["evaluate", "r3d50_eighth.cmpl_demo", "--data", str(data), "--root", str(tmp_path), "--workers", "1"]
    assert main([*args, "-o", str(tmp_path / "report")]) == 0
    error = capsys.readouterr().err
    assert len(re.findall(message, error)) == 1 and "whole.mp4" not in error
