"""Ceilings: exact, and the same as many random orders give."""

import numpy as np
import pytest

from mmpt.toy.making import record
from mmpt.toy.plan import plan_videos
from mmpt.toy.readers import ATTRIBUTES, attributes, ceilings

RECORD = record(plan_videos(0, 200), 0)


def test_the_gallery_is_the_held_out_steps() -> None:
    clips = attributes(RECORD)
    assert len(clips) == 200 and "new000_0" in clips
    assert len({tuple(clip.values()) for clip in clips.values()}) == 200
    assert all(set(clip) == set(ATTRIBUTES) for clip in clips.values())


def test_who_knows_nothing_is_at_chance() -> None:
    reader = ceilings(RECORD)["nothing"]
    assert reader["R@1"] == pytest.approx(1 / 200)
    assert reader["R@5"] == pytest.approx(5 / 200)
    assert reader["action"] == pytest.approx(0.1)


def test_readers_get_their_own_attributes_right_and_more_knowledge_finds_more() -> None:
    readers = ceilings(RECORD)
    assert len(readers) == 7
    for name, reader in readers.items():
        for attribute in ATTRIBUTES:
            known = attribute in name.split("+")
            assert (reader[attribute] == pytest.approx(1)) == known
        assert reader["R@1"] <= reader["R@5"] <= reader["R@10"] <= 1
    assert readers["nothing"]["R@1"] < readers["colour"]["R@1"] < readers["action+colour"]["R@1"]
    assert readers["action"]["R@1"] == pytest.approx(1 / 20)  # twenty clips of each action


@pytest.mark.parametrize("known", ["shape", "action+colour"])
def test_the_expectation_is_what_random_orders_give(known: str) -> None:
    clips = list(attributes(RECORD).values())
    rng = np.random.default_rng(0)
    hits, right = {1: 0, 5: 0}, 0
    for _ in range(40):
        for place, wanted in enumerate(clips):
            fits = np.array([all(clip[name] == wanted[name] for name in known.split("+")) for clip in clips])
            order = np.lexsort((rng.random(len(clips)), ~fits))
            for depth in hits:
                hits[depth] += place in order[:depth]
            right += clips[order[0]]["shape"] == wanted["shape"]
    reader, count = ceilings(RECORD)[known], 40 * len(clips)
    assert hits[1] / count == pytest.approx(reader["R@1"], abs=0.02)
    assert hits[5] / count == pytest.approx(reader["R@5"], abs=0.03)
    assert right / count == pytest.approx(reader["shape"], abs=0.03)
