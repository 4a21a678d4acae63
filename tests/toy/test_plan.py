"""What happens in the world: held-out combinations, and videos that do not depend on how many there are."""

from collections import Counter
from itertools import pairwise

import pytest

from mmpt.toy.plan import (
    FPS,
    HELD_OUT,
    LONG_SECONDS,
    MOST_UNSEEN,
    SECONDS,
    STEP_SECONDS,
    Video,
    held_out_count,
    plan_training,
    plan_videos,
    seen,
    tasks,
    unseen,
)
from mmpt.toy.words import ACTIONS, COLOURS, SHAPES

SEEDS = (0, 1, 2, 17)


def combinations(videos: list[Video], held_out: bool) -> list[tuple[str, str, str]]:
    return [step.combination for video in videos if video.held_out == held_out for step in video.steps]


@pytest.mark.parametrize("seed", SEEDS)
def test_held_out_videos_show_200_combinations_once_each_and_training_videos_none(seed: int) -> None:
    videos = plan_videos(seed, 200)
    tested, learned = combinations(videos, True), combinations(videos, False)
    assert len(tested) == len(set(tested)) == HELD_OUT == 200
    assert not set(tested) & set(learned)
    assert set(tested) | seen(seed) == {(a, s, c) for a in ACTIONS for s in SHAPES for c in COLOURS}
    assert len(tested) * 3 <= len(SHAPES) * len(COLOURS) * len(ACTIONS)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_part_of_an_unseen_combination_is_seen_in_others(seed: int) -> None:
    pairs = Counter((shape, colour) for _, shape, colour in seen(seed))
    assert min(pairs.values()) >= len(ACTIONS) - MOST_UNSEEN and len(pairs) == 64
    out = [(a, *pair) for a, drawn in unseen(seed).items() for pair in drawn]
    assert set(Counter(action for action, _, _ in out).values()) == {20}
    for part in (1, 2):
        assert all(2 <= count <= 3 for count in Counter((row[0], row[part]) for row in out).values())


def test_more_videos_change_none_of_those_that_were_there() -> None:
    few, many = plan_videos(5, 8), plan_videos(5, 40)
    assert {video.id for video in few} < {video.id for video in many}
    there = {video.id: video for video in many}
    assert all(there[video.id] == video for video in few)


def test_another_seed_is_another_world() -> None:
    assert plan_videos(0, 8) == plan_videos(0, 8)
    assert not set(plan_videos(0, 8)) & set(plan_videos(1, 8))
    assert unseen(0) != unseen(1) and tasks(0) != tasks(1)


@pytest.mark.parametrize(("videos", "held_out"), [(2, 2), (8, 2), (20, 4), (100, 20), (199, 38), (200, 40), (900, 40)])
def test_a_fifth_as_many_is_held_out(videos: int, held_out: int) -> None:
    assert held_out_count(videos) == held_out
    planned = [video for video in plan_videos(0, videos) if video.held_out]
    assert len(planned) == held_out
    assert Counter(step.action for video in planned for step in video.steps) == dict.fromkeys(ACTIONS, held_out // 2)


def test_steps_follow_one_another_with_pauses_within_the_video() -> None:
    for video in plan_videos(0, 60):
        assert SECONDS[0] <= video.seconds <= SECONDS[1]
        assert 4 <= len(video.steps) <= 7
        for step in video.steps:
            assert STEP_SECONDS[0] - 1 / FPS <= step.end - step.start <= STEP_SECONDS[1] + 1 / FPS
            assert (step.start * FPS).is_integer() and (step.end * FPS).is_integer()
        for before, after in pairwise(video.steps):
            assert 0.5 < after.start - before.end < 2
        assert video.steps[0].start > 0.5 and video.steps[-1].end < video.seconds


def test_training_videos_show_all_steps_of_their_task_mostly_in_its_order() -> None:
    world = tasks(0)
    kept, videos = 0, [video for video in plan_videos(0, 60) if not video.held_out]
    for video in videos:
        shown = tuple(step.action for step in video.steps)
        assert not world[video.task].primary
        assert sorted(shown) == sorted(world[video.task].actions)
        kept += shown == world[video.task].actions
    assert 0.5 < kept / len(videos) < 0.85


def test_held_out_videos_show_half_of_their_task_in_its_order_and_two_of_them_all() -> None:
    world = tasks(0)
    videos = [video for video in plan_videos(0, 200) if video.held_out]
    for one, other in zip(videos[::2], videos[1::2], strict=True):
        assert one.task == other.task and world[one.task].primary
        places = [[world[v.task].actions.index(step.action) for step in v.steps] for v in (one, other)]
        assert all(shown == sorted(shown) for shown in places)
        assert sorted(places[0] + places[1]) == list(range(len(ACTIONS)))


def test_steps_do_not_fill_a_video_evenly() -> None:
    """Else a reader who spreads a task's steps evenly would find most of them."""
    videos = [video for video in plan_videos(0, 200) if video.held_out]
    found = 0
    for video in videos:
        actions = tasks(0)[video.task].actions
        for step in video.steps:
            guess = (actions.index(step.action) + 0.5) / len(actions) * video.seconds
            found += step.start <= guess < step.end
    assert found / HELD_OUT < 0.35
    empty = [max(v.steps[0].start, v.seconds - v.steps[-1].end) for v in videos]
    assert min(empty) >= LONG_SECONDS[0]


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="0 or more"):
        plan_training(-1, 0)
