"""Draws the toy world's videos: an object on a table, seen by a camera that drifts, with noise."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from mmpt.toy.motion import Pose, pose
from mmpt.toy.plan import FPS, STREAMS, Step, Video
from mmpt.toy.shapes import FEET, OUTLINES
from mmpt.utils.seeding import generator

SIDE = 128  # pixels, height and width
MARGIN = 16  # pixels around the frame, into which the camera drifts
PIXEL = 2 / SIDE  # in half frames
DRIFT = 0.06  # half frames, how far the camera drifts at most
NOISE = 5.0  # standard deviation, of 256
COME = 0.35  # seconds in which an object comes before its step, and goes after it
RADIUS = {"small": 0.46, "big": 0.56}  # half frames

PAINTS = {
    "red": (214, 40, 46),
    "orange": (244, 130, 20),
    "yellow": (250, 214, 40),
    "green": (40, 160, 70),
    "blue": (38, 84, 206),
    "purple": (142, 52, 172),
    "white": (250, 250, 250),
    "black": (26, 26, 30),
}
SHADOW = (10, 10, 20)
STEEL, WOOD, WATER, JUG = (196, 204, 214), (122, 78, 44), (150, 214, 236), (226, 220, 206)

_DRAWING = STREAMS + 0
Pixels = np.ndarray  # float32 (side, side, 3), or (side, side) for how much of a pixel is covered

_ROWS, _COLUMNS = np.mgrid[:SIDE, :SIDE].astype(np.float32)
_X, _Y = (_COLUMNS + 0.5) * PIXEL - 1, (_ROWS + 0.5) * PIXEL - 1


@dataclass(frozen=True)
class Scene:
    """What stays the same in a video.

    Attributes:
        ground: float32 (SIDE + 2 * MARGIN, the same, 3): table, wall and small things that mean nothing.
        noise: int16 (n, SIDE, SIDE, 3).
        drift: for each axis amplitude, period and phase of two waves, (2, 2, 3).
        places: for each step, where its object stands, (steps, 2) half frames.
        speeds: of each step's action.
        sides: 1 or -1 for each step.
    """

    ground: Pixels
    noise: np.ndarray
    drift: np.ndarray
    places: np.ndarray
    speeds: np.ndarray
    sides: np.ndarray

    def camera(self, time: float) -> tuple[float, float]:
        """Say how far the camera is from its place, in half frames."""
        amplitude, period, phase = np.moveaxis(self.drift, -1, 0)
        x, y = (amplitude * np.sin(2 * math.pi * (time / period + phase))).sum(axis=1)
        return float(x), float(y)


def draw(video: Video, seed: int) -> Iterator[np.ndarray]:
    """Draw a video.

    Args:
        video: its plan.
        seed: of the world.

    Yields:
        uint8 (SIDE, SIDE, 3) frames, `FPS` a second.
    """
    rng = generator(seed, _DRAWING, 2 * video.number + video.held_out)
    scene = make_scene(video, rng)
    for index in range(video.seconds * FPS):
        frame = _draw_frame(video, scene, index / FPS)
        noisy = frame + scene.noise[int(rng.integers(len(scene.noise)))]
        yield np.clip(noisy, 0, 255).astype(np.uint8)


def make_scene(video: Video, rng: np.random.Generator) -> Scene:
    """Draw what stays the same in a video.

    Args:
        video: its plan.
        rng: of this video.

    Returns:
        The scene.
    """
    count = len(video.steps)
    amplitude = rng.uniform(0.3, 0.5, (2, 2)) * DRIFT
    period, phase = rng.uniform(7, 19, (2, 2)), rng.uniform(0, 1, (2, 2))
    return Scene(
        ground=_ground(rng),
        noise=np.rint(rng.normal(0, NOISE, (12, SIDE, SIDE, 3))).astype(np.int16),
        drift=np.stack([amplitude, period, phase], axis=-1),
        places=rng.uniform(-0.04, 0.04, (count, 2)),
        speeds=rng.uniform(0.85, 1.2, count),
        sides=rng.choice([-1, 1], count),
    )


def _ground(rng: np.random.Generator) -> Pixels:
    """A wall, a table with a grain, and a few small pale things."""
    side = SIDE + 2 * MARGIN
    rows, columns = (axis / side for axis in np.mgrid[:side, :side].astype(np.float32))
    warm = rng.uniform(-12, 12, 3)
    wall = np.array([148, 150, 156]) + warm + (rows[..., None] - 0.4) * 40
    grain = 5 * np.sin(rows * 90 + 4 * np.sin(columns * rng.uniform(4, 9) + rng.uniform(0, 6)))
    table = np.array([164, 146, 126]) + rng.uniform(-10, 10, 3) + grain[..., None]
    edge = rng.uniform(0.55, 0.66)
    ground = np.where(rows[..., None] < edge, wall, table)
    for _ in range(int(rng.integers(2, 4))):
        x, y = (rng.choice([0.09, 0.91]) + rng.uniform(-0.05, 0.05), rng.uniform(0.08, 0.92))
        size, tint = rng.uniform(0.025, 0.05), rng.uniform(105, 190, 3)
        covered = _covered((np.hypot(columns - x, rows - y) - size) * side)
        ground = ground + covered[..., None] * (tint - ground) * 0.8
    return ground.astype(np.float32)


def _draw_frame(video: Video, scene: Scene, time: float) -> Pixels:
    x, y = scene.camera(time)
    frame = _view(scene.ground, x, y)
    for number, step in enumerate(video.steps):
        if not step.start - COME < time < step.end + COME:
            continue
        there = min(1.0, (time - step.start + COME) / COME, (step.end + COME - time) / COME)
        inside = min(max(time, step.start), step.end) - step.start
        now = pose(step.action, inside * float(scene.speeds[number]), int(scene.sides[number]))
        place = scene.places[number] - (x, y)
        _draw_step(frame, step, replace(now, visible=now.visible * there), place)
    return frame


def _view(ground: Pixels, x: float, y: float) -> Pixels:
    """The part of the ground that the camera sees, between pixels where it stands between them."""
    column, row = MARGIN + x / PIXEL, MARGIN + y / PIXEL
    left, top = math.floor(column), math.floor(row)
    right, down = np.float32(column - left), np.float32(row - top)
    rows = ground[top : top + SIDE + 1, left : left + SIDE + 1]
    rows = rows[:-1] * (1 - down) + rows[1:] * down
    return rows[:, :-1] * (1 - right) + rows[:, 1:] * right


def _draw_step(frame: Pixels, step: Step, now: Pose, place: np.ndarray) -> None:
    """Draw an object, its shadow, and the tool that is used on it, onto the frame."""
    radius = RADIUS[step.thing.size]
    x, y = _X - np.float32(place[0]), _Y - np.float32(place[1])
    floor = max(0.0, now.y) + radius * now.height * FEET[step.thing.shape]
    near = 1 / (1 + 2 * max(0.0, -now.y))  # what is in the air has a weaker shadow
    flat = np.hypot((x - now.x) / (radius * abs(now.width) * 1.05), (y - floor) / 0.1)
    _paint(frame, SHADOW, np.clip(1.2 - flat, 0, 1) * (0.45 * near * now.visible))
    if now.above is not None:
        _draw_thing(frame, step, replace(now, y=now.above), x, y)
    _draw_thing(frame, step, now, x, y)
    if now.tool:
        _TOOLS[now.tool](frame, now, x, y)


def _draw_thing(frame: Pixels, step: Step, now: Pose, x: Pixels, y: Pixels) -> None:
    thing = step.thing
    radius = RADIUS[thing.size]
    aside = x - np.float32(now.x)
    along, down = aside - np.where(aside < 0, -now.split, now.split).astype(np.float32), y - np.float32(now.y)
    if now.angle:
        cosine, sine = np.float32(math.cos(now.angle)), np.float32(math.sin(now.angle))
        along, down = along * cosine + down * sine, down * cosine - along * sine
    width, height = np.float32(radius * now.width), np.float32(radius * now.height)
    u, v = along / width, down / height
    outside = OUTLINES[thing.shape](u, v)
    scale = min(abs(width), abs(height)) / PIXEL
    covered = _covered(outside * scale)
    if now.split:  # between the halves nothing is left
        covered = covered * _covered((np.float32(now.split) - np.abs(aside)) / PIXEL)
    light = 1.0 + 0.14 * np.clip(-u - v, -1, 1) - 0.3 * _covered((-outside - 0.1) * scale)
    if now.width < 0:
        light = light * 0.72  # its back
    light = light * _texture(thing.texture, u, v)
    colour = np.clip(np.array(PAINTS[thing.colour], np.float32) * light[..., None], 0, 255)
    _paint(frame, colour, covered * now.visible)


def _texture(texture: str, u: Pixels, v: Pixels) -> Pixels:
    if texture == "striped":
        return 1 - 0.2 * (np.sin(9 * v + 3 * u) > 0.2)
    if texture == "dotted":
        return 1 - 0.2 * (np.sin(8 * u) * np.sin(8 * v) > 0.35)
    return np.ones_like(u)


def _knife(frame: Pixels, now: Pose, x: Pixels, y: Pixels) -> None:
    blade = np.maximum(np.abs(x) - 0.055, np.abs(y - now.tool_y + 0.35) - 0.4)
    handle = np.maximum(np.abs(x) - 0.08, np.abs(y - now.tool_y + 0.98) - 0.25)
    _paint(frame, STEEL, _covered(blade / PIXEL) * now.visible)
    _paint(frame, WOOD, _covered(handle / PIXEL) * now.visible)


def _spoon(frame: Pixels, now: Pose, x: Pixels, y: Pixels) -> None:
    bowl = np.hypot((x - now.tool_x) / 1.4, y - now.tool_y) - 0.14
    share = np.clip((now.tool_y - y) / (now.tool_y + 1.2), 0, 1)
    handle = np.maximum(np.abs(x - now.tool_x * (1 - 0.5 * share)) - 0.05, y - now.tool_y)
    _paint(frame, WOOD, _covered(np.minimum(bowl, handle) / PIXEL) * now.visible)


def _jug(frame: Pixels, now: Pose, x: Pixels, y: Pixels) -> None:
    """A jug that is tilted at the top, and water that falls from its lip; `tool_y` says how much."""
    side = math.copysign(1.0, now.tool_x)
    away = (x - now.tool_x) * side
    fall = np.maximum(np.abs(away + 0.02) - 0.07 * now.tool_y, -0.75 - y)
    fall = np.maximum(fall, y - (-0.75 + 0.95 * now.tool_y))
    splash = np.hypot(away / 2.2, y - 0.05) - 0.16 * max(0.0, now.tool_y - 0.6)
    wet = np.minimum(fall, splash) if now.tool_y > 0.6 else fall
    _paint(frame, WATER, _covered(wet / PIXEL) * (0.9 * now.visible))
    tilt = 0.5 * now.tool_y
    along = (away - 0.38) * math.cos(tilt) + (y + 0.78) * math.sin(tilt)
    down = (y + 0.78) * math.cos(tilt) - (away - 0.38) * math.sin(tilt)
    body = np.maximum(np.abs(along) - 0.36, np.abs(down) - 0.2)
    _paint(frame, JUG, _covered(body / PIXEL) * now.visible)


_TOOLS = {"knife": _knife, "spoon": _spoon, "jug": _jug}


def _covered(outside: Pixels) -> Pixels:
    """How much of each pixel is covered; `outside` is the distance from the outline in pixels."""
    return np.clip(0.5 - outside, 0, 1)


def _paint(frame: Pixels, colour: tuple[int, int, int] | Pixels, covered: Pixels) -> None:
    """Put a colour onto the frame, which is this file's own."""
    frame += covered[..., None] * (np.asarray(colour, np.float32) - frame)
