"""Draw docs/images/teaching.webp: two networks in training, and what they say of three unlabeled videos.

cmpl-zoo demo -o videos --seed 1
cmpl-zoo split videos/videos.csv --labels-per-class 5 --seed 1 --val-share 0.25 --group actor --keep-labels -o lists
cmpl-zoo train --config demo --labeled lists/labeled.csv --unlabeled lists/unlabeled.csv --root videos --seed 1 \
    --output run --save-every-steps 10 --keep-states 40
python docs/images/teaching.py run docs/images/teaching.webp

Of each saved state both networks see every unlabeled video once, in their test view. Shown are three videos, chosen by
rule: that which the auxiliary network labels right for the longest time before the primary one does, the reverse, and
the one of which the pair is wrong for longest before both are right.
"""

import argparse
import json
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from tqdm import tqdm

import cmpl_zoo
from cmpl_zoo.datasets import read_list
from cmpl_zoo.models.labels import label_names
from cmpl_zoo.training.checkpoint import States, read_state

ROLES = ("primary", "auxiliary")
WIDTH, COLUMN, HEIGHT, PICTURE = 860, 280, 300, 150
BAR, ROWS = 110, (205, 255)  # length of a bar, and the height of each role's row
INK, GRAY, RIGHT, WRONG = "#222222", "#8a8a8a", "#3b6fb6", "#c8641a"
PER_STATE, MILLISECONDS = 3, 90  # pictures of a state, and how long each is shown


def probabilities_of(state: Path, config: dict, classes: list[str], clips: Tensor) -> Tensor:
    """What both networks of a state say of clips: (2, clips, classes)."""
    saved = read_state(state)
    assert saved is not None, f"{state} is damaged"
    rows = []
    for role in ROLES:
        network = cmpl_zoo.create_model(config[role], num_classes=len(classes)).eval()
        weights = {
            key.removeprefix(f"{role}."): value for key, value in saved["networks"].items() if key.startswith(role)
        }
        network.load_state_dict(weights)
        with torch.inference_mode():
            rows.append(network(clips).softmax(dim=1))
    return torch.stack(rows)


def chosen(probabilities: Tensor, labels: Tensor, threshold: float) -> list[int]:
    """The videos to show, as the page above says; of (states, 2, videos, classes)."""
    confidence, said = probabilities.max(dim=3)
    right = said == labels
    taught = right & (confidence >= threshold)
    both_right_at_the_end = right[-3:].all(dim=0).all(dim=0)
    lead = (taught[:, 1] & ~taught[:, 0]).sum(dim=0), (taught[:, 0] & ~taught[:, 1]).sum(dim=0)
    wrong = (~right).float().sum(dim=(0, 1))
    videos: list[int] = []
    for score in (*lead, wrong):
        score = torch.where(both_right_at_the_end, score.float(), -1.0)
        score[videos] = -2.0
        videos.append(int(score.argmax()))
    return videos


def frame_of(pictures: list[Image.Image], truth: list[str], said: list[list[tuple[str, float]]], threshold: float,
             step: int, steps: int) -> Image.Image:  # fmt: skip
    """One picture of the animation; `said` holds class and probability for each video and role."""
    canvas = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(canvas)
    small, normal = ImageFont.load_default(12), ImageFont.load_default(14)
    for number, (picture, name, roles) in enumerate(zip(pictures, truth, said, strict=True)):
        left = 10 + number * COLUMN
        canvas.paste(picture, (left + 20, 10))
        draw.text((left + 30 + PICTURE, 20), "in truth", GRAY, small)
        draw.multiline_text((left + 30 + PICTURE, 36), name.replace(" ", "\n"), INK, normal)
        for at, role, (label, confidence) in zip(ROWS, ROLES, roles, strict=True):
            right = label == name
            draw.text((left, at - 22), f"{role}:", GRAY, small)
            draw.text((left + 62, at - 23), label, RIGHT if right else WRONG, normal)
            draw.rectangle((left, at, left + BAR, at + 8), "#e6e6e6")
            draw.rectangle((left, at, left + round(BAR * confidence), at + 8), RIGHT if right else WRONG)
            mark = left + round(BAR * threshold)
            draw.line((mark, at - 3, mark, at + 11), INK, 2)
            draw.text((left + BAR + 8, at - 3), f"{confidence:.0%}", GRAY, small)
            if confidence >= threshold:
                arrow(draw, left + BAR + (60 if role == "primary" else 90), at, role, RIGHT if right else WRONG)
    draw.rectangle((10, HEIGHT - 12, WIDTH - 10, HEIGHT - 8), "#e6e6e6")
    draw.rectangle((10, HEIGHT - 12, 10 + (WIDTH - 20) * step // steps, HEIGHT - 8), GRAY)
    draw.text((WIDTH - 110, HEIGHT - 30), f"step {step} of {steps}", GRAY, small)
    return canvas


def arrow(draw: ImageDraw.ImageDraw, x: int, at: int, role: str, color: str) -> None:
    """From the row of the network that is sure to that of the other one."""
    other = ROWS[1] if role == "primary" else ROWS[0]
    tip = other + (0 if other > at else 8)
    direction = 1 if other > at else -1
    draw.line((x, at + 4, x, tip - 6 * direction), color, 3)
    draw.polygon([(x - 6, tip - 8 * direction), (x + 6, tip - 8 * direction), (x, tip + 2 * direction)], color)


def main() -> None:
    parser = argparse.ArgumentParser(prog="teaching.py", description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("target", type=Path)
    args = parser.parse_args()
    config = json.loads((args.run / "summary.json").read_text())["config"]
    network = cmpl_zoo.create_model(args.run / "primary")
    classes = label_names(network)
    clip = cmpl_zoo.resolve_clip_config(network) | {"clips": 1, "crops": 1}
    videos = read_list(config["unlabeled"], config["root"])
    clips = torch.cat([cmpl_zoo.load_clip(path, **clip) for path in tqdm(videos.paths, desc="read")])
    labels = torch.tensor([classes.index(row["label"]) for row in videos.rows])
    states = States(args.run).files()
    steps = [int(state.stem.removeprefix("step-")) for state in states]
    probabilities = torch.stack([
        probabilities_of(state, config, classes, clips) for state in tqdm(states, desc="predict")
    ])  # fmt: skip
    shown = chosen(probabilities, labels, config["threshold"])
    paths = [videos.paths[video] for video in shown]
    frames = [cmpl_zoo.read_frames(path, range(cmpl_zoo.video_info(path).frames)) for path in paths]
    truth = [classes[labels[video]].replace("_", " ") for video in shown]
    canvases: list[Image.Image] = []
    for place, step in enumerate(steps):
        confidence, said = probabilities[place, :, shown].max(dim=2)
        told = [
            [
                (classes[said[role, video]].replace("_", " "), float(confidence[role, video]))
                for role in range(len(ROLES))
            ]
            for video in range(len(shown))
        ]
        for _ in range(PER_STATE):
            number = len(canvases)
            pictures = [
                Image.fromarray(one[number % len(one)].numpy()).resize((PICTURE, PICTURE), Image.Resampling.BICUBIC)
                for one in frames
            ]
            canvases.append(frame_of(pictures, truth, told, config["threshold"], step, steps[-1]))
    first, *others = canvases
    durations = [MILLISECONDS] * len(others) + [2000]
    first.save(args.target, save_all=True, append_images=others, duration=durations, loop=0, quality=70, method=6)
    print(f"{args.target}  {args.target.stat().st_size / 1e6:.2f} MB, {len(canvases)} pictures")


if __name__ == "__main__":
    main()
