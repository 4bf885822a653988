"""Videos for a first try, rendered when the page starts."""

from itertools import chain
from pathlib import Path

import numpy as np

from cmpl_zoo.demo.render import Actor, Shot, render_frames, write_video

SIZE, FPS, SECONDS = 128, 16, 3
SINGLE = ["walk", "circle_arms_fast", "squat_slowly"]
SEVERAL = ["walk", "wave_fast", "squat_slowly", "run"]  # one after the other


def render_examples(folder: Path) -> dict[str, Path]:
    """Render the videos into a folder; the file of each by what it shows."""
    files = {}
    for number, actions in enumerate([*([action] for action in SINGLE), SEVERAL]):
        actor = Actor.draw(np.random.default_rng(number))
        shots = [Shot.draw(np.random.default_rng([number, place])) for place, _ in enumerate(actions)]
        frames = chain.from_iterable(
            render_frames(action, actor, shot, SIZE, SECONDS * FPS, FPS)
            for action, shot in zip(actions, shots, strict=True)
        )
        shown = ", then ".join(action.replace("_", " ") for action in actions)
        files[shown] = folder / f"{'-'.join(actions)}.mp4"
        write_video(files[shown], frames, SIZE, FPS)
    return files
