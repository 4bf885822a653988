"""What the pages promise: their commands run, their options exist, and their errors are those of the package."""

import ast
import re
import shutil
from itertools import chain
from pathlib import Path

import pytest
from page_blocks import blocks, problems
from page_runs import make_folder, run_page

REPO = Path(__file__).resolve().parents[1]
PAGES = [REPO / "README.md", *sorted((REPO / "docs").glob("*.md"))]
RUN = [page for page in PAGES if any(block.is_run for block in blocks(page))]


def name(page: Path) -> str:
    return page.stem


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that a page's blocks find."""
    return make_folder(tmp_path_factory.mktemp("page") / "folder")


@pytest.fixture
def folder(prepared: Path, tmp_path: Path) -> Path:
    """A copy of it for one page."""
    return shutil.copytree(prepared, tmp_path / "folder")


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_blocks_are_run_or_say_why_not_and_options_are_those_of_the_command(page: Path) -> None:
    assert not list(problems(page))


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN, ids=name)
@pytest.mark.timeout(900)
def test_what_a_page_types_runs(page: Path, folder: Path, scratch: Path) -> None:
    assert run_page(page, folder, scratch) == sum(block.is_run for block in blocks(page))


PAGE = """# A page
<!-- not run: needs a GPU -->
```bash
cmpl-zoo train VIDEOS --config finetune -o runs/large   # --not-an-option
```
Some `cmpl-zoo predict MODEL some.mp4 --top-k 3`.

- in a list:
  ```
  word=hello; test -d runs/mine
  cmpl-zoo train VIDEOS --labels labels.csv \\
      --group day -o runs/by-day
  ```

<!-- as printed -->
```
$ cmpl-zoo train VIDEOS -o runs/mine | head -1
a line of --output
```
```python
import cmpl_zoo
model = cmpl_zoo.create_model("runs/by-day/primary")
```
```bash
cmpl-zoo predict runs/by-day/primary some.mp4 > predicted.txt
echo "$word" >> predicted.txt
```
```text
cmpl-zoo nothing
```
```python
lines = open("predicted.txt").read().splitlines()
assert lines[0] == "some.mp4" and lines[-1] == "hello"
assert set(model.pretrained_cfg["label_names"]) == {"run", "walk", "wave_both_hands"}
open("seen.txt", "w").write(str(len(lines)))
```
"""


def write(folder: Path, text: str) -> Path:
    (folder / "page.md").write_text(text)
    return folder / "page.md"


def test_a_page_is_read(tmp_path: Path) -> None:
    page = write(tmp_path, PAGE)
    assert not list(problems(page))
    assert [(block.place, block.language, block.mark, block.is_run) for block in blocks(page)] == [
        ("page.md:3", "shell", "not run", False),
        ("page.md:9", "shell", "", True),
        ("page.md:16", "shell", "as printed", False),
        ("page.md:20", "python", "", True),
        ("page.md:24", "shell", "", True),
        ("page.md:28", "text", "", False),
        ("page.md:31", "python", "", True),
    ]
    assert blocks(page)[0].reason == "needs a GPU"
    assert blocks(page)[1].text.splitlines()[0] == "word=hello; test -d runs/mine"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("```\ncmpl-zoo predict MODEL some.mp4 --topk 3\n```", r"page\.md:1: cmpl-zoo predict has no option --topk"),
        ("```\nls\ncmpl-zoo train VIDEOS \\\n  -o DIR --step=4\n```", "cmpl-zoo train has no option --step$"),
        ("<!-- as printed -->\n```\n$ cmpl-zoo prepare x -q\n--out\n```", "cmpl-zoo prepare has no option -q"),
        ("<!-- not run: a GPU -->\n```bash\ncmpl-zoo tain x\n```", r"page\.md:2: cmpl-zoo has no verb tain"),
        ("<!-- not run: GPUs -->\n```\ntorchrun train/cmpl.py --gpu 2\n```", "cmpl-zoo train has no option --gpu"),
        ("```\ncmpl-zoo import folders VIDEOS --labels x\n```", "cmpl-zoo import has no option --labels"),
        ("```\na | cmpl-zoo look x -o y; cmpl-zoo list --zip\n```", "cmpl-zoo list has no option --zip"),
        ("Use `cmpl-zoo pretrain --unlabeled\nVIDEOS --labels`.", r"page\.md: .*pretrain has no option --labels$"),
        ("<!-- not run -->\n```bash\nls\n```", r"page\.md:2: not run, but why"),
        ("```console\n$ ls\n```", r"page\.md:1: a transcript needs <!-- as printed -->"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_page_is_told(tmp_path: Path, text: str, problem: str) -> None:
    (told,) = problems(write(tmp_path, text))
    assert re.search(problem, told)


@pytest.mark.slow
def test_blocks_run_in_order_in_one_shell_and_one_python(tmp_path: Path, folder: Path, scratch: Path) -> None:
    assert run_page(write(tmp_path, PAGE), folder, scratch) == 4
    assert int((folder / "seen.txt").read_text()) == 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("block", "printed"),
    [
        ("```\ncmpl-zoo predict MODEL no.mp4\necho on\n```", "no.mp4: "),
        ("```\nfalse | cat\n```", ""),
        ("```python\nx = 1 / 0\n```", "ZeroDivisionError"),
    ],
)
def test_a_block_that_fails_is_named_with_what_it_printed(
    tmp_path: Path, folder: Path, scratch: Path, block: str, printed: str
) -> None:
    page = write(tmp_path, f"# Page\n```\necho before\n```\n{block}\n")
    with pytest.raises(AssertionError, match=rf"page\.md:5 failed:\n(.|\n)*printed:\n(.|\n)*{printed}") as error:
        run_page(page, folder, scratch)
    assert "before" not in str(error.value).partition("printed")[2]


def quoted_errors() -> list[str]:
    """The texts in docs/errors.md, each in one line."""
    page = REPO / "docs" / "errors.md"
    return [" ".join(block.text.split()) for block in blocks(page) if block.language == "text"]


@pytest.fixture(scope="session")
def texts_of_the_package() -> str:
    """All texts in the package's source, a line each; what is filled in divides a text in two."""
    files = chain.from_iterable((REPO / package).rglob("*.py") for package in ("cmpl_zoo", "cmpl_zoo_cli"))
    nodes = chain.from_iterable(ast.walk(ast.parse(file.read_text(encoding="utf-8"))) for file in files)
    return "\n".join(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


def test_the_page_of_errors_has_thirty() -> None:
    assert len(quoted_errors()) >= 30
    assert len(set(quoted_errors())) == len(quoted_errors())


@pytest.mark.parametrize("error", quoted_errors())
def test_errors_are_quoted_as_the_package_writes_them(error: str, texts_of_the_package: str) -> None:
    # What stands between two values; a message may be made of a cause and an advice from two places.
    fixed = [part.strip() for part in re.split(r"\{[^{}]*\}|; |: |, but ", error)]
    assert max(map(len, fixed)) > 10
    assert [part for part in fixed if part not in texts_of_the_package] == []
