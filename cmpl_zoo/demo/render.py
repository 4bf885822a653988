"""Procedural videos of human-like figures whose actions only motion tells apart.

Every action is a closed cycle of poses run at a rate, from a start phase that is uniform over the cycle. At any frame
of any video the pose is therefore a uniform draw from the cycle, however fast it runs: the slow and the fast action
on one cycle share every single-frame statistic and differ in motion alone. Actor and camera are drawn without
looking at the action; each actor performs every action, in one and the same room. All choices are ours.
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

# As in a family's own videos, few people are filmed often. With an actor a video a network can tell the few labeled
# videos of a class by their clothes and rooms, and learns that instead of the motion.
ACTORS = 16
OVERSAMPLE = 3  # drawn this much larger and averaged down: smooth edges, motion of a third of a pixel
# x264's tree of macroblocks reads memory that nobody has written, where it has AVX-512: equal frames, other files.
OPTIONS = {"crf": "18", "preset": "veryfast", "threads": "1", "mbtree": "0"}
MARGIN = 0.35  # of the frame side: how far the background reaches beyond it, for pans and shake

Colour = tuple[int, int, int]
Point = tuple[float, float]
Limb = tuple[float, float]


class Pose(NamedTuple):
    """Directions of the limbs, in degrees from hanging down; positive is outwards (front view) or ahead (side view)."""

    arms: tuple[Limb, Limb]  # (upper arm, forearm) of each arm
    legs: tuple[Limb, Limb]  # (thigh, shin) of each leg
    lift: float = 0.0  # height of the lower foot above the floor, in body heights
    side: bool = False  # seen from the side instead of the front


def arm_circle(phase: float, reach: float) -> Pose:
    """Front: both arms sweep the full circle beside the body."""
    arm = 360 * phase
    return Pose(arms=((arm, arm + 25 * (1.2 - reach)),) * 2, legs=((9, 5),) * 2)


def squat(phase: float, reach: float) -> Pose:
    """Front: from stretched, arms up, into a deep crouch and back, with a hop at the top."""
    crouched = (1 - cos(2 * pi * phase)) / 2
    arm, thigh = 165 - 140 * crouched, 8 + 67 * reach * crouched
    lift = 0.5 * max(0.0, 0.2 - crouched)
    return Pose(arms=((arm, arm + 10),) * 2, legs=((thigh, 6 - 26 * crouched),) * 2, lift=lift)


def overhead_wave(phase: float, reach: float) -> Pose:
    """Front: both raised arms swing apart and together, as when flagging somebody down."""
    swing = reach * sin(2 * pi * phase)
    return Pose(arms=((140 + 30 * swing, 155 + 55 * swing),) * 2, legs=((9, 5),) * 2)


def stride_in_place(phase: float, reach: float) -> Pose:
    """Side: legs half a cycle apart; the foot is on the floor one way and lifted the other; arms swing against them."""

    def leg(at: float) -> Limb:
        thigh = 12 + 36 * reach * sin(2 * pi * at)
        return thigh, thigh - 8 - 70 * max(0.0, cos(2 * pi * at))

    def arm(at: float) -> Limb:
        upper = 42 * reach * sin(2 * pi * at)
        return upper, upper + 35

    other = phase + 0.5
    return Pose(arms=(arm(other), arm(phase)), legs=(leg(phase), leg(other)), side=True)


class Action(NamedTuple):
    """A cycle of poses and how it is run."""

    cycle: Callable[[float, float], Pose]  # (phase in [0, 1), reach around 1) -> pose
    rate: float  # cycles a second


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
    """Body (lengths in body heights), clothes and room."""

    leg: float
    torso: float
    arm: float
    head: float  # radius
    limb: float  # thickness
    shoulder: float  # half width
    skin: Colour
    hair: Colour
    shirt: Colour
    trousers: Colour
    shoes: Colour
    sleeves: bool  # to the wrist, else to the elbow
    shorts: bool
    hat: bool
    room: int  # seed of the background

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Actor":
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
    """All else that is drawn for a video: how the cycle is run, and the camera (in frame sides)."""

    start: float  # phase of the first frame
    tempo: float  # factor on the action's rate
    reach: float  # factor on the swings
    mirrored: bool
    zoom: float  # frame sides a body height
    roll: float  # radians
    centre: Point
    drift: Point  # a second
    shake: float
    pan: float  # of the background alone, a second
    noise: float  # of the sensor, in grey levels
    grain: int  # seed of the shake and the noise

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Shot":
        return cls(
            start=rng.uniform(),
            tempo=rng.uniform(0.85, 1.15),
            reach=rng.uniform(0.85, 1.1),
            mirrored=bool(rng.random() < 0.5),
            zoom=rng.uniform(0.60, 0.70),
            roll=rng.normal(0, radians(3)),
            centre=(rng.uniform(-0.06, 0.06), rng.uniform(-0.03, 0.03)),
            drift=(rng.uniform(-0.03, 0.03), rng.uniform(-0.015, 0.015)),
            shake=rng.uniform(0, 0.006),
            pan=rng.choice([0.0, rng.uniform(-0.05, 0.05)]),
            noise=rng.uniform(0, 4),
            grain=int(rng.integers(2**31)),
        )


def poses(action: str, shot: Shot, frames: int, fps: float) -> list[Pose]:
    """The pose of each frame of a video."""
    cycle, rate = ACTIONS[action]
    return [cycle((shot.start + shot.tempo * rate * i / fps) % 1.0, shot.reach) for i in range(frames)]


def render_frames(action: str, actor: Actor, shot: Shot, size: int, frames: int, fps: float) -> Iterator[np.ndarray]:
    """Yield the frames of a video, each (size, size, 3) uint8 RGB."""
    big = size * OVERSAMPLE
    rng = np.random.default_rng(shot.grain)
    background = draw_background(np.random.default_rng(actor.room), big)
    origin = (background.width - big) / 2
    shake = np.cumsum(rng.normal(0, shot.shake, (frames, 2)), axis=0)
    shake -= shake.mean(axis=0)
    for i, pose in enumerate(poses(action, shot, frames, fps)):
        t = (i - frames / 2) / fps
        move = np.clip(shake[i] + t * np.array(shot.drift), -0.1, 0.1)
        left = np.clip(origin - big * (move[0] + shot.pan * t), 0, 2 * origin)
        top = origin - big * move[1]
        image = background.crop((round(left), round(top), round(left) + big, round(top) + big))
        draw_figure(image, actor, pose, shot, np.array(shot.centre) + move)
        pixels = np.asarray(image.reduce(OVERSAMPLE), dtype=np.float32)
        yield np.clip(pixels + rng.normal(0, 1, pixels.shape) * shot.noise, 0, 255).astype(np.uint8)


def draw_background(rng: np.random.Generator, side: int) -> Image.Image:
    """A dark, muted wall with soft shapes above a floor, larger than the frame by MARGIN on every side."""
    full = round(side * (1 + 2 * MARGIN))
    cells = int(rng.integers(2, 7))
    wall = rng.uniform(25, 60) + rng.normal(0, 6, (cells, cells, 1)) + rng.normal(0, 4, 3)
    image = Image.fromarray(np.clip(wall, 0, 255).astype(np.uint8)).resize((full, full), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)

    def muted() -> Colour:
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
    """Draw the figure into `image`: far limbs, body, near limbs, as thick lines with round ends."""
    draw, side = ImageDraw.Draw(image), image.width
    scale = side * shot.zoom
    sign = -1 if shot.mirrored else 1

    def to_pixel(p: Point) -> Point:
        x, y = sign * p[0] * scale, (0.6 - p[1]) * scale  # 0.6: raised arms reach further up than the head
        return (
            side * (0.5 + shift[0]) + cos(shot.roll) * x - sin(shot.roll) * y,
            side * (0.5 + shift[1]) + sin(shot.roll) * x + cos(shot.roll) * y,
        )

    def disc(p: Point, radius: float, colour: Colour) -> None:
        x, y = to_pixel(p)
        draw.ellipse((x - radius * scale, y - radius * scale, x + radius * scale, y + radius * scale), fill=colour)

    def bone(a: Point, b: Point, width: float, colour: Colour) -> None:
        draw.line((*to_pixel(a), *to_pixel(b)), fill=colour, width=round(width * scale))
        disc(a, width / 2, colour)
        disc(b, width / 2, colour)

    def reach_from(p: Point, angle: float, length: float, outwards: int) -> Point:
        return p[0] + outwards * length * sin(radians(angle)), p[1] - length * cos(radians(angle))

    thigh, shin = 0.5 * actor.leg, 0.5 * actor.leg
    drop = max(thigh * cos(radians(a)) + shin * cos(radians(b)) for a, b in pose.legs)
    hip = drop + pose.lift + 0.5 * actor.limb
    neck = (0.0, hip + actor.torso)
    ways = (1, 1) if pose.side else (-1, 1)
    spread = 0.0 if pose.side else 1.0

    def draw_leg(which: int, light: float) -> None:
        top = (spread * ways[which] * 0.5 * actor.shoulder, hip)
        knee = reach_from(top, pose.legs[which][0], thigh, ways[which])
        ankle = reach_from(knee, pose.legs[which][1], shin, ways[which])
        bone(knee, ankle, 0.9 * actor.limb, shade(actor.skin if actor.shorts else actor.trousers, light))
        bone(top, knee, 1.1 * actor.limb, shade(actor.trousers, light))
        heel_to_toe = reach_from(ankle, 90 + pose.legs[which][1], 0.09 if pose.side else 0.03, ways[which])
        bone(ankle, heel_to_toe, 0.8 * actor.limb, shade(actor.shoes, light))

    def draw_arm(which: int, light: float) -> None:
        top = (spread * ways[which] * actor.shoulder, neck[1] - 0.03)
        elbow = reach_from(top, pose.arms[which][0], 0.48 * actor.arm, ways[which])
        hand = reach_from(elbow, pose.arms[which][1], 0.52 * actor.arm, ways[which])
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
    for which in (1,) if pose.side else (0, 1):
        draw_arm(which, 1.0)


def vivid(rng: np.random.Generator) -> Colour:
    """A strong, bright colour, which stands out from a dark background."""
    r, g, b = rng.permutation([rng.uniform(110, 170), rng.uniform(150, 255), rng.uniform(200, 255)])
    return int(r), int(g), int(b)


def shade(colour: tuple[float, ...], light: float) -> Colour:
    r, g, b = (int(min(255, max(0, light * c))) for c in colour)
    return r, g, b


def render_demo(
    directory: Path, videos_per_class: int = 50, size: int = 64, frames: int = 32, fps: int = 16, seed: int = 0
) -> Path:
    """Render the demo's videos as `directory/ACTION/ACTION_0001.mp4`, ..., and list them in `directory/videos.csv`.

    The list has the columns `path,label,actor`; the actors take turns at every action. It is written last, so a folder
    that has it is complete, and a second call with the same settings changes nothing.

    Args:
        directory: created where missing.
        videos_per_class: videos of each action.
        size: height and width, in pixels, even.
        frames: frames of each video.
        fps: frames a second.
        seed: of all draws; videos of equal settings and seed have equal pixels before encoding.

    Returns:
        The list.

    Raises:
        ValueError: a setting is not positive, the seed is negative, or `size` is odd.
        FileExistsError: the folder holds demo videos of other settings.
    """
    listing, settings_file = directory / "videos.csv", directory / "settings.json"
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
            f"size even for H.264, and the seed {seed} not negative"
        )
    if settings_file.exists() and json.loads(settings_file.read_text()) != settings:
        raise FileExistsError(f"{directory}: holds demo videos of other settings; delete it or give another folder")
    if listing.exists():
        return listing
    directory.mkdir(parents=True, exist_ok=True)
    settings_file.write_text(json.dumps(settings))
    rows = [
        {"path": f"{action}/{action}_{number:04}.mp4", "label": action, "actor": str((number - 1) % ACTORS + 1)}
        for action in ACTIONS
        for number in range(1, videos_per_class + 1)
    ]
    for row in rows:  # one process: a worker's imports take about as long as its share of the videos
        _render_row(row, directory, size, frames, fps, seed)
    replace_text(listing, as_csv(rows, ["path", "label", "actor"]))
    return listing


def _render_row(row: dict[str, str], directory: Path, size: int, frames: int, fps: int, seed: int) -> None:
    action, number = row["label"], int(row["path"].removesuffix(".mp4")[-4:])
    actor = Actor.draw(np.random.default_rng([seed, int(row["actor"])]))
    shot = Shot.draw(np.random.default_rng([seed, number, 1 + list(ACTIONS).index(action)]))
    write_video(directory / row["path"], render_frames(action, actor, shot, size, frames, fps), size, fps)


def write_video(path: Path, frames: Iterator[np.ndarray], size: int, fps: int) -> None:
    """Encode `frames` as H.264 in MP4; `path` appears only once it is whole."""
    with atomic_write(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options=OPTIONS)
        stream.width = stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.gop_size = fps
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
