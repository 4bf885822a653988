"""Write docs/zoo.md, and the table of models in README.md, from the registry: `python model_cards/zoo_page.py`."""

import re
from pathlib import Path

from cmpl_zoo.models.facts import catalog, facts, gmac
from cmpl_zoo.models.pretrained import UNPUBLISHED

REPO = Path(__file__).resolve().parents[1]
PAGE = REPO / "docs" / "zoo.md"
README = REPO / "README.md"
IN_README = ["r3d50.slow_k400", "tv_mvit_v2_s.k400", "tv_swin3d_b.k400_in22k", "r3d50_eighth.cmpl_demo"]


def readme() -> str:
    """README.md with its table of some of the weights."""
    rows = [
        f"| [`{name}`](model_cards/{name}.md) | {known.classes:,} | {known.accuracy or 'not stated'} |"
        for name, known in ((name, facts(name)) for name in IN_README)
    ]
    table = "\n".join(["| name | classes | top-1 |", "|---|---|---|", *rows])
    return re.sub(
        r"(?<=<!-- zoo -->\n).*?(?=\n<!-- end -->)",
        lambda _: table,
        README.read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )


def page() -> str:
    """The page."""
    weights, networks = [], []
    for name in catalog():
        known = facts(name)
        if not known.source:
            continue
        height, width = known.size
        size = "in the package" if known.source == "in the package" else f"{known.megabytes} MB"
        weights.append(
            f"| [`{name}`](../model_cards/{name}.md) | {known.classes:,} | {known.clip}, {height} x {width} | "
            f"{known.accuracy or 'not stated'} | {known.license or 'none stated'} | {size} |"
        )
    for name in sorted({name.partition(".")[0] for name in catalog()}):
        known = facts(name)
        height, width = known.size
        networks.append(
            f"| `{name}` | {known.parameters / 1e6:.1f} M | {gmac(name):.1f} | {known.frames} x {height} x {width} |"
        )
    unpublished = ", ".join(f"`{tag}`" for tag in UNPUBLISHED)
    return f"""# The zoo

All weights and networks of this package. `cmpl-zoo list` and `cmpl-zoo info NAME` tell the same; [models and
weights](models.md) says how to use them. This page is written from the registry by `python model_cards/zoo_page.py`.

## Weights

Accuracies are top-1, with the test views (clips x crops) and who states them. Those of PyTorchVideo and torchvision are
their own figures: their files could not be downloaded where this was written, and were never measured here.

Downloads go into torch's hub cache, those of the Hugging Face Hub into its own; `CMPL_ZOO_WEIGHTS=DIR` takes a file
from a folder, and `CMPL_ZOO_MIRROR=https://HOST` from a mirror.

| name | classes | clips | top-1 | license | download |
|---|---|---|---|---|---|
{chr(10).join(weights)}

Beside them [`r3d50_quarter.cmpl_mocap13`](../model_cards/r3d50_quarter.cmpl_mocap13) comes with this repository, as a
folder to load by its path: 37.9 % of 1,003 held-out videos of 13 motions, 1 x 1 view, measured here; CC BY-NC 4.0.

The networks that the paper trains have names here, with `r3d50` and with `r3d50_quarter`, but no weights, since nobody
has trained them: {unpublished}.
Loading one raises an error that says how to train it.

## Networks

`create_model(NAME)` without weights makes any of these. Parameters are with 400 classes, GMAC (billions of
multiply-adds, counted by torch) of one clip of the size beside it.

| network | parameters | GMAC | frames x height x width |
|---|---|---|---|
{chr(10).join(networks)}
"""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    README.write_text(readme(), encoding="utf-8")
