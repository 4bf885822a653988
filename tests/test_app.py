"""The web page: what it says of videos, good ones and bad, its server, and the Space."""

import os
import re
import runpy
import socket
import threading
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from pathlib import Path

import av
import gradio
import numpy as np
import pytest
import yaml
from app_server import Server
from gradio_client import Client, handle_file
from made_videos import encode, refused
from packaging.specifiers import SpecifierSet

import cmpl_zoo
from cmpl_zoo import hub
from cmpl_zoo.app import html, results
from cmpl_zoo.app.examples import SECONDS, SEVERAL, SINGLE, render_examples
from cmpl_zoo.app.networks import Network, load_networks
from cmpl_zoo.app.page import build_page, delete_broken_off, serve
from cmpl_zoo.app.results import MAX_MEGABYTES, MAX_SECONDS, Result, look_at
from cmpl_zoo.models.labels import label_names
from cmpl_zoo.prediction import Bout, Ensemble, predict
from cmpl_zoo.video import load_clip, resolve_clip_config
from cmpl_zoo.video.clips import normalize
from cmpl_zoo.video.errors import VideoError
from cmpl_zoo_cli.app import SHIPPED

REPO = Path(__file__).resolve().parents[1]
SPACE = REPO / "space"


@pytest.fixture(scope="module")
def networks() -> list[Network]:
    return load_networks([SHIPPED])[SHIPPED]


@pytest.fixture(scope="module")
def examples(tmp_path_factory) -> list[Path]:
    """Those of one action each, and last that of several."""
    return list(render_examples(tmp_path_factory.mktemp("examples")).values())


def last(networks: list[Network], path: Path) -> Result:
    *_, result = look_at(networks, str(path))
    return result


def text_of(page: str) -> str:
    """The text of some HTML, in one line."""
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


# What is said of a video


def test_the_bars_are_what_predict_says(networks, examples):
    model = cmpl_zoo.create_model(SHIPPED, pretrained=True).eval()
    for action, path in zip(SINGLE, examples, strict=False):
        [classes] = last(networks, path).classes
        assert classes[0][0] == action
        assert dict(classes) == pytest.approx(dict(predict(model, path, topk=8)), abs=1e-5)
        assert sum(dict(classes).values()) == pytest.approx(1, abs=1e-5) and len(classes) == 8


def test_the_reading_tells_what_there_is(networks, examples):
    assert text_of(html.reading_html(last(networks, examples[0]))) == (
        f"walk.mp4 : 128 x 128 pixels, 3.0 s, 48 frames at 16 a second. {SHIPPED} saw 2 clips of 8 frames, scaled to "
        "48 x 48 pixels."
    )
    # Two clips of 15 frames from the first to the last, 16 a second.
    assert "48 x 48 pixels. That is 1.9 s of it; the timeline is of all." in text_of(
        html.reading_html(last(networks, examples[-1]))
    )


def test_the_frames_are_those_that_the_network_saw(networks, examples):
    model = networks[0].ensemble.models[0]
    config = resolve_clip_config(model)
    [seen] = last(networks, examples[0]).seen
    clips = load_clip(examples[0], **config)  # (2 clips of 1 crop, 3, 8, 48, 48)
    shown = np.stack([[np.asarray(picture) for picture in clip.pictures] for clip in seen.clips])
    again = normalize(
        cmpl_zoo.video.clips.torch.from_numpy(shown).permute(0, 4, 1, 2, 3), config["mean"], config["std"]
    )
    assert again.shape == clips.shape and (again - clips).abs().max() < 1e-5
    # 48 frames at 16 a second; clips of 8 frames, 2 apart, from the start and to the end.
    assert [clip.times for clip in seen.clips] == [
        pytest.approx([i / 8 for i in range(8)]), pytest.approx([33 / 16 + i / 8 for i in range(8)]),
    ]  # fmt: skip
    page = html.frames_html(last(networks, examples[0]))
    assert page.count("<img ") == 16 == page.count('alt="Frame at ')
    assert text_of(page).startswith("Frames that were seen Clip 1 of 2 0.00 s 0.12 s")


def test_of_many_clips_some_are_shown_by_their_number(examples):
    [[network]] = load_networks([SHIPPED]).values()
    network.ensemble.models[0].clip["clips"] = 5
    network = Network(network.name, Ensemble(network.ensemble.models))
    page = html.frames_html(last([network], examples[0]))
    assert re.findall(r"Clip (\d) of (\d)", page) == [("1", "5"), ("3", "5"), ("5", "5")]


def test_a_longer_video_has_a_timeline_that_grows(networks, examples):
    first, *_, result = look_at(networks, str(examples[-1]))
    assert not first.timelines and first.classes == result.classes
    [line] = result.timelines
    assert (line.until, line.finished) == (SECONDS * len(SEVERAL), True)
    assert [(bout.label, bout.start, bout.end) for bout in line.bouts] == [
        (action, SECONDS * i, SECONDS * (i + 1)) for i, action in enumerate(SEVERAL)
    ]
    page = html.timelines_html(result)
    assert page.count('class="cz-bout"') == page.count("<tr><td>") == 4
    assert 'style="left:25.000%;width:25.000%;' in page
    assert "0:03.0 to 0:06.0" in text_of(page) and re.search(r"0:03\.0 0:06\.0 wave_fast \d\d %", text_of(page))
    assert html.timelines_html(last(networks, examples[0])) == "", "three seconds are too short for one"


def test_a_browser_that_leaves_stops_the_work(networks, tmp_path, monkeypatch):
    monkeypatch.setattr(results, "SECONDS_BETWEEN", 0)
    before = set(threading.enumerate())
    growing = look_at(networks, str(encode(tmp_path / "long.mp4", frames=25 * 60)))
    next(growing)
    [line] = next(growing).timelines
    assert (line.until, line.finished) == (1, False)
    assert set(threading.enumerate()) > before, "a thread decodes"
    growing.close()
    assert set(threading.enumerate()) == before


def test_many_classes_have_few_rows():
    bouts = [Bout("v.mp4", f"class {i}", i, i + 1 + (i == 3), 0.5) for i in range(15)]
    line = results.Timeline("n", bouts, 15, True)
    rows = html.rows(line)
    assert [row.label for row in rows] == [f"class {i}" for i in range(10)] + ["other classes"]
    assert [bout.label for bout in rows[-1].bouts] == [f"class {i}" for i in range(10, 15)]
    assert html.marks(12) == [0, 5, 10] and html.marks(600) == [0, 120, 240, 360, 480]
    assert [html.tenths(second) for second in (0, 59.96, 75.25)] == ["0:00.0", "1:00.0", "1:15.2"]


def test_names_cannot_be_markup(examples):
    model = cmpl_zoo.create_model(SHIPPED, pretrained=True)
    names = ["<b>a</b>", "<img src=x>", "</p>", "\"&'", *"efgh"]
    model.pretrained_cfg = model.default_cfg = {**model.pretrained_cfg, "label_names": names}
    network = Network("<i>", Ensemble(model.eval()))
    result = last([network, network], examples[-1])
    page = html.reading_html(result) + html.timelines_html(result) + html.error_html("<b>a")
    assert not re.search(r"<b>a|<img|<i>", page)
    labels = [bout.label for bout in result.timelines[0].bouts]
    assert [unescape(label) for label in re.findall("<td>([^<]*)</td><td>[^<]* %", page)] == labels * 2


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory) -> Path:
    """A run of which the networks differ: the shipped one, and one that was not trained."""
    folder = tmp_path_factory.mktemp("runs") / "mine"
    model = cmpl_zoo.create_model(SHIPPED, pretrained=True)
    names = label_names(model)
    hub.save(model, folder / "primary", names)
    other = cmpl_zoo.create_model(
        "r3d50_eighth", num_classes=8, clip={"frames": 4, "stride": 3, "clips": 1, "crops": 3}
    )
    hub.save(other, folder / "auxiliary", names)
    return folder


def test_the_two_networks_of_a_run_stand_side_by_side(run_folder, networks, examples):
    [(word, both)] = load_networks([str(run_folder)]).items()
    assert (word, [network.name for network in both]) == (str(run_folder), ["primary", "auxiliary"])
    result = last(both, examples[-1])
    assert result.classes[0] == last(networks, examples[-1]).classes[0] != result.classes[1]
    assert [seen.networks for seen in result.seen] == [["primary"], ["auxiliary"]]
    assert [len(seen.clips) for seen in result.seen] == [2, 1] and len(result.seen[1].clips[0].pictures) == 4
    assert [line.network for line in result.timelines] == ["primary", "auxiliary"]
    reading = text_of(html.reading_html(result))
    assert "primary saw 2 clips of 8 frames" in reading and "auxiliary saw 1 clip of 4 frames" in reading
    assert "224 x 224 pixels, 3 crops of each." in reading
    best = [classes[0][0] for classes in result.classes]
    assert re.search(f"disagree: primary says {best[0]} , auxiliary says {best[1]}|Both say {best[0]}", reading)
    [[alone]] = load_networks([str(run_folder / "primary")]).values()
    assert alone.name == str(run_folder / "primary")


# Bad files


def sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        for _ in range(20):
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def bad_file(kind: str, folder: Path) -> Path:
    path = folder / f"{kind}.mp4"
    if kind == "text":
        path.write_text("These are notes, not a video.\n")
    elif kind == "empty":
        path.touch()
    elif kind == "dot":
        encode(folder / "dot.mkv", width=1, height=1, codec="ffv1").rename(path)
    elif kind == "sound":
        sound(path)
    elif kind == "long":
        encode(path, frames=2, times=[0, 1000 * (MAX_SECONDS + 60)])
    elif kind == "large":
        encode(path)
        os.truncate(path, (MAX_MEGABYTES + 1) * 1_000_000)
    elif kind == "cut":
        whole = encode(folder / "whole.mp4", movflags="faststart").read_bytes()
        path.write_bytes(whole[: whole.index(b"mdat") + 4])
    elif kind == "wide":  # without a frame, which nobody has to decode to see that
        whole = encode(folder / "whole.mp4", frames=1, width=4100, height=2304, movflags="faststart").read_bytes()
        path.write_bytes(whole[: whole.index(b"mdat") + 4])
    elif kind == "gone":
        pass
    return path


BAD = {
    "text": "not a video, but text",
    "empty": "empty",
    "dot": "1 x 1 pixels.*16 x 16 are the least",
    "sound": "no video stream.*sound",
    "long": "minutes long.*10 are the most",
    "large": "201 MB.*200 are the most",
    "wide": "4100 x 2304 pixels, and 4096 x 2304 are the most",
    "cut": "none of its frames|header",
    "gone": "no such file",
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_gets_one_sentence(kind, networks, tmp_path):
    with pytest.raises(VideoError, match=BAD[kind]) as raised:
        last(networks, bad_file(kind, tmp_path))
    message = str(raised.value)
    assert message.startswith(f"{kind}.mp4: ") and str(tmp_path) not in message and "\n" not in message


def test_a_file_that_breaks_off_is_told(shared_data, networks):
    result = last(networks, shared_data / "clips" / "corrupted.mp4")
    assert result.notices == ["Only 28 of its 50 frames can be decoded"]
    assert "Only 28 of its 50 frames can be decoded." in text_of(html.reading_html(result))


def test_a_network_that_counts_frames_tells_of_another_rate(examples):
    model = cmpl_zoo.create_model(SHIPPED, pretrained=True)
    model.clip = {"frames": 8, "stride": 2, "clips": 1, "crops": 1}
    notes = {"typical_video": {"fps": 60.0, "frames": 100}}
    model.pretrained_cfg = model.default_cfg = {**model.pretrained_cfg, "notes": notes}
    [notice] = last([Network("n", Ensemble(model.eval()))], examples[0]).notices
    assert re.search(r"walk\.mp4 has 16 frames a second.*60", notice)


def test_models_that_cannot_be_loaded_are_refused_before_the_page_starts(capsys, tmp_path):
    (tmp_path / "nothing").mkdir()
    assert re.search(r"nothing.*config\.json is missing", refused(capsys, "app", tmp_path / "nothing"))
    assert re.search(r"r3d50_eight'.*did you mean r3d50_eighth", refused(capsys, "app", "r3d50_eight"))


def test_the_page_offers_each_model(networks, run_folder, examples):
    page = build_page({SHIPPED: networks} | load_networks([str(run_folder)]), {"walk": examples[0]})
    [model] = [block for block in page.blocks.values() if isinstance(block, gradio.Dropdown)]
    assert [name for name, _ in model.choices] == [SHIPPED, str(run_folder)]
    [look] = [function for function in page.fns.values() if function.api_name == "look"]
    *_, (reading, first, second, timeline, frames) = look.fn(str(examples[0]), str(run_folder))
    assert (first.label, first.visible, second.label, second.visible) == ("primary", True, "auxiliary", True)
    assert first.value["label"] == "walk" and "walk.mp4" in reading and "<img" in frames and timeline == ""
    *_, (reading, first, second, timeline, frames) = look.fn(str(bad_file("text", examples[0].parent)), SHIPPED)
    assert 'role="alert"' in reading and "text.mp4: not a video" in reading
    assert (first.visible, second.visible, timeline, frames) == (False, False, "", "")
    assert next(look.fn(None, SHIPPED))[0] == "", "the video was taken away"
    assert page.analytics_enabled is False and page.delete_cache is not None


def test_uploads_that_were_broken_off_are_deleted(tmp_path):
    old, new, whole = tmp_path / "old", tmp_path / "new", tmp_path / "folder"
    whole.mkdir()
    for file, age in ((old, 100), (new, 10), (whole, 100)):
        file.touch()
        os.utime(file, (time.time() - age,) * 2)
    delete_broken_off(tmp_path, 60)
    assert sorted(tmp_path.iterdir()) == [whole, new]


# The server


@pytest.fixture(scope="module")
def server(tmp_path_factory, run_folder) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("tmp"), SHIPPED, str(run_folder))
    yield started
    if started.process.poll() is None:
        started.process.kill()
    started.process.communicate()


def bars(label: dict) -> dict[str, float]:
    """The classes that a client gets, of which those below the first five are left out."""
    return {one["label"]: one["confidence"] for one in label["value"]["confidences"]}


def test_two_users_at_once_get_their_own_answers(server, networks, examples):
    assert server.first_line == f"{server.url}  Ctrl-C ends it\n"

    def look(paths: list[Path]) -> list[tuple]:
        client = Client(server.url, verbose=False)
        return [client.predict(handle_file(path), SHIPPED, api_name="/look") for path in paths]

    orders = [examples[2:], examples[:1:-1]]
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(look, orders))
    for order, own in zip(orders, answers, strict=True):
        for path, (reading, first, second, timeline, frames) in zip(order, own, strict=True):
            expected = last(networks, path)
            assert path.name in reading and frames.count("<img") == 16
            assert bars(first) == pytest.approx(dict(expected.classes[0][:5]), abs=1e-5)
            assert second["visible"] is False
            assert timeline == html.timelines_html(expected)


def test_a_bad_file_does_not_stop_the_page(server, run_folder, examples, tmp_path):
    client = Client(server.url, verbose=False)
    reading, first, *_ = client.predict(handle_file(bad_file("text", tmp_path)), SHIPPED, api_name="/look")
    assert "text.mp4: not a video, but text" in reading and first["visible"] is False
    _, first, second, *_ = client.predict(handle_file(examples[0]), str(run_folder), api_name="/look")
    assert (first["label"], second["label"]) == ("primary", "auxiliary")
    assert max(bars(first), key=bars(first).get) == "walk" and 0 < sum(bars(second).values()) <= 1.00001


def test_the_port_in_use_is_named_and_no_other_taken(server, capsys):
    error = refused(capsys, "app", "--port", server.port)
    assert re.search(rf"port {server.port} of 127\.0\.0\.1 is in use.*--port {server.port + 1}", error)
    assert re.search(r"--host 192\.0\.2\.1 is no address of this machine.*127\.0\.0\.1", refused(
        capsys, "app", "--host", "192.0.2.1", "--port", server.port
    ))  # fmt: skip


def half_an_upload(server: Server) -> None:
    """What a browser sends of a file before its window is closed."""
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        part = b'--x\r\nContent-Disposition: form-data; name="files"; filename="half.mp4"\r\n\r\n' + bytes(100_000)
        head = f"POST /gradio_api/upload HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Length: 1000000\r\n"
        connection.sendall(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n".encode() + part)
        while not any(file.parent.name == "uploads" for file in server.files()):
            time.sleep(0.05)


def test_ctrl_c_ends_it_and_nothing_is_left(server):
    half_an_upload(server)
    assert all("cmpl-zoo-app-" in str(file) for file in server.files())
    status, messages = server.end()
    assert status == 130
    assert messages == "cmpl-zoo: stopped\n"
    assert server.files() == []
    assert server.recorder.asked == [], "nothing is asked of other hosts"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))


# The Space

COLORS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}


def front_matter() -> dict:
    _, block, _ = (SPACE / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(block)


def test_the_space_has_the_metadata_that_hugging_face_asks_for():
    """https://huggingface.co/docs/hub/spaces-config-reference"""
    told = front_matter()
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    assert told["title"] and told["sdk"] == "gradio" and (SPACE / told["app_file"]).is_file()
    assert {told["colorFrom"], told["colorTo"]} <= COLORS
    assert not told["emoji"].isascii() and len(told["emoji"]) <= 2
    assert told["license"] == project["license"].lower()
    assert 0 < len(told["short_description"]) <= 60
    assert told["models"] == []  # none of the Hub
    [gradios] = project["optional-dependencies"]["app"]
    assert told["sdk_version"] in SpecifierSet(gradios.removeprefix("gradio"))
    assert told["python_version"] in SpecifierSet(project["requires-python"])
    assert (SPACE / "requirements.txt").read_text().split() == project["dependencies"]


def test_the_space_builds_the_page(examples):
    app = runpy.run_path(str(SPACE / "app.py"))
    page = build_page(load_networks(app["MODELS"]), {"walk": examples[0]})
    assert any(function.api_name == "look" for function in page.fns.values())
    assert app["serve"] is serve
