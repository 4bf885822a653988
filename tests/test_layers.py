"""The parts of the package: none imports one of a layer above it."""

import ast
from pathlib import Path

import pytest

import cmpl_zoo

# From the bottom up. Parts of one line do not know each other. Of the command, the library knows the options alone and
# how they are spelled.
LAYERS = [
    {f"cmpl_zoo_cli.{name}" for name in ("version", "spelling", "run_options", "train_config", "pretrain_config")},
    {"_locks"},
    {"_appended_lines", "_files", "semi", "models", "records", "precision"},
    {"storage", "distributed"},
    {"video", "demo"},
    {"datasets"},
    {"prediction"},
    {"hub", "tools", "features", "suggestions"},
    {"evaluation"},
    {"report"},
    {"training", "linear_probe", "exporting", "app"},
    {"pretext"},
]
LAYER = {part: number for number, parts in enumerate(LAYERS) for part in parts}
PACKAGE = Path(cmpl_zoo.__file__).parent
MODULES = sorted(file for file in PACKAGE.rglob("*.py") if file != PACKAGE / "__init__.py")


def part_of(module: str) -> str:
    """The part of the package that a module of the project is in; "" for others."""
    package, _, rest = module.partition(".")
    if package == "cmpl_zoo_cli":
        return module
    return rest.partition(".")[0] if package == "cmpl_zoo" else ""


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_no_part_imports_one_above_it(file: Path) -> None:
    own = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            imported = [node.module] + [
                f"{node.module}.{alias.name}" for alias in node.names if node.module == "cmpl_zoo"
            ]
        elif isinstance(node, ast.Import):
            imported = [alias.name for alias in node.names]
        else:
            continue
        for part in {part_of(module) for module in imported} - {own, ""}:
            assert LAYER[part] < LAYER[own], f"{own} imports {part}"
