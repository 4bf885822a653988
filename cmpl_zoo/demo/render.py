"""Rendered videos of human figures whose actions differ only in motion.

Every action is a closed cycle of poses, repeated at a certain rate, and starts at a random phase, uniform over the
cycle. So the pose in any single frame is uniform over the cycle, whatever the rate: the slow and the fast action with
the same cycle have equal single frames, statistically, and differ only in motion. Actor and camera are drawn
independently of the action; each actor does every action, always in the same room. All of this is our choice.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import cos, pi, radians, sin
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from cmpl_zoo._files import as_csv, atomic_write, replace_text

# As in a family's own videos, a few people are filmed often. With a new actor in every video, a network can recognize
# the few labeled videos of a class by clothes and rooms, and learns that instead of the motion.
ACTORS = 16
OVERSAMPLE = 3  # frames are drawn this much larger and averaged: smooth edges, motion of a third of a pixel
# mbtree=0: with AVX-512, x264's macroblock tree reads uninitialized memory, and equal frames give different files.
DEMO_X264_OPTIONS = {"crf": "18", "preset": "veryfast", "threads": "1", "mbtree": "0"}
MARGIN = 0.35  # how far the background extends beyond the frame on each side, for pans and shake, in frame sides

Color = tuple[int, int, int]
Point = tuple[float, float]
Limb = tuple[float, float]


class Pose(NamedTuple):
    """Directions of the limbs in degrees: 0 hangs down, positive is outwards (front view) or forwards (side view)."""

    arms: tuple[Limb, Limb]  # (upper arm, forearm) of each arm
    legs: tuple[Limb, Limb]  # (thigh, shin) of each leg
    lift: float = 0.0  # height of the lower foot above the floor, in body heights
    side: bool = False  # seen from the side instead of the front


def arm_circle(phase: float, reach: float) -> Pose:
    """Front view: both arms move in a full circle beside the body."""
    arm = 360 * phase
    return Pose(arms=((arm, arm + 25 * (1.2 - reach)),) * 2, legs=((9, 5),) * 2)


def squat(phase: float, reach: float) -> Pose:
    """Front view: from standing with arms up into a deep squat and back, with a small jump at the top."""
    crouched = (1 - cos(2 * pi * phase)) / 2
    arm, thigh = 165 - 140 * crouched, 8 + 67 * reach * crouched
    lift = 0.5 * max(0.0, 0.2 - crouched)
    return Pose(arms=((arm, arm + 10),) * 2, legs=((thigh, 6 - 26 * crouched),) * 2, lift=lift)


def overhead_wave(phase: float, reach: float) -> Pose:
    """Front view: both raised arms swing apart and together, as when waving to somebody far away."""
    swing = reach * sin(2 * pi * phase)
    return Pose(arms=((140 + 30 * swing, 155 + 55 * swing),) * 2, legs=((9, 5),) * 2)


def stride_in_place(phase: float, reach: float) -> Pose:
    """Side view: the legs are half a cycle apart; a foot moves backwards on the floor and forwards lifted, and the arms
    swing opposite to the legs."""

    def leg(leg_phase: float) -> Limb:
        thigh = 12 + 36 * reach * sin(2 * pi * leg_phase)
        return thigh, thigh - 8 - 70 * max(0.0, cos(2 * pi * leg_phase))

    def arm(arm_phase: float) -> Limb:
        upper = 42 * reach * sin(2 * pi * arm_phase)
        return upper, upper + 35

    opposite = phase + 0.5
    return Pose(arms=(arm(opposite), arm(phase)), legs=(leg(phase), leg(opposite)), side=True)


class Action(NamedTuple):
    """A cycle of poses and its rate."""

    cycle: Callable[[float, float], Pose]  # (phase in [0, 1), reach around 1) -> pose
    rate: float  # cycles per second


ACTIONS: dict[str, Action] = {
    "circle_arms_slowly": Action(arm_circle, 0.4),
    "circle_arms_fast": Action(arm_circle, 1.2),
    "squat_slowly": Action(squat, 0.4),
    "squat_fast": Action(squat, 1.2),
    "wave_slowly": Action(overhead_wave, 0.45),
    "wave_fast": Action(overhead_wave, 1.35),
    "walk": Action(stride_in_place, 0.5),
    "run": Action(stride_in_place, 1.5),
}


@dataclass(frozen=True)
class Actor:
    """The body, clothes and room of a person; lengths are in body heights."""

    leg: float
    torso: float
    arm: float
    head: float  # radius
    limb: float  # thickness
    shoulder: float  # half width
    skin: Color
    hair: Color
    shirt: Color
    trousers: Color
    shoes: Color
    sleeves: bool  # long ones, to the wrist, else to the elbow
    shorts: bool
    hat: bool
    room: int  # seed of the background

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Actor":
        """A random actor."""
        skins = [(247, 208, 180), (226, 172, 132), (186, 128, 88), (128, 84, 58), (96, 62, 46)]
        hairs = [(30, 24, 22), (92, 58, 32), (208, 168, 92), (150, 148, 146), (150, 62, 32)]
        return cls(
            leg=rng.uniform(0.46, 0.52),
            torso=rng.uniform(0.28, 0.32),
            arm=rng.uniform(0.38, 0.44),
            head=rng.uniform(0.075, 0.095),
            limb=rng.uniform(0.07, 0.105),
            shoulder=rng.uniform(0.095, 0.13),
            skin=skins[rng.integers(len(skins))],
            hair=hairs[rng.integers(len(hairs))],
            shirt=vivid(rng),
            trousers=vivid(rng),
            shoes=vivid(rng),
            sleeves=bool(rng.random() < 0.5),
            shorts=bool(rng.random() < 0.35),
            hat=bool(rng.random() < 0.3),
            room=int(rng.integers(2**31)),
        )


@dataclass(frozen=True)
class Shot:
    """What else is random in a video: timing, size of the motion, and the camera; lengths are in frame sides."""

    start: float  # phase of the first frame, in [0, 1)
    tempo: float  # factor of the action's rate
    reach: float  # factor of the swing of the limbs
    mirrored: bool
    zoom: float  # height of the body
    roll: float  # rotation of the camera, in radians
    center: Point  # of the figure, from the center of the frame
    drift: Point  # of the camera, per second
    shake: float  # of the camera: standard deviation of its steps from frame to frame
    pan: float  # of the background only, per second
    noise: float  # of the sensor: standard deviation in gray levels
    grain: int  # seed of shake and noise

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Shot":
        """A random shot."""
        return cls(
            start=rng.uniform(),
            tempo=rng.uniform(0.85, 1.15),
            reach=rng.uniform(0.85, 1.1),
            mirrored=bool(rng.random() < 0.5),
            zoom=rng.uniform(0.60, 0.70),
            roll=rng.normal(0, radians(3)),
            center=(rng.uniform(-0.06, 0.06), rng.uniform(-0.03, 0.03)),
            drift=(rng.uniform(-0.03, 0.03), rng.uniform(-0.015, 0.015)),
            shake=rng.uniform(0, 0.006),
            pan=rng.choice([0.0, rng.uniform(-0.05, 0.05)]),
            noise=rng.uniform(0, 4),
            grain=int(rng.integers(2**31)),
        )


def poses(action: str, shot: Shot, frames: int, fps: float) -> list[Pose]:
    """The pose in each frame of a video of an action, one of `ACTIONS`; `fps` is frames per second."""
    cycle, rate = ACTIONS[action]
    return [cycle((shot.start + shot.tempo * rate * i / fps) % 1.0, shot.reach) for i in range(frames)]


def render_frames(action: str, actor: Actor, shot: Shot, size: int, frames: int, fps: float) -> Iterator[np.ndarray]:
    """Yield the frames of a video, each uint8 RGB (size, size, 3).

    Args:
        action: one of `ACTIONS`.
        actor: who does it.
        shot: how it is filmed.
        size: height and width, in pixels.
        frames: number of frames.
        fps: frames per second.
    """
    drawn_size = size * OVERSAMPLE
    rng = np.random.default_rng(shot.grain)
    background = draw_background(np.random.default_rng(actor.room), drawn_size)
    origin = (background.width - drawn_size) / 2
    shake = np.cumsum(rng.normal(0, shot.shake, (frames, 2)), axis=0)
    shake -= shake.mean(axis=0)
    for i, pose in enumerate(poses(action, shot, frames, fps)):
        t = (i - frames / 2) / fps
        move = np.clip(shake[i] + t * np.array(shot.drift), -0.1, 0.1)
        left = np.clip(origin - drawn_size * (move[0] + shot.pan * t), 0, 2 * origin)
        top = origin - drawn_size * move[1]
        image = background.crop((round(left), round(top), round(left) + drawn_size, round(top) + drawn_size))
        draw_figure(image, actor, pose, shot, np.array(shot.center) + move)
        pixels = np.asarray(image.reduce(OVERSAMPLE), dtype=np.float32)
        yield np.clip(pixels + rng.normal(0, 1, pixels.shape) * shot.noise, 0, 255).astype(np.uint8)


def draw_background(rng: np.random.Generator, side: int) -> Image.Image:
    """A dark wall with blurred shapes and usually a floor; larger than a frame of `side` pixels, see MARGIN."""
    full = round(side * (1 + 2 * MARGIN))
    cells = int(rng.integers(2, 7))
    wall = rng.uniform(25, 60) + rng.normal(0, 6, (cells, cells, 1)) + rng.normal(0, 4, 3)
    image = Image.fromarray(np.clip(wall, 0, 255).astype(np.uint8)).resize((full, full), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)

    def muted() -> Color:
        return shade(tuple(wall[0, 0]), rng.uniform(0.8, 1.25))

    for _ in range(rng.integers(0, 7)):
        x, y = rng.uniform(0, full, 2)
        w, h = rng.uniform(0.05, 0.5, 2) * side
        shape = draw.ellipse if rng.random() < 0.4 else draw.rectangle
        shape((x - w / 2, y - h / 2, x + w / 2, y + h / 2), fill=muted())
    if rng.random() < 0.8:
        draw.rectangle((0, full * (MARGIN + rng.uniform(0.6, 0.9)) / (1 + 2 * MARGIN), full, full), fill=muted())
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(0.004, 0.03) * side))


def draw_figure(image: Image.Image, actor: Actor, pose: Pose, shot: Shot, shift: np.ndarray) -> None:
    """Draw the figure into the image: far limbs, body, near limbs, as thick lines with round ends.

    Args:
        image: the background, cropped to the frame.
        actor: body and clothes.
        pose: directions of the limbs.
        shot: its zoom, roll and mirroring are used.
        shift: (2,), of the figure from the center of the frame, in frame sides.
    """
    draw, side = ImageDraw.Draw(image), image.width
    scale = side * shot.zoom
    sign = -1 if shot.mirrored else 1

    def to_pixel(p: Point) -> Point:
        x, y = sign * p[0] * scale, (0.6 - p[1]) * scale  # 0.6: raised arms reach further up than the head
        return (
            side * (0.5 + shift[0]) + cos(shot.roll) * x - sin(shot.roll) * y,
            side * (0.5 + shift[1]) + sin(shot.roll) * x + cos(shot.roll) * y,
        )

    def disc(p: Point, radius: float, color: Color) -> None:
        x, y = to_pixel(p)
        draw.ellipse((x - radius * scale, y - radius * scale, x + radius * scale, y + radius * scale), fill=color)

    def bone(a: Point, b: Point, width: float, color: Color) -> None:
        draw.line((*to_pixel(a), *to_pixel(b)), fill=color, width=round(width * scale))
        disc(a, width / 2, color)
        disc(b, width / 2, color)

    def reach_from(p: Point, angle: float, length: float, outwards: int) -> Point:
        return p[0] + outwards * length * sin(radians(angle)), p[1] - length * cos(radians(angle))

    thigh, shin = 0.5 * actor.leg, 0.5 * actor.leg
    leg_height = max(thigh * cos(radians(a)) + shin * cos(radians(b)) for a, b in pose.legs)
    hip = leg_height + pose.lift + 0.5 * actor.limb
    neck = (0.0, hip + actor.torso)
    outwards = (1, 1) if pose.side else (-1, 1)
    spread = 0.0 if pose.side else 1.0

    def draw_leg(number: int, light: float) -> None:
        top = (spread * outwards[number] * 0.5 * actor.shoulder, hip)
        knee = reach_from(top, pose.legs[number][0], thigh, outwards[number])
        ankle = reach_from(knee, pose.legs[number][1], shin, outwards[number])
        bone(knee, ankle, 0.9 * actor.limb, shade(actor.skin if actor.shorts else actor.trousers, light))
        bone(top, knee, 1.1 * actor.limb, shade(actor.trousers, light))
        toe = reach_from(ankle, 90 + pose.legs[number][1], 0.09 if pose.side else 0.03, outwards[number])
        bone(ankle, toe, 0.8 * actor.limb, shade(actor.shoes, light))

    def draw_arm(number: int, light: float) -> None:
        top = (spread * outwards[number] * actor.shoulder, neck[1] - 0.03)
        elbow = reach_from(top, pose.arms[number][0], 0.48 * actor.arm, outwards[number])
        hand = reach_from(elbow, pose.arms[number][1], 0.52 * actor.arm, outwards[number])
        bone(elbow, hand, 0.75 * actor.limb, shade(actor.shirt if actor.sleeves else actor.skin, light))
        bone(top, elbow, 0.9 * actor.limb, shade(actor.shirt, light))
        disc(hand, 0.5 * actor.limb, shade(actor.skin, light))

    draw_leg(0, 0.7 if pose.side else 0.95)
    if pose.side:
        draw_arm(0, 0.7)
    else:
        draw_leg(1, 0.95)
    chest = 0.9 * actor.shoulder if not pose.side else 0.5 * actor.shoulder
    corners = [(-0.8 * chest, hip), (-chest, neck[1]), (chest, neck[1]), (0.8 * chest, hip)]
    draw.polygon([to_pixel(c) for c in corners], fill=actor.shirt)
    for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
        bone(a, b, actor.limb, actor.shirt)
    if pose.side:
        draw_leg(1, 1.0)
    head = (0.0 if not pose.side else 0.02, neck[1] + 0.04 + actor.head)
    bone(neck, head, 0.06, shade(actor.skin, 0.85))
    disc((head[0] - (0.02 if pose.side else 0), head[1] + 0.015), 1.1 * actor.head, actor.hair)
    disc((head[0] + (0.02 if pose.side else 0), head[1] - 0.01), 0.92 * actor.head, actor.skin)
    if pose.side:
        disc((head[0] + 1.05 * actor.head, head[1] - 0.01), 0.025, actor.skin)
    if actor.hat:
        brim = 1.9 * actor.head if pose.side else 1.1 * actor.head
        crown = (head[0], head[1] + 0.6 * actor.head)
        bone(
            (crown[0] - actor.head * 0.8, crown[1]),
            (crown[0] + brim - 0.3 * actor.head, crown[1]),
            0.04,
            actor.shoes,
        )
    for number in (1,) if pose.side else (0, 1):
        draw_arm(number, 1.0)


def vivid(rng: np.random.Generator) -> Color:
    """A random bright color, which contrasts with a dark background."""
    r, g, b = rng.permutation([rng.uniform(110, 170), rng.uniform(150, 255), rng.uniform(200, 255)])
    return int(r), int(g), int(b)


def shade(color: tuple[float, ...], light: float) -> Color:
    """A color multiplied by the factor `light`, as whole numbers in 0..255."""
    r, g, b = (int(min(255, max(0, light * c))) for c in color)
    return r, g, b


def render_demo(
    directory: Path, videos_per_class: int = 50, size: int = 64, frames: int = 32, fps: int = 16, seed: int = 0
) -> Path:
    """Render the demo's videos as `directory/ACTION/ACTION_0001.mp4`, ..., and list them in `directory/videos.csv`.

    The list has the columns `path,label,actor`; the actors take turns in every action. It is written last: if it
    exists, the folder is complete, and a second call with the same settings changes nothing.

    Args:
        directory: created if missing.
        videos_per_class: videos per action.
        size: height and width, in pixels; even.
        frames: frames per video.
        fps: frames per second.
        seed: seed of everything random; equal settings and seeds give equal pixels before encoding.

    Returns:
        The file of the list.

    Raises:
        ValueError: a setting is not positive, the seed is negative, or `size` is odd.
        FileExistsError: the folder holds demo videos with other settings.
        OSError: a video or the list cannot be written.
    """
    list_file, settings_file = directory / "videos.csv", directory / "settings.json"
    rates = {name: action.rate for name, action in ACTIONS.items()}
    settings = {
        "videos_per_class": videos_per_class,
        "size": size,
        "frames": frames,
        "fps": fps,
        "seed": seed,
        "actors": ACTORS,
        "actions": rates,
    }
    if size % 2 or min(videos_per_class, size, frames, fps) < 1 or seed < 0:
        raise ValueError(
            f"videos_per_class {videos_per_class}, size {size}, frames {frames} and fps {fps} must be at least 1, the "
            f"size even for H.264, and seed {seed} at least 0"
        )
    if settings_file.exists() and json.loads(settings_file.read_text()) != settings:
        raise FileExistsError(f"{directory}: holds demo videos with other settings; delete it or give another folder")
    if list_file.exists():
        if not settings_file.exists():
            raise FileExistsError(f"{list_file}: is there already, and no list of demo videos; give another folder")
        return list_file
    directory.mkdir(parents=True, exist_ok=True)
    settings_file.write_text(json.dumps(settings))
    rows = [
        {"path": f"{action}/{action}_{number:04}.mp4", "label": action, "actor": str((number - 1) % ACTORS + 1)}
        for action in ACTIONS
        for number in range(1, videos_per_class + 1)
    ]
    for row in rows:  # in one process: the imports of a worker would take about as long as its videos
        _render_row(row, directory, size, frames, fps, seed)
    replace_text(list_file, as_csv(rows, ["path", "label", "actor"]))
    return list_file


def _render_row(row: dict[str, str], directory: Path, size: int, frames: int, fps: int, seed: int) -> None:
    action, number = row["label"], int(row["path"].removesuffix(".mp4")[-4:])
    actor = Actor.draw(np.random.default_rng([seed, int(row["actor"])]))
    shot = Shot.draw(np.random.default_rng([seed, number, 1 + list(ACTIONS).index(action)]))
    write_video(directory / row["path"], render_frames(action, actor, shot, size, frames, fps), size, fps)


def write_video(path: Path, frames: Iterator[np.ndarray], size: int, fps: int) -> None:
    """Encode frames, each uint8 RGB (size, size, 3), as H.264 in an MP4 file, which is written atomically.

    Args:
        path: the file.
        frames: frames in order.
        size: height and width, in pixels; even.
        fps: frames per second.
    """
    with atomic_write(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options=DEMO_X264_OPTIONS)
        stream.width = stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.gop_size = fps
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
