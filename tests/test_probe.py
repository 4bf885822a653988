"""`cmpl-zoo probe`: the regression against scikit-learn's own, the model directory it makes, and what is refused."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from made_videos import refused
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold, StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from training import CLASSES, command, read_rows, run, weights, write_rows

import cmpl_zoo
from cmpl_zoo.features import Features, _write, read_features
from cmpl_zoo.linear_probe import _STRENGTHS, fit_probe, probe_accuracy
from cmpl_zoo.video.clips import load_clip, resolve_clip_config
from cmpl_zoo_cli.main import main

MODEL = "r3d50_eighth.cmpl_demo"


def made(file: Path, classes: int = 3, videos: int = 60, apart: float = 1.0, seed: int = 0, **changes: Any) -> Features:
    """Random features of unlike scales: every fourth channel tells classes apart. A `day` has three videos."""
    rng = np.random.default_rng(seed)
    ids = np.arange(videos) % classes
    x = rng.standard_normal((videos, 40))
    x[:, ::4] += apart * rng.standard_normal((classes, 10))[ids]
    x = 5 + x * 10.0 ** rng.integers(-2, 2, 40)
    x[:, 1], x[:, 2] = 0, 7  # channels that are constant
    source = {"model": MODEL, "weights": "w", "views": {}, "precision": "float32", "list": f"{file.stem}.csv",
              "list_digest": "d", "root": str(file.parent / file.stem)}  # fmt: skip
    features = Features(
        file, x.astype(np.float32), [f"{i}.mp4" for i in range(videos)], [f"c{i}" for i in ids],
        {"day": [f"day {i // 3}" for i in range(videos)]}, [], source,  # type: ignore[arg-type]
    )  # fmt: skip
    return replace(features, **changes)


def pipeline(strength: float) -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("group", [None, "day"])
def test_it_is_scikit_learns_regression(tmp_path: Path, classes: int, group: str | None) -> None:
    features = made(tmp_path / "f.npz", classes, 36, apart=0.4, seed=4)
    probe = fit_probe(features, group)
    x, y = features.features.astype(np.float64), np.array(features.labels)
    expected = pipeline(probe.strength).fit(x, y).decision_function(x)
    logits = x @ probe.weight.T + probe.bias
    if classes == 2:
        assert np.allclose(logits[:, 1] - logits[:, 0], expected, atol=1e-6)
    else:
        assert np.allclose(logits, expected, atol=1e-6)
    assert probe.classes == [f"c{i}" for i in range(classes)] and probe.videos == 36
    assert probe.largest_class == pytest.approx(100 / classes)

    # The same nested cross-validation by scikit-learn's search.
    splitter = (StratifiedGroupKFold if group else StratifiedKFold)(5, shuffle=True, random_state=0)
    groups = np.array(features.columns["day"]) if group else None
    accuracies, others = [], []
    for fitted, held_out in splitter.split(x, y, groups):
        grid = {"logisticregression__C": _STRENGTHS}
        search = GridSearchCV(pipeline(1), grid, scoring="neg_log_loss", cv=splitter)
        search.fit(x[fitted], y[fitted], groups=None if groups is None else groups[fitted])
        accuracies.append(100 * np.mean(search.predict(x[held_out]) == y[held_out]))
        others.append(search.best_params_["logisticregression__C"])
    assert probe.accuracies == pytest.approx(accuracies)
    assert len(accuracies) == 5 and set(others) != {probe.strength}
    assert f"top-1 {np.mean(accuracies):.1f} ± {np.std(accuracies, ddof=1):.1f} % over 5 folds" in str(probe)


def test_its_logits_are_the_same_in_float32(tmp_path: Path) -> None:
    """Also where a channel hardly varies, whose weight would be large, beside what varies in float32 by rounding."""
    features = made(tmp_path / "f.npz", 2)
    features.features[:, 3] = 5 + 1e-6 * np.arange(60)
    probe = fit_probe(features)
    single = features.features @ probe.weight.T.astype(np.float32) + probe.bias.astype(np.float32)
    assert np.allclose(single, features.features.astype(np.float64) @ probe.weight.T + probe.bias, atol=1e-4)


def test_groups_show_what_scenes_alone_explain(tmp_path: Path) -> None:
    """Classes that differ by nothing but the scenes they were filmed in."""
    features = made(tmp_path / "f.npz", 2, 120, apart=0)
    scene = np.arange(120) // 10
    rng = np.random.default_rng(1)
    look = rng.standard_normal((12, 40))[scene] * 8 + rng.standard_normal((120, 40))
    labels = [f"c{number}" for number in rng.permutation(12) % 2]
    features = replace(
        features,
        features=look.astype(np.float32),
        labels=[labels[number] for number in scene],
        columns={"day": [str(number) for number in scene]},
    )
    assert np.mean(fit_probe(features).accuracies) > 95
    assert np.mean(fit_probe(features, "day").accuracies) < 75


@pytest.mark.parametrize(
    ("names", "columns", "expected"),
    [
        ("{}.mp4", {}, ""),
        (
            "walk_{}.mp4",
            {},
            r"^12 of 12 videos have the name of another, .* as walk_0\.mp4 and walk_1\.mp4\).*column",
        ),
        ("walk_{}.mp4", {"day": ["a", "b"] * 6}, r"looks better than it is: give --group day$"),
        ("walk_{}.mp4", {"recording": ["a", "b"] * 6}, ""),
        ("{}.mp4", {"day": ["1", "2", "3", "", "", ""] * 2}, r"^6 of 12 labeled videos have nothing in the column day"),
        ("walk.mp4#t={},9", {}, ""),  # segments of a file are in one fold
    ],
)
def test_videos_that_may_be_of_one_recording_are_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], names: str, columns: dict[str, list[str]], expected: str
) -> None:
    features = made(tmp_path / "f.npz", 2, 12, apart=20)
    letters = "abcdefghijkl"
    paths = [names.format(letters[number] if names == "{}.mp4" else number) for number in range(12)]
    _write(replace(features, paths=paths, columns=columns))
    by_day = ["--group", "day"] if "" in columns.get("day", ()) else []
    main(["probe", str(tmp_path / "f.npz"), "-o", str(tmp_path / "probe"), *by_day])
    warned = [line.removeprefix("warning: ") for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert bool(warned) == bool(expected) and all(re.search(expected, line) for line in warned)


def test_few_videos_and_videos_without_a_label(tmp_path: Path) -> None:
    features = made(tmp_path / "f.npz", 2, 6, apart=20)
    features.labels[4:] = ["", ""]
    probe = fit_probe(features)  # two of each class: nothing to choose a strength on
    assert (probe.videos, len(probe.accuracies)) == (4, 2)
    three = made(tmp_path / "f.npz", 3, 30, apart=20)
    in_days = replace(three, columns={"day": ["a", "a", "b", "c", "b", "c"] * 5})  # c0 on a and c, c1 on a and b, ...
    assert len(fit_probe(in_days, "day").accuracies) == 2


@pytest.fixture(scope="module")
def extracted(videos: Path, lists: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of videos to fit to (27) and to test on (9), and the probe of them as a model directory."""
    folder = tmp_path_factory.mktemp("probe")
    rows = [row for name in ("labeled", "unlabeled") for row in read_rows(lists / f"{name}.csv")]
    write_rows(folder / "fit.csv", rows)
    write_rows(folder / "val.csv", read_rows(lists / "val.csv"))
    for name in ("fit", "val"):
        assert main(["features", MODEL, str(folder / f"{name}.csv"), "--root", str(videos), "-o",
                     str(folder / f"{name}.npz"), "--workers", "0", "--device", "cpu"]) == 0  # fmt: skip
    return folder


def test_a_probe_is_a_model_like_any_other(
    extracted: Path, videos: Path, lists: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, fit, val = tmp_path / "model", extracted / "fit.npz", extracted / "val.npz"
    assert main(["probe", str(fit), "--test", str(val), "-o", str(model)]) == 0
    told = capsys.readouterr().out
    network = cmpl_zoo.create_model(model).eval()
    assert network.pretrained_cfg["label_names"] == CLASSES

    features, held_out = read_features(fit), read_features(val)
    probe = fit_probe(features)
    x, y = features.features.astype(np.float64), np.array(features.labels)
    regression = pipeline(probe.strength).fit(x, y)
    for path, own in zip(held_out.paths, held_out.features, strict=True):
        with torch.inference_mode():
            logits = network(load_clip(videos / path, **resolve_clip_config(network))).mean(0)
        expected = regression.decision_function(own[None].astype(np.float64))[0]
        assert np.allclose(logits.numpy(), expected, atol=1e-4)
        name, _ = cmpl_zoo.predict(network, videos / path)[0]
        assert name in CLASSES
    accuracy = 100 * regression.score(held_out.features.astype(np.float64), np.array(held_out.labels))
    assert accuracy > 40, "the demo's weights know these actions"
    assert probe_accuracy(probe, held_out) == pytest.approx((accuracy, 100 / 3))
    assert f"top-1 {accuracy:.1f} %; always the largest class 33.3 %" in told
    card = (model / "README.md").read_text()
    for fact in (str(probe), f"C = {probe.strength:g}", f"`{MODEL}`", "fit.csv", f"On val.npz: top-1 {accuracy:.1f} %"):
        assert fact in card
    assert str(tmp_path) not in card and str(extracted) not in card

    # Beside the classifier, the network is the one that the features are of.
    original = cmpl_zoo.create_model(MODEL, pretrained=True).state_dict()
    for key, weight in network.state_dict().items():
        assert key.startswith("fc.") or torch.equal(weight, original[key])
    assert main(["evaluate", str(model), "--data", str(extracted / "val.csv"), "--root", str(videos), "--workers", "0",
                 "--device", "cpu", "--card", "--json", str(tmp_path / "scores.json")]) == 0  # fmt: skip
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["videos"] == 9 and abs(scores["video_top1"] - accuracy) < 12  # softmax before the mean over clips
    assert f"| {scores['video_top1']:.2f} |" in (model / "README.md").read_text()
    again = timm.create_model(f"local-dir:{model}", pretrained=True)
    assert torch.equal(again.fc.weight, network.fc.weight)

    # A run that starts from it starts from its classifier.
    output = tmp_path / "run"
    run(command(lists, videos, output, "--primary", "r3d50_eighth", "--auxiliary", "null", "--scheme", "none", "--init",
                str(model), "--steps", "1", "--lr", "1e-9"))  # fmt: skip
    assert torch.allclose(weights(output)["fc.weight"], network.fc.weight, atol=1e-6)

    # And its features are those of the network it came from.
    assert main(["features", str(model), str(extracted / "val.csv"), "--root", str(videos), "-o", str(val),
                 "--workers", "0", "--device", "cpu"]) == 0  # fmt: skip


def test_a_network_that_has_changed_since_is_refused(
    extracted: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = cmpl_zoo.create_model(MODEL, pretrained=True)
    features = read_features(extracted / "fit.npz")
    cmpl_zoo.save(network, tmp_path / "start", network.pretrained_cfg["label_names"])
    file = tmp_path / "f.npz"
    _write(replace(features, file=file, source=features.source | {"model": str(tmp_path / "start")}))
    assert main(["probe", str(file), "-o", str(tmp_path / "a")]) == 0
    assert "`start`, whose license" in (tmp_path / "a" / "README.md").read_text()
    with torch.no_grad():
        network.layer1[0].conv1.weight += 0.01
    cmpl_zoo.save(network, tmp_path / "start", network.pretrained_cfg["label_names"])
    assert re.search(r"start: .*other weights now.*again", refused(capsys, "probe", file, "-o", tmp_path / "b"))


def not_finite(features: Features) -> Features:
    features.features[3, 5] = np.nan
    return features


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda f: replace(f, labels=[""] * 60), [], r"f\.npz: none of its videos has a label"),
        (lambda f: replace(f, labels=["c0"] * 60), [], r"f\.npz: all its labeled videos are 'c0'.*two classes"),
        (lambda f: replace(f, labels=["odd", *f.labels[1:]]), [], r"f\.npz: class 'odd' has one video.*label more"),
        (lambda f: f, ["--group", "scene"], r"f\.npz: has no column 'scene'.*its columns: day"),
        (lambda f: replace(f, columns={}), ["--group", "day"], r"f\.npz: has no column 'day'.*its columns: none"),
        (lambda f: replace(f, columns={"day": f.labels}), ["--group", "day"], r"class 'c0' have the same day.*another"),
        (not_finite, [], r"f\.npz: the features of 3\.mp4 are not finite"),
        (lambda f: replace(f, labels=f.labels[1:]), [], r"f\.npz: no features of .*do not belong together"),
        (lambda f: replace(f, source={"model": MODEL}), [], r"f\.npz: no features of .*what .* are made from"),
    ],
)  # fmt: skip
def test_features_that_no_probe_can_be_fitted_to(
    change: Callable[[Features], Features],
    options: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _write(change(made(tmp_path / "f.npz")))
    assert re.search(message, refused(capsys, "probe", tmp_path / "f.npz", *options, "-o", tmp_path / "model"))
    assert not (tmp_path / "model").exists()


def test_files_that_hold_no_features(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, trace = tmp_path / "f.npz", tmp_path / "trace"

    class Trap:  # what a pickle can do to who reads it
        def __reduce__(self) -> tuple[Any, ...]:
            return trace.touch, ()

    def message() -> str:
        return refused(capsys, "probe", file, "-o", tmp_path / "model")

    assert re.search(r"f\.npz: No such file", message())
    features = made(file)
    _write(features)
    whole = file.read_bytes()
    for cut in (0, 10, 500, len(whole) - 10):
        file.write_bytes(whole[:cut])
        assert re.search(r"f\.npz: no features of", message())
    middle = whole.index(features.features.tobytes())
    file.write_bytes(whole[:middle] + b"damaged!" + whole[middle + 8 :])
    assert re.search(r"f\.npz: no features of .*CRC", message())
    file.write_text("path,label\n")
    assert re.search(r"f\.npz: no features of .*it is no \.npz file", message())
    with file.open("wb") as handle:
        np.savez(handle, features=np.array([Trap()], dtype=object), paths=np.array(["a"]))
    assert re.search(r"f\.npz: no features of .*pickle", message())
    with file.open("wb") as handle:
        np.save(handle, np.array([Trap()], dtype=object), allow_pickle=True)
    assert re.search(r"f\.npz: no features of", message())
    with file.open("wb") as handle:
        np.save(handle, features.features)
    assert re.search(r"f\.npz: no features of", message())
    with file.open("wb") as handle:
        np.savez(handle, features=features.features)
    assert re.search(r"f\.npz: no features of .*paths", message())
    assert not trace.exists()


def test_features_that_a_probe_is_not_tested_on(
    extracted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit = read_features(extracted / "fit.npz")
    val = replace(read_features(extracted / "val.npz"), file=tmp_path / "t.npz")

    def message(test: Features) -> str:
        _write(test)
        return refused(capsys, "probe", fit.file, "--test", test.file, "-o", tmp_path / "model")

    for key, other in {"weights": "0", "views": {"frames": 1}, "precision": "bf16"}.items():
        changed = replace(val, source=val.source | {key: other})
        assert re.search(rf"t\.npz: .*other {key}.*fit\.npz.*one model", message(changed))
    assert re.search(r"t\.npz: run/.*also in .*fit\.npz", message(replace(fit, file=val.file)))
    (tmp_path / "link").symlink_to(fit.source["root"])
    linked = fit.source | {"root": str(tmp_path / "link")}
    dotted = [f"./{path}" for path in fit.paths]
    for same in (replace(fit, file=val.file, source=linked), replace(fit, file=val.file, paths=dotted)):
        assert re.search(r"t\.npz: (\./)?run/.*also in .*fit\.npz", message(same))
    assert not (tmp_path / "model").exists()
    probe = fit_probe(made(tmp_path / "f.npz"))
    with pytest.raises(ValueError, match=r"t\.npz: none of its videos has a label"):
        probe_accuracy(probe, replace(val, labels=[""] * len(val)))
    with pytest.raises(ValueError, match=r"t\.npz: run/.* 'run', .*c0, c1, c2"):
        probe_accuracy(probe, val)


def test_classes_that_are_numbers_are_in_their_order(tmp_path: Path) -> None:
    """As training has them."""
    features = made(tmp_path / "f.npz", classes=4)
    numbers = {"c0": "9", "c1": "10", "c2": "11", "c3": "2"}
    probe, same = fit_probe(replace(features, labels=[numbers[name] for name in features.labels])), fit_probe(features)
    assert probe.classes == ["2", "9", "10", "11"]
    x = features.features.astype(np.float64)
    found, expected = ((x @ one.weight.T + one.bias).argmax(axis=1) for one in (probe, same))
    assert np.array_equal(found, np.array([1, 2, 3, 0])[expected])


def test_a_column_tells_recordings_whatever_the_roots(
    extracted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit, val = (read_features(extracted / f"{name}.npz") for name in ("fit", "val"))

    def filled(features: Features, name: str, root: str) -> Path:
        people = [f"person {int(path[-5]) % 2}" for path in features.paths]
        source = features.source | {"root": root}
        _write(replace(features, file=tmp_path / name, columns={"recording": people}, source=source))
        return tmp_path / name

    one, other = filled(fit, "one.npz", fit.source["root"]), filled(val, "other.npz", str(tmp_path))
    said = refused(capsys, "probe", one, "--test", other, "-o", tmp_path / "model")
    assert re.search(r"other\.npz: .* is of a recording that is also in .*one\.npz", said)
    assert main(["probe", str(one), "--group", "recording", "-o", str(tmp_path / "model")]) == 0
    assert capsys.readouterr().err == ""


def test_a_folder_that_holds_something_is_left_alone(
    extracted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    for place in (tmp_path, tmp_path / "mine.txt"):
        assert re.search(rf"{place}: exists already; ", refused(capsys, "probe", extracted / "fit.npz", "-o", place))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
