"""The page in gradio, and its server."""

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # gradio looks at it when it is imported

import errno
import logging
import signal
import socket
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from time import time
from typing import Any

import gradio as gr
from starlette.requests import ClientDisconnect

from cmpl_zoo.app import html
from cmpl_zoo.app.examples import render_examples
from cmpl_zoo.app.networks import Network, load_networks
from cmpl_zoo.app.results import MAX_MEGABYTES, MAX_SECONDS, Result, look_at
from cmpl_zoo.video.errors import VideoError

VIDEOS_AT_A_TIME = 4  # further ones wait, and their users see their place; our choice
MINUTES_KEPT = 30  # that a video stays on the server; our choice
CLASSES_SHOWN = 5
FONT = ["system-ui", "sans-serif"]  # of the reader's system; the fonts of gradio's themes are of other hosts
TITLE = "What happens in this video?"
HINT = (
    f"Drop a video, or record one, of up to {MAX_SECONDS // 60} minutes and {MAX_MEGABYTES} MB. It is deleted from the "
    f"server after {MINUTES_KEPT} minutes."
)


def build_page(networks: Mapping[str, Sequence[Network]], examples: Mapping[str, Path]) -> gr.Blocks:
    """The page.

    Args:
        networks: for each model that it offers, one network or two side by side.
        examples: files of videos by what they show.
    """

    def look(video: str | None, model: str) -> Iterator[list[Any]]:
        yield from _answers(networks[model], video)

    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(60, 60 * MINUTES_KEPT)) as page:
        gr.Markdown(f"# {TITLE}\n{HINT}")
        with gr.Row():
            with gr.Column():
                video = gr.Video(
                    label="Video",
                    height=320,
                    elem_classes="cz-video",
                    # The camera without the microphone: sound is of no use, and some computers have none.
                    webcam_options=gr.WebcamOptions(
                        mirror=False, constraints={"video": {"width": {"ideal": 640}}, "audio": False}
                    ),
                )
                model = gr.Dropdown(list(networks), value=next(iter(networks)), label="Model")
                gr.Examples(
                    [[str(file)] for file in examples.values()],
                    [video],
                    example_labels=list(examples),
                    label="Examples, rendered",
                )
            with gr.Column():
                reading = gr.HTML()
                with gr.Row():
                    bars = [gr.Label(visible=False, num_top_classes=CLASSES_SHOWN, min_width=220) for _ in range(2)]
        timeline = gr.HTML()
        frames = gr.HTML()
        gr.on(
            [video.change, model.change],
            look,
            [video, model],
            [reading, *bars, timeline, frames],
            api_name="look",
            trigger_mode="always_last",
            concurrency_limit=VIDEOS_AT_A_TIME,
            show_progress="minimal",
        )
    return page


def _answers(networks: Sequence[Network], video: str | None) -> Iterator[list[Any]]:
    """What the page shows of a video, as it becomes known: the reading, two networks' classes, timeline and frames."""
    nothing = [gr.Label(visible=False), gr.Label(visible=False), "", ""]
    if video is None:
        yield ["", *nothing]
        return
    try:
        for result in look_at(networks, video):
            yield [html.reading_html(result), *_bars(result), html.timelines_html(result), html.frames_html(result)]
    except (VideoError, RuntimeError, OSError) as error:
        yield [html.error_html(str(error)), *nothing]


def _bars(result: Result) -> list[gr.Label]:
    """The bars of one network or two."""
    shown = [
        gr.Label(dict(classes), label=name, visible=True)
        for name, classes in zip(result.networks, result.classes, strict=True)
    ]
    return [*shown, gr.Label(visible=False)][:2]


def serve(models: Iterable[str], host: str = "127.0.0.1", port: int = 7860) -> None:
    """Serve the page until Ctrl-C or SIGTERM.

    Uploads lie in a folder of the system's temporary one, which is deleted at the end.

    Args:
        models: what the page offers, see `load_networks`.
        host: the address of this machine to listen at; 0.0.0.0 for all.
        port: to listen at.

    Raises:
        OSError: the port is in use, or cannot be had.
        ValueError, RuntimeError: as `load_networks`.
        KeyboardInterrupt: at the end.
    """
    check_port(host, port)
    address = f"[{host}]" if ":" in host else host  # as URLs have IPv6
    networks = load_networks(models)
    with temporary_folder() as folder:
        page = build_page(networks, render_examples(folder / "examples"))
        page.launch(
            server_name=address,
            server_port=port,
            share=False,
            max_file_size=f"{MAX_MEGABYTES}mb",
            theme=gr.themes.Default(font=FONT, font_mono=["ui-monospace", "monospace"]),
            css=html.CSS,
            footer_links=["gradio", "settings"],
            run_history=False,
            ssr_mode=False,
            prevent_thread_lock=True,
            quiet=True,
        )
        logging.getLogger("uvicorn.error").addFilter(_is_fault)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        print(f"http://{'127.0.0.1' if host == '0.0.0.0' else address}:{port}  Ctrl-C ends it")
        try:
            Event().wait()
        finally:
            page.close(verbose=False)


def _is_fault(record: logging.LogRecord) -> bool:
    """Whether a message is of a fault of ours: no traceback is needed for a browser that leaves half-way."""
    return not (record.exc_info and isinstance(record.exc_info[1], ClientDisconnect))


def check_port(host: str, port: int) -> None:
    """Raise OSError where the page cannot be served there."""
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise OSError(
                f"port {port} of {host} is in use, perhaps by this page in another terminal; end that, or give another "
                f"port, as --port {port + 1}"
            ) from error
        if error.errno == errno.EACCES:
            raise OSError(f"--port {port} needs the rights of the administrator; give one from 1024") from error
        raise OSError(
            f"--host {host} is no address of this machine ({error.strerror}); give 127.0.0.1, or 0.0.0.0 for all"
        ) from error


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for the temporary files of the page; what is in it is deleted at the end.

    Gradio forgets an upload that the browser breaks off: here it is deleted once nothing was written to it for
    `MINUTES_KEPT`.
    """
    with tempfile.TemporaryDirectory(prefix="cmpl-zoo-app-") as name:
        uploads = Path(name, "uploads")
        uploads.mkdir()
        os.environ["GRADIO_TEMP_DIR"] = str(uploads)
        stopped = Event()
        Thread(target=_delete_broken_off, args=(uploads, stopped), daemon=True).start()
        try:
            yield Path(name)
        finally:
            stopped.set()


def _delete_broken_off(uploads: Path, stopped: Event) -> None:
    while not stopped.wait(60):
        delete_broken_off(uploads, 60 * MINUTES_KEPT)


def delete_broken_off(uploads: Path, seconds: float) -> None:
    """Delete uploads to which nothing was written for so long; those that came to an end have a folder of their own."""
    for file in uploads.iterdir():
        with suppress(FileNotFoundError):  # it has just come to its end
            if file.is_file() and time() - file.stat().st_mtime > seconds:
                file.unlink()
