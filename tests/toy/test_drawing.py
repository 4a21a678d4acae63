"""Frames: colours, outlines and movements are there, where and when the plan says."""

import numpy as np
import pytest

from mmpt.toy.drawing import PAINTS, SIDE, draw
from mmpt.toy.motion import pose
from mmpt.toy.plan import FPS, Step, Video
from mmpt.toy.shapes import FEET, OUTLINES
from mmpt.toy.words import ACTIONS, COLOURS, SHAPES, Thing

GRID = (np.arange(SIDE) + 0.5) / SIDE * 2 - 1


def video(action: str = "spin", shape: str = "ball", colour: str = "red", *, number: int = 0) -> Video:
    step = Step(1.0, 6.0, action, Thing(shape, colour, "big", "plain"), "")
    return Video("x", number, False, 0, 8, (step,))


def frames(plan: Video, seed: int = 0) -> np.ndarray:
    return np.stack(list(draw(plan, seed))).astype(np.float32)


def like(shown: np.ndarray, colour: str) -> np.ndarray:
    """Where a frame has a colour, in any light."""
    paint = np.array(PAINTS[colour], np.float32)
    return np.abs(shown - paint).max(axis=-1) < 50


def coarse(mask: np.ndarray) -> np.ndarray:
    """What is left of a mask in eight by eight pixels."""
    return mask.reshape(8, SIDE // 8, 8, SIDE // 8).mean(axis=(1, 3))


def test_everything_that_has_a_name_can_be_drawn() -> None:
    assert set(PAINTS) == set(COLOURS) and set(OUTLINES) == set(FEET) == set(SHAPES)
    for action in ACTIONS:
        assert pose(action, 0.3, 1) != pose(action, 1.0, 1)


@pytest.mark.parametrize("colour", COLOURS)
def test_an_object_has_its_colour_and_no_other_while_its_step_lasts(colour: str) -> None:
    shown = frames(video("slide", colour=colour))
    there = {name: like(shown[FPS : 6 * FPS], name).mean() for name in COLOURS}
    assert max(there, key=lambda name: there[name]) == colour
    assert there[colour] > 0.08
    assert like(shown[: FPS // 2], colour).mean() < 0.02  # before it comes
    assert like(shown[7 * FPS :], colour).mean() < 0.02  # after it went


def test_an_object_is_where_its_pose_says() -> None:
    shown = frames(video("slide"))
    for second in (1.5, 2.5, 3.5, 4.5, 5.5):
        ys, xs = np.nonzero(like(shown[round(second * FPS)], "red"))
        x = GRID[xs].mean()
        paths = [pose("slide", (second - 1) * speed, side).x for speed in (0.85, 1.2) for side in (1, -1)]
        assert min(paths) - 0.25 < x < max(paths) + 0.25
        assert abs(GRID[ys].mean()) < 0.2
    moved = [GRID[np.nonzero(like(frame, "red"))[1]].mean() for frame in shown[FPS : 6 * FPS]]
    assert max(moved) - min(moved) > 0.8


def test_a_vanishing_object_is_gone_and_a_growing_one_is_larger() -> None:
    visible = [like(frame, "red").mean() for frame in frames(video("vanish"))[FPS : 4 * FPS]]
    assert min(visible) < 0.01 < 0.1 < max(visible)
    grown = [like(frame, "red").mean() for frame in frames(video("grow"))[FPS : 4 * FPS]]
    assert max(grown) > 4 * grown[0]


def test_cutting_leaves_nothing_between_the_halves_and_stacking_shows_two() -> None:
    cut = [like(frame, "green") for frame in frames(video("cut", colour="green"))[FPS : 4 * FPS]]
    middle = slice(SIDE // 2 - 6, SIDE // 2 + 6)
    whole, parted = cut[0], cut[round(1.9 * FPS)]
    assert whole[:, middle].sum() > 300 > 20 > parted[:, middle].sum()
    assert parted.sum() > 0.6 * whole.sum()
    stacked = [like(frame, "red").mean() for frame in frames(video("stack"))[FPS : 4 * FPS]]
    assert max(stacked) > 1.7 * min(stacked)


def test_shapes_differ_in_eight_by_eight_pixels() -> None:
    masks = {}
    for shape in SHAPES:
        first = frames(video("vanish", shape))[FPS]
        masks[shape] = coarse(like(first, "red"))
    for one in SHAPES:
        for other in SHAPES:
            if one < other:
                differ = np.abs(masks[one] - masks[other]).sum() / max(masks[one].sum(), masks[other].sum())
                assert differ > 0.25, (one, other, differ)


def test_the_same_plan_gives_the_same_pixels_and_another_number_or_seed_others() -> None:
    shown = frames(video())
    assert shown.shape == (8 * FPS, SIDE, SIDE, 3)
    np.testing.assert_array_equal(shown, frames(video()))
    assert (shown != frames(video(), seed=1)).any() and (shown != frames(video(number=1))).any()


def test_the_camera_drifts_and_there_is_noise() -> None:
    shown = frames(video())
    first, last = shown[: FPS // 2], shown[-FPS // 2 :]
    assert 2 < first.std(axis=0).mean() < 8  # of one place over half a second
    assert np.abs(first.mean(axis=0) - last.mean(axis=0)).max() > 10  # things at the side have moved
