"""Write the cards of torchvision's networks from the registry: `python model_cards/torchvision_cards.py`."""

import sys
import textwrap
from pathlib import Path
from typing import Any

import torch

import cmpl_zoo
from cmpl_zoo.models.config_json import clip_text
from cmpl_zoo.models.torchvision_video import ENTRIES


def card(name: str) -> str:
    """The card of the weights `name`."""
    weights, _ = ENTRIES[name]
    with torch.device("meta"):
        model: Any = cmpl_zoo.create_model(name)
    meta, clip, architecture = weights.meta, model.clip, name.partition(".")[0]
    height, width = model.pretrained_cfg["input_size"][1:]
    accuracies = meta["_metrics"]["Kinetics-400"]
    return f"""# {name}

| | |
|---|---|
| Status | published by others: torchvision's `{weights}`, a file of {meta["_file_size"]:.0f} MiB |
| Network | `{architecture}`, torchvision's `{architecture.removeprefix("tv_")}`; \
{meta["num_params"] / 1e6:.1f} M parameters with 400 classes |
| Data | Kinetics-400, videos with labels{", after ImageNet-22k" if name.endswith("in22k") else ""} |
| Training | none of ours: [the recipe that torchvision names]({meta["recipe"]}) |
| Clips | {clip_text(clip)}, {height} x {width}; test views {clip["clips"]} x {clip["crops"]} (clips x crops) |
| Paper | CMPL's paper does not use this network |
| Ours | not measured |

## Accuracy, as torchvision states it

| top-1, % | top-5, % | measured on |
|---|---|---|
| {accuracies["acc@1"]:.2f} | {accuracies["acc@5"]:.2f} | Kinetics-400 |

{_paragraph(f'"{meta["_docs"].rstrip(".")}." {_ACCURACY}')}

{_paragraph(_resizing(weights.transforms().resize_size))}

## Use it

```python
import cmpl_zoo

model = cmpl_zoo.create_model("{name}", pretrained=True).eval()
print(cmpl_zoo.predict(model, "video.mp4"))
```

{_paragraph(f"The file is <{weights.url}>, kept in torch.hub's cache. {_FILE}")}

## Limits

{_paragraph(f"{_limits(architecture)}{_LICENCE}")}
"""


_ACCURACY = (
    "So says torchvision's documentation, the only place that gives frames, rate and views. The file cannot be "
    "downloaded where this was written and was never seen here: loading is tested with files of the same form and "
    "random weights, with which this network gives torchvision's own logits."
)
_FILE = (
    "The digits in its name are those of its SHA-256 and are checked. `CMPL_ZOO_MIRROR` names another server that has "
    "it, and `CMPL_ZOO_WEIGHTS` a folder. It is a pickle, of which torch takes nothing but tensors."
)
_LICENCE = (
    "It names one of 400 actions for any video. torchvision, whose code is BSD-3-Clause, states no license for these "
    'weights: "The pre-trained models provided in this library may have their own licenses or terms and conditions '
    "derived from the dataset used for training. It is your responsibility to determine whether you have permission "
    'to use the models for your use case."'
)


def _resizing(size: list[int]) -> str:
    """How frames are resized there, and here."""
    ours = f"short side of a frame to {min(size)} pixels and keeps its shape"
    if len(size) == 2:
        text = (
            f"torchvision resizes frames to {size[0]} x {size[1]} pixels, whatever their shape; this zoo resizes the "
        )
        text += f"{ours}."
    else:
        text = f"Like torchvision, this zoo resizes the {ours}."
    return f"{text} It does so with antialiasing, and torchvision without: accuracies may differ a little."


def _limits(architecture: str) -> str:
    if architecture == "tv_s3d":
        return "It takes clips of at least 14 frames of 224 x 224 pixels. "
    if architecture.startswith("tv_mvit"):
        return "It takes clips of 16 frames of 224 x 224 pixels and no others. "
    return ""


def _paragraph(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    for name in sys.argv[1:] or ENTRIES:
        Path(__file__).with_name(f"{name}.md").write_text(card(name))
