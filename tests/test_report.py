"""Pages of videos and reports: what stands in them, and that they are one small file without any address."""

import json
import os
import re
import resource
import shutil
from contextlib import suppress
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from made_videos import encode, refused
from training import CLASSES, command, options, read_rows, run, write_rows

import cmpl_zoo
from cmpl_zoo.datasets.lists import Videos
from cmpl_zoo.distributed import Ranks
from cmpl_zoo.evaluation import Evaluation, scores_of
from cmpl_zoo.report import sections
from cmpl_zoo.report.contact_sheet import MOST_TILES, Tile, write_contact_sheet
from cmpl_zoo.report.evaluation_report import write_evaluation
from cmpl_zoo.report.intervals import wilson
from cmpl_zoo.report.pages import LARGEST, with_options
from cmpl_zoo.report.pictures import clip_frames, data_uri, frames_of, strip
from cmpl_zoo.report.predictions import least_sure, most_confused, surest_mistakes, write_predictions
from cmpl_zoo.report.pseudo_labels import pseudo_labels
from cmpl_zoo.report.sections import principal_components
from cmpl_zoo.training.lists import load_lists, training_steps
from cmpl_zoo.video.video import read_frames
from cmpl_zoo_cli.main import main
from cmpl_zoo_cli.train_parser import parse_config

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """A page: its text, its pictures and its headings; fails where elements are not closed in order."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.pieces: list[str] = []
        assert file.stat().st_size < LARGEST
        self.html = file.read_text(encoding="utf-8")
        self.feed(self.html)
        self.close()
        assert not self.open
        assert len(self.ids) == len(set(self.ids))
        for image in self.images:
            assert image["alt"] and image["src"].startswith("data:image/jpeg;base64,")
        assert all((link.startswith("#") and link[1:] in self.ids) or link == "data:," for link in self.links)
        assert not re.search(r"https?:|//\w|@import|<script", re.sub(r"base64,[^\"]*", "", self.html))
        self.text = " ".join(" ".join(self.pieces).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes[name] for name in ("href", "xlink:href") if name in attributes]
        if tag == "img":
            self.images.append(attributes)
        if tag == "svg":
            assert attributes["role"] == "img" and attributes["aria-label"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.pieces.append(data)


def test_frames_are_spread_over_a_video_or_a_segment_of_it(tmp_path: Path) -> None:
    file = encode(tmp_path / "a.mp4", frames=40, width=64, height=48)  # 25 a second
    for path, indices in ((f"{file}", [5, 15, 25, 35]), (f"{file}#t=0.8,1.6", [22, 27, 32, 37])):
        expected = read_frames(file, indices).numpy()
        assert np.array_equal(np.stack([np.asarray(image) for image in frames_of(path, 4, 48)]), expected)
    assert [image.size for image in frames_of(file, 2, 24)] == [(32, 24)] * 2
    wide = encode(tmp_path / "wide.mp4", width=256, height=32)
    assert [image.size for image in frames_of(wide, 1, 24)] == [(48, 6)]
    assert strip(frames_of(file, 3, 24)).size == (3 * 32 + 2 * 2, 24)


def test_look_shows_a_list_with_its_labels_and_what_cannot_be_read(videos, tmp_path, monkeypatch, capsys) -> None:
    rows = read_rows(videos / "videos.csv")[::6]
    rows[1]["label"] = ""
    (tmp_path / "gone").mkdir()
    write_rows(tmp_path / "some.csv", [*rows, {"path": "gone/<b>.mp4", "label": "run"}])
    monkeypatch.chdir(tmp_path)
    assert main(["look", "some.csv", "--root", str(videos)]) == 1
    assert re.fullmatch(r"some\.html +7 videos, 1 unreadable\n", capsys.readouterr().out)
    page = Page(tmp_path / "some.html")
    assert len(page.images) == len(rows) == 6
    titles = [row["label"] or "no label" for row in rows]
    assert re.findall(r"<strong>(.*?)</strong>", page.html) == [*titles, "run"]
    assert all(row["path"] in page.text for row in rows) and "gone/<b>.mp4" in page.text
    assert re.search(r"cannot be read: .*no such file", page.text, re.I)

    assert main(["look", "some.csv", "--root", str(videos)]) == 1  # replaces its own page
    (tmp_path / "some.html").write_text("<p>mine</p>")
    assert main(["look", "some.csv", "--root", str(videos)]) == 2
    assert re.search(r"some\.html: .*no page of cmpl-zoo; give -o", capsys.readouterr().err)
    assert (tmp_path / "some.html").read_text() == "<p>mine</p>"
    assert main(["look", str(videos / "run"), "-o", "deep/er/run.html"]) == 0
    assert len(Page(tmp_path / "deep" / "er" / "run.html").images) == 12


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["no.csv"], r"none of the 1 videos .*no\.csv: .*no such file"),
        (["{videos}", "-o", "{videos}"], r"is a folder; give -o the name of a file"),
        (["{videos}", "-o", "{videos}/videos.csv/a.html"], r"videos\.csv/a\.html: cannot be written"),
        (["{videos}/run/0*.mp5"], r"no file is called like this"),
    ],
)
def test_look_says_what_is_wrong(words, message, videos, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["look", *(word.format(videos=videos) for word in words)])
    assert re.search(message, capsys.readouterr().err, re.I)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_named_and_leaves_no_page(videos, tmp_path, capsys) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        error = refused(capsys, "look", videos / "videos.csv", "--root", videos, "-o", tmp_path / "page.html")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert re.search(rf"{tmp_path}/page\.html: File too large; .*another path", error)
    assert list(tmp_path.iterdir()) == []


def test_a_contact_sheet_stays_small_however_many_videos(tmp_path: Path) -> None:
    """Noise, which JPEG can hardly make smaller, under names that HTML makes longer."""
    np.save(tmp_path / "noise.npy", np.random.default_rng(0).integers(0, 256, (4, 45, 80, 3), dtype=np.uint8))
    tile = Tile(str(tmp_path / "noise.npy"), "<&>" * 100, ["&" * 300, "x"])
    write_contact_sheet([tile] * (MOST_TILES + 7), tmp_path / "page.html", "Noise")
    page = Page(tmp_path / "page.html")
    assert len(page.images) == MOST_TILES
    assert f"room for {MOST_TILES} of the {MOST_TILES + 7} videos" in page.text
    assert int(page.images[0]["height"]) < 60


def test_a_name_that_is_no_text_is_spelled_out(tmp_path: Path) -> None:
    file = encode(tmp_path / "a.mp4")
    os.rename(file, os.fsencode(tmp_path) + b"/\xff.mp4")
    [name] = os.listdir(tmp_path)
    assert write_contact_sheet([Tile(str(tmp_path / name), name)], tmp_path / "page.html", "Odd") == 0
    assert r"\udcff.mp4" in Page(tmp_path / "page.html").text


def test_the_interval_is_wilsons() -> None:
    """45 of 60 by hand: center (0.75 + 3.8415 / 120) / (1 + 3.8415 / 60) = 0.7350, and 0.1073 on both sides."""
    assert wilson(45, 60) == pytest.approx((62.77, 84.22), abs=0.01)
    assert wilson(0, 10)[0] == 0 and wilson(10, 10)[1] == pytest.approx(100)


def hand_made() -> tuple[Videos, Evaluation]:
    """Seven videos of three classes, of which one cannot be read, and what a network says of them."""
    probabilities = np.array(
        [[0.9, 0.1, 0], [0.2, 0.7, 0.1], [0.4, 0.35, 0.25], [0, 0.96, 0.04], [0.5, 0.3, 0.2], [np.nan] * 3, [0, 0, 1]],
        np.float32,
    )
    videos = Videos([f"v/{number}.mp4" for number in range(7)], np.array([0, 0, 1, 2, 0, 1, 2]))
    right_views = {1: np.array([1.0, 0, 0, 0, 1, 0, 1])}
    scores = scores_of(
        probabilities, right_views, torch.from_numpy(videos.ids), ["a", "b", "c"], {"clips": 1, "crops": 1}
    )
    return videos, Evaluation(scores, probabilities, {5: "v/5.mp4: gone"}, [], np.empty((0, 0)), np.empty(0, int))


def test_predictions_say_what_is_right_sure_and_unreadable(tmp_path: Path) -> None:
    videos, evaluation = hand_made()
    write_predictions(tmp_path / "p.csv", videos, ["a", "b", "c"], {"primary": evaluation, "auxiliary": evaluation})
    rows = read_rows(tmp_path / "p.csv")
    assert [row["path"] for row in rows] == list(videos.paths)
    assert [row["predicted"] for row in rows] == ["a", "b", "a", "b", "a", "", "c"]
    assert [row["right"] for row in rows] == ["yes", "no", "no", "no", "yes", "", "yes"]
    assert rows[3]["probability"] == "0.9600" and rows[3]["label_probability"] == "0.0400"
    assert rows[5]["error"] == "v/5.mp4: gone" and rows[5]["label"] == "b"
    assert all(row["auxiliary_predicted"] == row["predicted"] for row in rows)
    assert surest_mistakes(videos, evaluation, 2) == [3, 1]
    assert least_sure(evaluation, 3) == [2, 4, 1]
    assert evaluation.scores["confusion"] == [[2, 1, 0], [1, 0, 0], [0, 1, 1]]
    assert most_confused(evaluation.scores["confusion"], 9) == [(0, 1, 1), (1, 0, 1), (2, 1, 1)]


def test_the_map_keeps_the_directions_of_most_variance() -> None:
    """Points along (3, 4, 0) with some along (0, 0, 1): the first component is 5 times their place."""
    along, across = np.array([-3.0, -1, 0, 0, 4]), np.array([0.1, 0.1, 0.5, -0.8, 0.1])
    rows = np.outer(along, [3, 4, 0]) + np.outer(across, [0, 0, 1]) + 7
    for features in (rows, np.concatenate([rows, np.zeros((5, 9))], axis=1)):  # more rows or more columns
        points, explained = principal_components(features)
        assert points[:, 0] == pytest.approx(5 * along, abs=1e-6)
        assert np.abs(points[:, 1]) == pytest.approx(np.abs(across), abs=1e-6)
        assert explained == pytest.approx(1)


def test_pseudo_labels_that_collapse_are_told() -> None:
    """Of the last quarter, two log lines: 20 and 80 % of the clips, so that 0.2 x 100 + 0.8 x 25 = 40 % are right."""
    early = {"step": 2, "primary/mask": 0.5, "primary/pseudo_accuracy": 0.5, "primary/pseudo_classes": [0.5, 0.5]}
    late = [
        early | {"step": 7, "primary/mask": 0.2, "primary/pseudo_accuracy": 1.0, "primary/pseudo_classes": [0.0, 1.0]},
        early | {"step": 8, "primary/mask": 0.8, "primary/pseudo_accuracy": 0.25, "primary/pseudo_classes": [1.0, 0.0]},
    ]
    found = pseudo_labels([early] * 6 + late, ["yes", "no"], [0, 1, 1], 0.8)
    assert re.search(r"80 % .*primary.*'yes'.*nonsense", found["warnings"][0])
    assert re.search(r"learned from 50 % .* 40 % .*right", found["sentences"][0])
    assert found["rows"] == [
        ("yes", [pytest.approx(80)], pytest.approx(100 / 3)),
        ("no", [pytest.approx(20)], pytest.approx(200 / 3)),
    ]
    assert not pseudo_labels([early], ["yes", "no"], [0, 1, 1], 0.8)["warnings"]
    unknown = pseudo_labels([early | {"primary/pseudo_accuracy": None}], ["yes", "no"], [0, 1], 0.8)
    assert "right is not known" in unknown["sentences"][0] and "right" not in unknown["svg"]
    none = pseudo_labels([early | {"primary/mask": 0.0}], ["yes", "no"], [0, 1], 0.8)
    assert "no pseudo-label for the primary" in none["warnings"][0] and not none["rows"]
    assert pseudo_labels([{"step": 1, "loss": 2.0}], ["yes", "no"], [0, 1], 0.8) is None


def test_options_in_sentences_are_code_and_the_rest_is_text() -> None:
    made = with_options("'<b>': a longer --unlabeled-warmup, or --scheme none -- or not.")
    assert made == (
        "&#39;&lt;b&gt;&#39;: a longer <code>--unlabeled-warmup</code>, or <code>--scheme</code> none -- or not."
    )


def test_a_run_leaves_a_report(trained: Path, videos: Path, lists: Path) -> None:
    """Of the run that other tests share: six steps, two networks, nine videos to validate on."""
    page = Page(trained / "report.html")
    summary = json.loads((trained / "summary.json").read_text())
    assert "learned 3 classes from 9 labeled and 18 unlabeled videos" in page.text and "in 6 steps" in page.text
    scores = summary["validation"]["primary"]
    right = round(scores["video_top1"] * 9 / 100)
    low, high = wilson(right, 9)
    assert f"{right} of 9 videos" in page.text and f"95 % interval: {low:.1f} to {high:.1f} %" in page.text
    assert f"always naming the largest class ({scores['largest_class']:.1f} %)" in page.text
    headings = re.findall(r'<h2 id="(\w+)">', page.html)
    assert headings == ["accuracy", "next", "curves", "pseudo", "confusion", "classes", "videos", "views", "map",
                        "machine", "options"]  # fmt: skip
    for verb in ("predict", "suggest", "app", "evaluate", "train"):
        assert f"cmpl-zoo {verb} " in page.text
    cells = [int(cell or 0) for cell in re.findall(r'<td class="(?:right|wrong)"[^>]*>(\d*)</td>', page.html)]
    assert cells == [count for row in scores["confusion"] for count in row]

    rows = read_rows(trained / "predictions.csv")
    assert [row["path"] for row in rows] == [str(videos / row["path"]) for row in read_rows(lists / "val.csv")]
    assert sum(row["right"] == "yes" for row in rows) == right
    wrong = {f"{row['label']} → {row['predicted']}, {100 * float(row['probability']):.0f} %": row["path"]
             for row in rows if row["right"] == "no"}  # fmt: skip
    mistakes = page.html.partition("The surest mistakes")[2].partition("The least sure")[0]
    assert len(wrong) and all(title in mistakes and path in mistakes for title, path in wrong.items())

    # The views of the first step: two labeled clips, and two views of each of four unlabeled ones.
    config = parse_config(options(lists, videos, trained, "--steps", "6")[1:])
    steps = training_steps(replace(config, unlabeled_batch=4, labeled_batch=2), load_lists(config, Ranks()), Ranks())
    seen = page.html.partition('<h2 id="views">')[2].partition("<h2 ")[0]
    assert re.findall(r"labeled: (\w+)<", seen) == [CLASSES[i] for i in steps[0]["labels"].tolist()]
    strong = data_uri(strip(clip_frames(steps[0]["strong"][0][3], 8, 80)), 75)
    assert strong in seen and seen.count("<img") == 10


def test_a_report_that_fails_does_not_lose_the_run(trained, videos, lists, tmp_path) -> None:
    """A finished run is continued: its report is written again, and where that fails, a sentence says so."""
    shutil.copytree(trained, tmp_path / "run")
    report = tmp_path / "run" / "report.html"
    report.unlink()
    report.mkdir()  # nothing can take its place
    again = command(lists, videos, tmp_path / "run", "--steps", "6", "--val-every", "4", "--resume",
                    "--dataset", "mocap13", "--license", "cc-by-nc-4.0")  # fmt: skip
    done = run(again)
    assert re.search(r"warning: .*report\.html cannot be written \(.*--resume", done.stderr)
    assert "Traceback" not in done.stderr and done.stdout.splitlines()[-1] == str(tmp_path / "run")
    report.rmdir()
    done = run(again)
    assert "warning" not in done.stderr and f"report: {report}" in done.stdout
    assert Page(report).images


def test_a_run_without_validation_has_a_report_of_what_there_is(videos, lists, tmp_path) -> None:
    alone = ["--val", "null", "--scheme", "none", "--auxiliary", "null", "--unlabeled", "null", "--steps", "2"]
    run(command(lists, videos, tmp_path / "run", *alone))
    page = Page(tmp_path / "run" / "report.html")
    assert re.findall(r'<h2 id="(\w+)">', page.html) == ["next", "curves", "views", "machine", "options"]
    assert "from 9 labeled videos from the labels alone" in page.text and "nobody knows how accurate" in page.text
    assert not (tmp_path / "run" / "predictions.csv").exists()


def test_evaluate_leaves_a_folder_that_is_replaced(trained, videos, lists, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    rows = read_rows(lists / "val.csv")
    write_rows(tmp_path / "test list.csv", [*rows, {"path": "gone.mp4", "label": "run"}])
    words = ["evaluate", str(trained / "primary"), "--data", "test list.csv", "--root", str(videos), "--workers", "0",
             "--device", "cpu"]  # fmt: skip
    for _ in range(2):
        assert main(words) == 0
        folder = Path("evaluations", f"{trained.name}-primary-on-test-list")
        assert capsys.readouterr().out.splitlines()[-1] == str(folder / "report.html")
        assert sorted(os.listdir(folder)) == ["predictions.csv", "report.html", "scores.json"]
    scores = json.loads((folder / "scores.json").read_text())
    assert (scores["videos"], scores["unreadable"], scores["data"]) == (10, 1, "test list.csv")
    page = Page(folder / "report.html")
    assert "1 of the videos cannot be read and count as wrong" in page.text and " of 10 videos" in page.text
    assert "recordings:" not in page.text
    assert "evaluate" in page.text and "--data 'test list.csv'" in page.text
    written = read_rows(folder / "predictions.csv")
    assert re.search(r"no such file", written[-1]["error"], re.I) and not written[-1]["predicted"]
    # Each video alone, as predict says it.
    for row in written[:3]:
        [(name, probability)] = cmpl_zoo.predict(cmpl_zoo.create_model(trained / "primary").eval(), row["path"], topk=1)
        assert (row["predicted"], float(row["probability"])) == (name, pytest.approx(probability, abs=1e-4))
    write_rows(tmp_path / "days.csv", [row | {"recording": str(number % 4)} for number, row in enumerate(rows)])
    assert main([*words[:2], "--data", "days.csv", *words[4:]]) == 0
    days = Page(Path("evaluations", f"{trained.name}-primary-on-days", "report.html"))
    assert "The 9 videos are of 4 recordings: on other recordings the accuracy may be farther off" in days.text
    capsys.readouterr()
    (tmp_path / "other" / "sit").mkdir(parents=True)
    encode(tmp_path / "other" / "sit" / "a.mp4")
    for more, message in (
        (["-o", "test list.csv"], r"--output test list\.csv/report\.html cannot be written"),
        (["--data", str(tmp_path / "other")], r"other: the folder 'sit' is none of the 3 classes \(run, walk, wave"),
        (["--data", str(tmp_path / "other" / "sit")], r"sit: none of its videos is in a class folder"),
        (["-o", "a", "--json", "b.json"], r"--json: not allowed with argument -o"),
    ):
        with suppress(SystemExit):
            assert main([*words, *more]) == 2
        assert re.search(message, capsys.readouterr().err)


def test_many_classes_are_a_table_of_pairs() -> None:
    confusion = np.diag(np.full(40, 3))
    confusion[7, 9] = 2
    found = sections.confusion({"confusion": confusion.tolist()}, [f"class {number}" for number in range(40)])
    assert found == {"pairs": [("class 7", "class 9", 2)]}


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (360, "dark"), (1280, "light")])
def test_a_browser_shows_a_report_without_errors_and_without_scrolling_sideways(trained, width, scheme, tmp_path):
    webdriver = pytest.importorskip("selenium.webdriver")
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (browser and driver):
        pytest.skip("there is no chromium with its chromedriver")
    settings = webdriver.ChromeOptions()
    settings.binary_location = browser
    for word in ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
                 "--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path}"):  # fmt: skip
        settings.add_argument(word)
    settings.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with webdriver.Chrome(settings, webdriver.ChromeService(driver)) as chrome:
        preference = [{"name": "prefers-color-scheme", "value": scheme}]
        chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": preference})
        screen = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        chrome.get((trained / "report.html").as_uri())
        chrome.execute_script("document.querySelector('details').open = true")
        assert chrome.get_log("browser") == []
        sideways = "const page = document.documentElement; return page.scrollWidth - page.clientWidth"
        assert chrome.execute_script(sideways) == 0
        broken = "return [...document.images].filter(image => !image.complete || !image.naturalWidth).length"
        assert chrome.execute_script(broken) == 0 and chrome.execute_script("return document.images.length") > 10
        text, page = chrome.execute_script(
            "return [getComputedStyle(document.body).color, getComputedStyle(document.documentElement).backgroundColor]"
        )
        light = [sum(map(int, re.findall(r"\d+", color)[:3])) / 3 for color in (text, page)]
        assert (light[0] < 100 and light[1] > 200) if scheme == "light" else (light[0] > 200 and light[1] < 100)


def test_names_are_text_and_videos_may_have_gone(tmp_path: Path) -> None:
    videos, evaluation = hand_made()
    names = ["<b>a</b>", "b&amp;", "'\"c"]
    scores = evaluation.scores | {"per_class": dict.fromkeys(names, 50.0)}
    report = write_evaluation(
        tmp_path / "out", ["m<i>"], "l.csv", videos, names, replace(evaluation, scores=scores), ["cmpl-zoo"], {"a": "<"}
    )
    page = Page(report)
    assert not page.images and "<b>a</b> → b&amp;, 70 %" in page.text and "'\"c → b&amp;, 96 %" in page.text
    assert page.text.count("cannot be read: ") == 5  # three mistakes, and two right ones that are not sure
    assert "m<i> on l.csv" in page.text
