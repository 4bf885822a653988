"""The command line: what answers without torch, its help, how options are spelled, recipes, and what is missing."""

import gc
import importlib
import os
import re
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path

import pytest
import yaml
from training import run

from cmpl_zoo.training.errors import RunError, StopRequested
from cmpl_zoo_cli import recipes
from cmpl_zoo_cli.garbage import without_garbage_collection
from cmpl_zoo_cli.main import reporting
from cmpl_zoo_cli.parser import build_parser
from cmpl_zoo_cli.spelling import with_dashes
from cmpl_zoo_cli.train_config import Config
from cmpl_zoo_cli.train_parser import parse_config

REPO = Path(__file__).resolve().parents[1]
RUN = ["--labeled", "a.csv", "--unlabeled", "b.csv", "--output", "o"]


def commands(parser: ArgumentParser, *before: str) -> dict[tuple[str, ...], ArgumentParser]:
    """Every command of a parser with its own parser, those of `import` too."""
    found = {before: parser}
    for action in parser._actions:
        if isinstance(action.choices, dict):
            for name, sub in action.choices.items():
                found |= commands(sub, *before, name)
    return found


COMMANDS = commands(build_parser())


def answer(*words: str, **environment: str) -> tuple[int, str, str, set[str]]:
    """Exit status, output, messages, and the packages that a command line imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "cmpl_zoo_cli", *words],
        capture_output=True,
        text=True,
        cwd=REPO,
        env=os.environ | environment,
    )
    lines = done.stderr.splitlines()
    imported = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    messages = "\n".join(line for line in lines if not line.startswith("import time:"))
    return done.returncode, done.stdout, messages, imported


@pytest.mark.parametrize("columns", ["80", "120"])
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_answers_without_torch_and_states_every_default(words: tuple[str, ...], columns: str) -> None:
    status, text, messages, imported = answer(*words, "--help", COLUMNS=columns)
    assert (status, messages) == (0, "")
    assert "argparse" in imported and not imported & {"torch", "numpy", "av", "cmpl_zoo"}
    assert max(len(line) for line in text.splitlines()) <= int(columns)
    assert not re.search(r"--\w+_", text), "options are shown with dashes"
    assert not re.search(r"typing|<class|type:|\bnull\)", text)
    described = re.split(r"\n(?=  -)", text)[1:]
    for option in (" ".join(part.split()) for part in described):
        assert re.search(r"^-h|^--version|^--print-config|required\)|\(default: |by default", option), option


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", r"required: COMMAND"),
        ("evaluat", r"invalid choice: 'evaluat' \(choose from .*evaluate"),
        ("evaluate m --data l --bach-size 3", r"cmpl-zoo evaluate: .*unrecognized.*--bach-size 3.*evaluate --help"),
        ("import kinetics a b -o c --x", r"cmpl-zoo import kinetics: .*unrecognized.*--x"),
        ("evaluate m --data l --batch-size 0", r"--batch-size: must be at least 1, not 0"),
        ("evaluate m --data l --test_clips 1.5", r"--test-clips: must be a whole number, not '1.5'"),
        ("check l -o d --min-frames 0", r"--min-frames: must be at least 1, not 0"),
        ("check l -o d --workers -1", r"--workers: must be at least 1, not -1"),
        ("prepare l -o d --max-short-side 1", r"--max-short-side: must be at least 2, not 1"),
        ("prepare l -o d --max-short-side 9 --crf 52", r"--crf: must be from 0 to 51, not 52"),
        ("split l -o d --labels-per-class ten", r"--labels-per-class: must be a whole number, not 'ten'"),
        ("split l -o d --labels-per-class all --val-share 20", r"--val-share: must be a share .* below 1, not 20"),
        ("shard l -o d --shard-size nan", r"--shard-size: must be a number of MB above 0, not nan"),
        ("shard l", r"required: -o/--output"),
        ("predict m", r"required: VIDEO"),
        ("predict m v --top-k 0", r"--top-k: must be at least 1, not 0"),
        ("predict m v --min-probability 60", r"--min-probability: must be a probability from 0 to 1, not 60"),
        ("predict m v --min-probability high", r"--min-probability: must be a number, not 'high'"),
        ("predict m v --device gpu", r"--device: invalid choice: 'gpu'"),
        ("predict m v --cvs p", r"unrecognized arguments: --cvs p"),
        ("predict m v --top-k 1 w", r"unrecognized arguments: w; give all videos together, before the options"),
        ("features m", r"required: LIST, -o/--output"),
        ("features m l -o f --workers -1", r"--workers: must be at least 0, not -1"),
        ("probe f -o d --groups g", r"unrecognized arguments: --groups|--group"),
        ("demo --videos-per-class 0 -o d", r"--videos-per-class: must be at least 1, not 0"),
        ("train", r"--output must be given"),
        ("train -o b", r"VIDEOS or --labeled must be given"),
        ("train -o b --labeled a --group day", r"--group is for lists that are made; give VIDEOS"),
        ("train v -o b --lr fast", r"--lr must be a number, not fast"),
        ("train v -o b --size 99", r"--short-side 50,58 must rise and start at the crop's --size \(99\)"),
        ("pretrain videos -o r", r"error: videos follows no option; videos without a label .*--unlabeled"),
        ("train --lamda_u 2", r"unrecognized arguments: --lamda-u; did you mean --lambda-u\?"),
        ("train --labeled a -o b --lr fast", r"--lr must be a number, not fast"),
        ("train --labeled a -o b --scheme crosss", r"--scheme must be one of cross, self-first, .*, not crosss"),
        ("train --labeled a -o b --steps x", r"--steps must be a whole number or null, not x"),
        ("train --labeled a -o b --resume maybe", r"--resume must be true or false, not maybe"),
        ("train --labeled a -o b --short-side 9", r"--short-side must be two whole numbers, such as 256,320, not 9"),
        (
            "train --labeled a -o b --unlabeled c --config own_videos --primary-stride 2",
            r"--primary-stride has no effect, as the recipe spreads the frames; add --spread false",
        ),
        ("train --labeled a -o b --steps 1 --threshold 2", r"--threshold is a probability from 0 to 1, not 2"),
        ("train --config k400_2pct", r"--config k400_2pct: no such file, nor a recipe .* are demo, finetune, k400"),
    ],
)  # fmt: skip
def test_a_wrong_command_line_is_refused_without_torch(line: str, message: str) -> None:
    status, text, messages, imported = answer(*line.split())
    assert (status, text) == (2, "")
    assert re.search(message, messages.splitlines()[-1]), messages
    assert messages.startswith("usage: cmpl-zoo") and "Traceback" not in messages
    assert not imported & {"torch", "numpy", "av", "cmpl_zoo"}


def test_the_version_comes_without_torch() -> None:
    status, text, _, imported = answer("--version")
    assert status == 0 and re.fullmatch(r"cmpl-zoo \d+\.\d+\.\d+\n", text)
    assert not imported & {"torch", "numpy", "av", "cmpl_zoo", "jsonargparse"}


# How options are spelled


def test_what_the_imports_of_predict_make_is_never_looked_through() -> None:
    """The search for garbage is on again afterwards, and leaves out what torch and timm brought."""
    code = (
        "import gc; from cmpl_zoo_cli.main import main; "
        "status = main(['predict', 'r3d50_eighth.cmpl_demo', 'no.mp4']); "
        "print(status, gc.isenabled(), gc.get_freeze_count())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPO)
    status, enabled, frozen = done.stdout.split()
    assert (status, enabled) == ("1", "True") and "no.mp4" in done.stderr
    assert int(frozen) > 200_000


def test_garbage_is_collected_again_where_an_import_fails() -> None:
    try:
        with pytest.raises(ModuleNotFoundError), without_garbage_collection():
            assert not gc.isenabled()
            importlib.import_module("no_such_module")
        assert gc.isenabled()
    finally:
        gc.unfreeze()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--labeled-batch", "4"], {"labeled_batch": 4}),
        (["--labeled_batch", "4"], {"labeled_batch": 4}),
        (["--labeled_batch=4"], {"labeled_batch": 4}),
        (["--resume"], {"resume": True}),
        (["--resume", "true"], {"resume": True}),
        (["--resume=true"], {"resume": True}),
        (["--resume", "--cutout", "false"], {"resume": True, "cutout": False}),
        (["--grad-checkpointing", "--hard=false"], {"grad_checkpointing": True, "hard": False}),
        (["--short-side", "230,300"], {"short_side": (230, 300)}),
        (["--short_side=230,300"], {"short_side": (230, 300)}),
        (["--short_side", "[230,300]"], {"short_side": (230, 300)}),
        (["--auxiliary", "null", "--scheme", "self"], {"auxiliary": None, "scheme": "self"}),
        (["-o", "elsewhere"], {"output": "elsewhere"}),
        (["--val_root", "a_b"], {"val_root": "a_b"}),
    ],
)
def test_options_of_training(words: list[str], expected: dict) -> None:
    plain = parse_config([*RUN, "--steps", "1"])
    assert vars(parse_config([*RUN, "--steps", "1", *words])) == vars(plain) | expected


def test_dashes_are_for_options_only() -> None:
    words = ["--batch_size=2", "a_b.mp4", "--json", "c_d.json", "--root=e_f", "--", "--g_h"]
    assert with_dashes(words) == ["--batch-size=2", "a_b.mp4", "--json", "c_d.json", "--root=e_f", "--", "--g_h"]


# Recipes


def test_a_recipe_is_found_by_name_and_by_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = REPO / "cmpl_zoo" / "training" / "recipes" / "k400_1pct.yaml"
    options = yaml.safe_load(file.read_text())
    config = parse_config([*RUN, "--config", "k400_1pct"])
    assert {name: getattr(config, name) for name in options} == options | {"short_side": tuple(options["short_side"])}
    assert parse_config([*RUN, "--config", str(file)]) == config
    assert capsys.readouterr().err == ""
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "train" / "recipes" / "k400_1pct.yaml"  # one's own is taken as it is
    own.parent.mkdir(parents=True)
    own.write_text("lr: 0.7\nsteps: 3\n")
    assert parse_config([*RUN, "--config", "train/recipes/k400_1pct.yaml"]).lr == 0.7
    assert capsys.readouterr().err == ""


def test_of_two_recipes_the_last_one_counts(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("lr: 0.7\ntest_clips: 5\n")
    demo, both = (
        parse_config([*RUN, *words]) for words in (["--config", "demo"], ["--config", "demo", "--config", str(file)])
    )
    assert (both.lr, both.test_clips, both.steps, both.size) == (0.7, 5, demo.steps, demo.size)
    assert parse_config([*RUN, "--config", str(file), "--config", "demo"]).lr == demo.lr
    assert parse_config([*RUN, "--config", "demo", "--lr", "0.3"]).lr == 0.3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lamda_u: 2\n", r"there is no option lamda_u; did you mean lambda_u\?"),
        ("labels: a.csv\n", r"there is no option labels; did you mean labeled\?"),
        ("lambda_u: much\n", r"lambda_u must be a number, not much"),
        ("{:\n", r"is not YAML \(.*line 1"),
        ("lr\n", r"holds no options; write lines such as"),
        (None, r"cannot be read \(Is a directory\)"),
    ],
)
def test_a_bad_recipe_is_named(
    text: str | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    file.mkdir() if text is None else file.write_text(text)
    with pytest.raises(SystemExit) as ended:
        parse_config([*RUN, "--config", str(file)])
    assert ended.value.code == 2
    assert re.search(rf"error: --config {re.escape(str(file))}: {message}", capsys.readouterr().err)


def test_every_recipe_of_the_package_is_listed_and_gives_known_options() -> None:
    found = recipes.packaged()
    assert {"demo", "own_videos", "k400_1pct", "ucf101_k400"} <= found.keys()
    for file in found.values():
        assert recipes.read(file).keys() <= vars(parse_config([*RUN, "--steps", "1"])).keys()


def test_a_saved_config_repeats_the_run(tmp_path: Path) -> None:
    config = parse_config([*RUN, "--config", "demo", "--val", "c.csv", "--hard", "false"])
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(vars(config) | {"short_side": list(config.short_side)}))
    again = parse_config(["--config", str(file), "--output", "other"])
    assert again == Config(**vars(config) | {"output": "other"})


# What is missing


@pytest.mark.parametrize(
    ("package", "extra", "line"),
    [
        ("jsonargparse", "train", "train --help"),
        ("yaml", "train", "train --config demo"),
        ("matplotlib", "train", "evaluate r3d50_eighth --data l.csv"),
        ("tensorboard", "train", "train --labeled a.csv --output o --scheme none --steps 1"),
        ("cv2", "train", "flow l.csv -o d"),
        ("sklearn", "probe", "probe f.npz -o o"),
        ("gradio", "app", "app"),
    ],
)
def test_a_missing_extra_is_named(package: str, extra: str, line: str, tmp_path: Path) -> None:
    (tmp_path / "without.py").write_text(f"""
import sys
for name in [name for name in sys.modules if {package!r} in name.split(".")]:
    del sys.modules[name]
sys.modules[{package!r}] = None  # as if it were not installed
from cmpl_zoo_cli.main import main
sys.exit(main({line.split()!r}))
""")
    done = run([sys.executable, str(tmp_path / "without.py")], expect=2)
    expected = f"cmpl-zoo: the package {package} is not installed; pip install 'cmpl_zoo[{extra}]' installs it\n"
    assert done.stderr == expected


def test_another_missing_package_is_a_fault_and_not_hidden() -> None:
    code = """
import sys
sys.modules["timm"] = None
from cmpl_zoo_cli.main import main, reporting
main(["predict", "m", "v"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPO)
    assert done.returncode == 1 and "Traceback" in done.stderr and "timm" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (KeyboardInterrupt(), 130, "zoo: stopped\n"),
        (KeyboardInterrupt("stopped after 3 videos"), 130, "zoo: stopped after 3 videos\n"),
        (KeyboardInterrupt("\n"), 130, "zoo: stopped\n"),
        (RuntimeError(""), 2, "zoo: RuntimeError\n"),
        (ValueError("a.csv: empty"), 2, "zoo: a.csv: empty\n"),
        (OSError(28, "disk full", "a.csv"), 2, "zoo: a.csv: disk full; repair that, or give another path\n"),
        (StopRequested("stopped at step 3", 15), 143, "zoo: stopped at step 3\n"),
        (RunError("the folder holds a run"), 2, "zoo: the folder holds a run\n"),
    ],
)  # fmt: skip
def test_what_becomes_of_an_error(
    error: BaseException, status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> int:
        raise error

    assert reporting("zoo", work) == status
    assert capsys.readouterr().err == message


def test_where_an_error_came_from_is_printed_if_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CMPL_ZOO_TRACEBACK", "1")
    assert reporting("zoo", lambda: int("x")) == 2
    error = capsys.readouterr().err
    assert error.startswith("Traceback") and "test_command.py" in error
    assert error.endswith("zoo: invalid literal for int() with base 10: 'x'\n")


def test_what_goes_wrong_while_stopping_is_a_stop(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> int:
        try:
            raise KeyboardInterrupt
        finally:
            raise OSError(9, "Bad file descriptor")

    assert reporting("zoo", work) == 130
    assert capsys.readouterr().err == "zoo: stopped\n"


@pytest.mark.parametrize(
    "line",
    ["info r3d50", "env", "train --labeled a.csv --scheme none --auxiliary null --output o --steps 1", "export a -o b"],
)
def test_ctrl_c_is_not_lost_while_numpy_is_imported(line: str) -> None:
    """Torch would ignore it, if it came while torch itself imports numpy, and would work without numpy."""
    code = """
import sys
from importlib.abc import MetaPathFinder


class CtrlC(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "numpy._core":
            sys.meta_path.remove(self)
            raise KeyboardInterrupt


sys.meta_path.insert(0, CtrlC())
from cmpl_zoo_cli.main import main
sys.exit(main(sys.argv[1:]))
"""
    done = subprocess.run([sys.executable, "-c", code, *line.split()], capture_output=True, text=True, cwd=REPO)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "cmpl-zoo: stopped\n")


def test_a_fault_of_the_program_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        reporting("zoo", lambda: 1 // 0)
    assert reporting("zoo", lambda: 1) == 1


def test_the_scripts_are_the_command() -> None:
    for script, verb in {"cmpl": "train", "evaluate": "evaluate"}.items():
        shown = [
            subprocess.run(
                [sys.executable, *call, "--help"], capture_output=True, text=True, cwd=REPO, check=True
            ).stdout
            for call in ([f"train/{script}.py"], ["-m", "cmpl_zoo_cli", verb])
        ]
        assert shown[0] == shown[1] and shown[0].startswith(f"usage: cmpl-zoo {verb}")
