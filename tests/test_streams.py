"""Live video: real streams over loopback, through the library and the command."""

import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from made_videos import encode, noise, start, turn

import cmpl_zoo
from cmpl_zoo.prediction import streams
from cmpl_zoo.prediction.streams import predict_stream, without_password
from cmpl_zoo.video import VideoError, crop_views, normalize, read_frames, resolve_clip_config
from cmpl_zoo_cli.main import main

DEMO = "r3d50_eighth.cmpl_demo"  # clips of 8 frames, 1/8 s apart: windows of a second
FPS = 25  # of `encode`


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight seconds as MPEG-TS, which can be sent as it is."""
    return encode(tmp_path_factory.mktemp("film") / "film.ts", 8 * FPS, bf="0", g="25")


@contextmanager
def broadcast(film: Path, seconds: float, cut: bool = False) -> Iterator[str]:
    """The address of a server that sends a film in so many seconds, and does not say how long it is."""
    content = film.read_bytes()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            if cut:  # it promises more than it sends
                self.send_header("Content-Length", str(2 * len(content)))
            else:
                self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            with suppress(OSError):  # the reader has gone
                for number in range(101):
                    size = len(content) // 100 + 1
                    part = content[number * size : (number + 1) * size]
                    self.wfile.write(part if cut else b"%x\r\n%s\r\n" % (len(part), part))
                    time.sleep(seconds / 100)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://someone:secret@127.0.0.1:{server.server_port}/live"
    finally:
        server.shutdown()
        server.server_close()


def expected(network: torch.nn.Module, film: Path, start: float) -> dict[str, float]:
    """What a network makes of the clip that begins at a time, whose frames are the last shown by each of its times."""
    config = resolve_clip_config(network)
    step = config["stride"] / config["fps"] if "fps" in config else config["stride"] / FPS
    indices = [int((start + i * step) * FPS + 1e-6) for i in range(config["frames"])]
    frames = read_frames(film, indices).permute(0, 3, 1, 2)
    short_side = round(max(config["size"]) / config["crop_pct"])
    views = crop_views(frames, config["size"], short_side, config["crops"]).transpose(1, 2)
    with torch.inference_mode():
        probabilities = network(normalize(views, config["mean"], config["std"])).softmax(1).mean(0)
    return dict(zip(network.pretrained_cfg["label_names"], probabilities.tolist(), strict=True))


def test_each_window_of_a_stream_is_predicted(film: Path) -> None:
    network = cmpl_zoo.create_model(DEMO, pretrained=True).eval()
    with broadcast(film, seconds=4) as address:
        windows = list(predict_stream(network, address, topk=99))
    assert 3 <= len(windows) <= 8
    for window in windows:
        assert window.start == pytest.approx(round(window.start), abs=1e-3) and window.end - window.start == 1
        assert dict(window.classes) == pytest.approx(expected(network, film, window.start), abs=1e-4)
        assert window.classes == sorted(window.classes, key=lambda pair: -pair[1])
    assert [window.start for window in windows] == sorted({window.start for window in windows})
    assert len({window.classes[0][1] for window in windows}) > 1, "the film changes"


def test_models_of_other_clips_vote_at_the_center_of_a_window(film: Path) -> None:
    one = cmpl_zoo.create_model(DEMO, pretrained=True).eval()
    clip = {"frames": 4, "stride": 5, "fps": None, "crops": 3}
    other = cmpl_zoo.create_model(DEMO, pretrained=True, clip=clip).eval()
    with broadcast(film, seconds=4) as address:
        windows = list(predict_stream([one, other], address, topk=99))
    assert windows
    for window in windows:
        first, second = expected(one, film, window.start), expected(other, film, window.start + 0.1)  # 0.8 s of 1 s
        mean = {name: (first[name] + second[name]) / 2 for name in first}
        assert dict(window.classes) == pytest.approx(mean, abs=1e-4)


@pytest.mark.slow
def test_models_that_are_slower_than_the_stream_leave_windows_out(film: Path) -> None:
    network = cmpl_zoo.create_model(DEMO, pretrained=True).eval()
    network.register_forward_hook(lambda *_: time.sleep(1.5))
    with broadcast(film, seconds=2) as address, pytest.warns(UserWarning, match="live: .*slower.*left out") as told:
        windows = list(predict_stream(network, address, topk=99))
    assert len(told) == 1 and 1 <= len(windows) < 8
    for window in windows:
        assert dict(window.classes) == pytest.approx(expected(network, film, window.start), abs=1e-4)


def test_the_command_prints_a_line_a_window_until_the_stream_ends(
    film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with broadcast(film, seconds=4) as address:
        assert main(["predict", DEMO, "--with", DEMO, address, "--device", "cpu", "--top-k", "2"]) == 0
        out, err = capsys.readouterr()
        file = tmp_path / "p.csv"
        assert main(["predict", DEMO, address, "--device", "cpu", "--csv", str(file)]) == 0
    lines = out.splitlines()
    assert len(lines) >= 3 and "secret" not in out + err
    assert all(re.fullmatch(r"0:00:0[0-7]\.0( +\d+\.\d%  \w+){2}", line) for line in lines), out
    rows = file.read_text().splitlines()[1:]
    assert rows and "secret" not in file.read_text()
    assert all(re.match(r'"http://127\.0\.0\.1:\d+/live#t=\d,\d",\w+,', row) for row in rows), rows


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [8, 20, 60, 60, 60])  # the slower, the more frames come while Python ends
def test_ctrl_c_ends_it(film: Path, seconds: float) -> None:
    with broadcast(film, seconds) as address:
        process = start("predict", DEMO, address, "--device", "cpu")
        assert process.stdout and process.stdout.readline().startswith("0:00:00.0")
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 130 and error == "cmpl-zoo: stopped\n"


@pytest.mark.slow
def test_ctrl_c_ends_it_where_nothing_comes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it accepts, and says nothing
        process = start("predict", DEMO, f"tcp://127.0.0.1:{silent.getsockname()[1]}", "--device", "cpu")
        silent.accept()
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 130 and error == "cmpl-zoo: stopped\n"


@pytest.mark.parametrize("protocol", ["tcp", "http", "rtsp"])
def test_a_stream_that_says_nothing_is_given_up(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "TIMEOUT", 2.0)
    network = cmpl_zoo.create_model(DEMO, pretrained=True).eval()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"{protocol}://me:secret@127.0.0.1:{silent.getsockname()[1]}"
        shown = address.replace("me:secret@", "")
        with pytest.raises(VideoError, match=f"^{shown}: nothing came for 2 s; check that it sends$"):
            list(predict_stream(network, address))


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://127.0.0.1:9/live", r"http://127\.0\.0\.1:9/live: cannot be opened: Connection refused; check"),
        ("rtsp://me:secret@127.0.0.1:9/live", r"rtsp://127\.0\.0\.1:9/live: cannot be opened"),
        ("/dev/video77", r"/dev/video77: cannot be opened: No such file.*camera"),
    ],
)  # fmt: skip
def test_what_cannot_be_opened_is_named(
    address: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", DEMO, address, "--csv", str(tmp_path / "p.csv")]) == 1
    error = capsys.readouterr().err
    assert re.fullmatch(rf"cmpl-zoo: {message}.*\n", error) and "secret" not in error
    assert not list(tmp_path.iterdir())


def test_a_stream_that_breaks_off_is_named_and_keeps_what_it_gave(
    film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "p.jsonl"
    with broadcast(film, seconds=3, cut=True) as address:
        assert main(["predict", DEMO, address, "--device", "cpu", "--json", str(file)]) == 1
    assert re.fullmatch(r"cmpl-zoo: http://127.*/live: the stream broke off: .*\n", capsys.readouterr().err)
    assert file.read_text().count("\n") >= 3


def test_a_file_that_a_server_sends_from_its_start_alone_is_to_be_downloaded(tmp_path: Path) -> None:
    """Its index is at the end."""
    noise(tmp_path / "v.mp4", 20)
    network = cmpl_zoo.create_model(DEMO, pretrained=True).eval()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(VideoError, match=r"v\.mp4: .*download it and predict the file$"):
            list(predict_stream(network, f"http://127.0.0.1:{server.server_port}/v.mp4"))
        server.shutdown()


def test_what_is_no_video_is_named(tmp_path: Path) -> None:
    page = tmp_path / "page.ts"
    page.write_bytes(b"<html>nothing here</html>" * 1000)
    network = cmpl_zoo.create_model(DEMO, pretrained=True).eval()
    with broadcast(page, seconds=0.1) as address, pytest.raises(VideoError, match=r"live: cannot be opened"):
        list(predict_stream(network, address))


def test_a_turned_video_is_shown_upright_as_from_disk(film: Path, tmp_path: Path) -> None:
    """As a phone films: the frames lie on their side, and a note says how to turn them."""
    turned = encode(tmp_path / "turned.mp4", 8 * FPS, bf="0", g="25", movflags="faststart")
    turn(turned, 1)
    network = cmpl_zoo.create_model(DEMO, pretrained=True).eval()
    with broadcast(turned, seconds=4) as address:
        windows = list(predict_stream(network, address, topk=99))
    assert windows
    for window in windows:
        assert dict(window.classes) == pytest.approx(expected(network, turned, window.start), abs=1e-4)
        assert dict(window.classes) != pytest.approx(expected(network, film, window.start), abs=1e-2)


def test_a_stream_shorter_than_a_window_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = encode(tmp_path / "short.ts", 10)
    with broadcast(short, seconds=0.1) as address:
        assert main(["predict", DEMO, address, "--device", "cpu"]) == 1
    assert re.search(r"live: ended after 0\.4 s, before a clip of 1\.0 s; download it", capsys.readouterr().err)


def test_a_password_is_not_shown() -> None:
    for address, shown in {
        "rtsp://a:b@host/x@y": "rtsp://host/x@y",
        "rtsp://a:b@c@host/x": "rtsp://host/x",
        "rtsp://a:b/c@host/x": "rtsp://host/x",
        "rtsp://host/user=a&password=b": "rtsp://host/user=a&password=***",
        "http://host/live?user=a&pwd=b&size=3": "http://host/live?user=a&pwd=***&size=3",
        "http://host:80/a@b?monkey=1": "http://host:80/a@b?monkey=1",
        "http://host/live?apikey=a&access_token=b": "http://host/live?apikey=***&access_token=***",
        "/dev/video0": "/dev/video0",
    }.items():
        assert without_password(address) == shown
