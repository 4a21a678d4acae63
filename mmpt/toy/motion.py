"""How the actions of the toy world move an object, and the tool that some of them use.

Positions are in half frames: the frame reaches from -1 to 1, y downwards. Every action repeats while it lasts, so that
any few seconds of it show what it is.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Pose:
    """Where an object is, and what it looks like, at one moment.

    Attributes:
        x: its middle, to the right.
        y: its middle, downwards.
        width: by which its width is multiplied.
        height: by which its height is multiplied.
        angle: by which it is turned, in radians.
        visible: how much of it can be seen, from 0 to 1.
        split: by how much each half of it is moved aside.
        tool: what is used on it: "knife", "spoon", "jug", or nothing.
        tool_x: the tool's tip, to the right.
        tool_y: the tool's tip, downwards.
        above: middle of a second one of it, which falls on the first; None for none.
    """

    x: float = 0.0
    y: float = 0.0
    width: float = 1.0
    height: float = 1.0
    angle: float = 0.0
    visible: float = 1.0
    split: float = 0.0
    tool: str = ""
    tool_x: float = 0.0
    tool_y: float = 0.0
    above: float | None = None


def pose(action: str, time: float, side: int) -> Pose:
    """Say where an action has brought its object.

    Args:
        action: which one.
        time: seconds since it began, at its own speed.
        side: 1 or -1: to which side it begins.

    Returns:
        The pose.
    """
    return _POSES[action](time, side)


def _wave(time: float, period: float) -> float:
    return math.sin(2 * math.pi * time / period)


def _ramp(time: float, period: float, rise: float) -> float:
    """From 0 to 1 in `rise` of each period's seconds, then back in the last 0.4 of them."""
    now = time % period
    if now > period - 0.4:
        return (period - now) / 0.4
    share = min(1.0, now / rise)
    return share * share * (3 - 2 * share)


def _slide(time: float, side: int) -> Pose:
    return Pose(x=side * 0.62 * _wave(time, 3.2))


def _bounce(time: float, side: int) -> Pose:
    height = abs(_wave(time, 2.4))
    flat = max(0.0, 0.25 - height)
    return Pose(y=0.25 - 0.6 * height, width=1 + 0.6 * flat, height=1 - 0.8 * flat)


def _spin(time: float, side: int) -> Pose:
    turn = math.cos(2 * math.pi * time / 2.6)
    return Pose(width=math.copysign(max(0.1, abs(turn)), turn), angle=side * 0.12 * _wave(time, 2.6))


def _stir(time: float, side: int) -> Pose:
    x, y = math.cos(2 * math.pi * time / 2.0), math.sin(2 * math.pi * time / 2.0)
    return Pose(x=-0.1 * side * x, y=-0.1 * y, tool="spoon", tool_x=0.45 * side * x, tool_y=0.3 * y)


def _pour(time: float, side: int) -> Pose:
    return Pose(y=0.12, tool="jug", tool_x=0.1 * side, tool_y=_ramp(time, 3.4, 0.8))


def _cut(time: float, side: int) -> Pose:
    stroke = _ramp(time, 2.8, 0.9)
    apart = _ramp(max(0.0, time % 2.8 - 0.7), 2.1, 1.0)  # once the knife is down
    return Pose(split=0.34 * apart, tool="knife", tool_y=-1.1 + 1.5 * stroke)


def _stack(time: float, side: int) -> Pose:
    return Pose(y=0.4, width=0.78, height=0.76, above=-1.5 + 1.16 * _ramp(time, 3.0, 1.5))


def _grow(time: float, side: int) -> Pose:
    size = 0.4 + 1.0 * _ramp(time, 3.2, 2.6)
    return Pose(width=size, height=size)


def _vanish(time: float, side: int) -> Pose:
    return Pose(visible=1 - _ramp(time, 3.2, 2.2))


def _shake(time: float, side: int) -> Pose:
    return Pose(x=side * 0.2 * _wave(time, 0.75), angle=side * 0.35 * _wave(time + 0.1, 0.75))


_POSES = {
    "slide": _slide,
    "bounce": _bounce,
    "spin": _spin,
    "stir": _stir,
    "pour": _pour,
    "cut": _cut,
    "stack": _stack,
    "grow": _grow,
    "vanish": _vanish,
    "shake": _shake,
}
