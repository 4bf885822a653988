"""The web page in a real browser, headless: Debian's packages chromium and chromium-driver."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from app_server import Server
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from cmpl_zoo.app.examples import SEVERAL, render_examples
from cmpl_zoo_cli.app import SHIPPED

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver (chromium-driver)"),
]
OPTIONS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("tmp"))
    yield started
    status, messages = started.end()
    assert (status, messages) == (130, "cmpl-zoo: stopped\n"), "it outlived all of this without an error"
    assert started.files() == [] and started.recorder.asked == []


@pytest.fixture
def browser(tmp_path) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in [*OPTIONS, f"--user-data-dir={tmp_path / 'profile'}"]:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    opened = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield opened
    opened.quit()


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> list[Path]:
    return list(render_examples(tmp_path_factory.mktemp("videos")).values())


def wait_for(browser: webdriver.Chrome, selector: str, text: str = "") -> None:
    """Until an element is there that has this text."""
    WebDriverWait(browser, 120).until(
        lambda _: any(text in element.text for element in browser.find_elements(By.CSS_SELECTOR, selector))
    )


def open_page(browser: webdriver.Chrome, server: Server, width: int) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(server.url)
    wait_for(browser, "input[type=file]")
    time.sleep(1)  # until the page listens to it


def upload(browser: webdriver.Chrome, file: Path) -> None:
    if removing := browser.find_elements(By.CSS_SELECTOR, "button[aria-label='Clear']"):
        removing[0].click()
        wait_for(browser, "input[type=file]")
        time.sleep(1)
    browser.find_element(By.CSS_SELECTOR, "input[type=file]").send_keys(str(file))


def hosts_asked(browser: webdriver.Chrome) -> set[str]:
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"]
    assert sent
    return {urlsplit(url).netloc for url in sent if urlsplit(url).scheme in ("http", "https", "ws", "wss")}


@pytest.mark.parametrize("width", [1280, 360])
def test_uploads_results_and_errors(browser, server, videos, tmp_path, width):
    open_page(browser, server, width)
    upload(browser, videos[0])
    wait_for(browser, ".cz-reading", "walk.mp4: 128 x 128 pixels")
    wait_for(browser, "[data-testid=label-output-value]", "walk")
    assert len(browser.find_elements(By.CSS_SELECTOR, ".cz-frames img")) == 16

    (notes := tmp_path / "notes.mp4").write_text("These are notes, not a video.\n")
    upload(browser, notes)
    wait_for(browser, ".cz-error", "notes.mp4: not a video, but text")
    assert not browser.find_elements(By.CSS_SELECTOR, ".cz-frames img")

    upload(browser, videos[-1])
    wait_for(browser, ".cz-rows", SEVERAL[-1])
    bouts = browser.find_elements(By.CSS_SELECTOR, ".cz-bout")
    assert len(bouts) == len(SEVERAL)
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    assert hosts_asked(browser) == {f"127.0.0.1:{server.port}"}


def test_an_example(browser, server):
    open_page(browser, server, 1280)
    [example] = [button for button in browser.find_elements(By.TAG_NAME, "button") if button.text == "circle arms fast"]
    example.click()
    wait_for(browser, ".cz-reading", "circle_arms_fast.mp4: 128 x 128 pixels")
    wait_for(browser, "[data-testid=label-output-value]", "circle_arms_fast")


def test_a_recording_of_the_camera(browser, server):
    """Chromium's own test picture, without a microphone."""
    open_page(browser, server, 1280)
    browser.find_element(By.CSS_SELECTOR, "button[aria-label='Capture from camera']").click()
    wait_for(browser, "button", "Click to Access Webcam")
    browser.find_element(By.CSS_SELECTOR, "[title='grant webcam access'] button").click()
    wait_for(browser, "button", "Record")
    record = browser.find_element(By.CSS_SELECTOR, ".capture-button")
    record.click()
    wait_for(browser, ".capture-button", "Stop")
    time.sleep(2)
    record.click()
    wait_for(browser, ".cz-reading", f"{SHIPPED} saw 2 clips of 8 frames")
    assert hosts_asked(browser) == {f"127.0.0.1:{server.port}"}
