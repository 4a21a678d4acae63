"""The order of items."""

import csv
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpt.datasets import (
    ClusterBatchSampler,
    DistinctVideosBatchSampler,
    EpochBatchSampler,
    EpochSampler,
    FixedBatchSampler,
    ItemKey,
    consecutive_clusters,
    distinct_video_batches,
)
from mmpt.datasets.samplers import consecutive_batches
from tests.conftest import SHARED


@given(st.integers(0, 50), st.integers(1, 5), st.integers(0, 3), st.booleans())
def test_ranks_share_an_epoch(length: int, world: int, epoch: int, shuffle: bool) -> None:
    keys = []
    for rank in range(world):
        sampler = EpochSampler(length, seed=1, shuffle=shuffle, rank=rank, world=world)
        sampler.set_epoch(epoch)
        own = list(sampler)
        assert len(own) == len(sampler) == length // world and all(key.epoch == epoch for key in own)
        keys += own
    assert len(set(keys)) == len(keys) == length - sampler.dropped


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        sampler = EpochSampler(20, seed=seed)
        list(sampler)
        sampler.set_epoch(epoch)
        return [key.index for key in sampler]

    assert order(1, 2) == order(1, 2) and sorted(order(1, 2)) == list(range(20))
    assert len({tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9


def test_without_shuffling_items_come_as_listed() -> None:
    assert list(EpochSampler(3, shuffle=False)) == [ItemKey(0, 0), ItemKey(0, 1), ItemKey(0, 2)]


@pytest.mark.parametrize(("drop_last", "sizes", "dropped"), [(True, [4, 4], 2), (False, [4, 4, 2], 0)])
def test_the_last_batch(drop_last: bool, sizes: list[int], dropped: int) -> None:
    sampler = EpochBatchSampler(EpochSampler(10), 4, drop_last=drop_last)
    assert [len(batch) for batch in sampler] == sizes and len(sampler) == len(sizes) and sampler.dropped == dropped
    sampler.set_epoch(4)
    assert {key.epoch for batch in sampler for key in batch} == {4}


def test_dropped_items_of_all_ranks_are_counted() -> None:
    samplers = [EpochBatchSampler(EpochSampler(23, rank=rank, world=3), 3, drop_last=True) for rank in range(3)]
    kept = Counter(key.index for sampler in samplers for batch in sampler for key in batch)
    assert set(kept.values()) == {1} and {sampler.dropped for sampler in samplers} == {23 - len(kept)}


def test_a_batch_is_a_cluster() -> None:
    clusters = [[3, 1], [0, 2], [4, 5]]
    sampler = ClusterBatchSampler(clusters, seed=1)
    batches = [[key.index for key in batch] for batch in sampler]
    assert sorted(batches) == sorted(clusters) and len(sampler) == 3
    sampler.plan(2, [[7], [8]])
    assert sorted(sampler) == [[ItemKey(2, 7)], [ItemKey(2, 8)]]
    sampler.set_epoch(3)
    assert sorted(sampler) == [[ItemKey(3, 7)], [ItemKey(3, 8)]]


def test_the_order_of_clusters_is_a_function_of_seed_and_epoch() -> None:
    orders = {}
    for epoch in (0, 1, 0):
        sampler = ClusterBatchSampler([[number] for number in range(30)], seed=2)
        sampler.set_epoch(epoch)
        orders.setdefault(epoch, []).append([batch[0].index for batch in sampler])
    assert orders[0][0] == orders[0][1] != orders[1][0]
    plain = ClusterBatchSampler([[number] for number in range(30)], shuffle=False)
    assert [batch[0].index for batch in plain] == list(range(30))


def test_ranks_get_as_many_clusters() -> None:
    clusters = [[number] for number in range(11)]
    samplers = [ClusterBatchSampler(clusters, seed=2, rank=rank, world=4) for rank in range(4)]
    shares = [[batch[0].index for batch in sampler] for sampler in samplers]
    assert [len(share) for share in shares] == [2] * 4 and len({n for share in shares for n in share}) == 8
    assert {sampler.dropped for sampler in samplers} == {3}


def test_a_plan_may_change_while_a_pass_is_under_way() -> None:
    sampler = ClusterBatchSampler([[0], [1]], shuffle=False)
    under_way = iter(sampler)
    next(under_way)
    sampler.plan(1, [[5], [6]])
    assert next(under_way) == [ItemKey(0, 1)]


@pytest.mark.parametrize("rank", [-1, 2])
def test_a_rank_that_is_not_there_is_told(rank: int) -> None:
    for make in (lambda: EpochSampler(4, rank=rank, world=2), lambda: ClusterBatchSampler([[0]], rank=rank, world=2)):
        with pytest.raises(ValueError, match=f"rank is {rank} of 2 processes; it takes 0 to 1"):
            make()


def test_too_few_clusters_are_told() -> None:
    with pytest.raises(ValueError, match="1 clusters for 2 processes"):
        ClusterBatchSampler([[0]], world=2)


def test_an_empty_batch_is_told() -> None:
    with pytest.raises(ValueError, match="batch size is 0"):
        EpochBatchSampler(EpochSampler(3), 0, drop_last=True)


def test_consecutive_clusters() -> None:
    assert [list(c) for c in consecutive_clusters(7, 2, multiple=1)] == [[0, 1], [2, 3], [4, 5]]
    assert len(consecutive_clusters(37, 2)) == 16 and consecutive_clusters(6, 2) == []


def test_consecutive_items_stay_together_and_whole_batches_are_shuffled() -> None:
    sampler = FixedBatchSampler(consecutive_batches(11, 4), seed=1)
    seen = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        seen.append([[key.index for key in batch] for batch in sampler])
        assert sorted(seen[-1]) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]], "the last one is kept"
    assert seen[0] != seen[1] or seen[1] != seen[2]
    assert [list(batch) for batch in FixedBatchSampler([[0], [1]], shuffle=False)] == [[ItemKey(0, 0)], [ItemKey(0, 1)]]


def together(videos: Sequence[Hashable], batches: Iterable[Sequence[ItemKey]]) -> tuple[float, float]:
    """Pairs of items of one video in a batch, on average; and the share of batches with one."""
    counts = [Counter(videos[key.index] for key in batch) for batch in batches]
    pairs = [sum(n * (n - 1) // 2 for n in count.values()) for count in counts]
    return float(np.mean(pairs)), float(np.mean([n > 0 for n in pairs]))


def shuffled(length: int, size: int) -> EpochBatchSampler:
    return EpochBatchSampler(EpochSampler(length, seed=1), size, drop_last=True)


def test_a_video_stands_in_a_batch_once_where_the_list_is_repeated() -> None:
    """MSR-VTT's 7,010 videos, 20 times an epoch, in batches of 224."""
    videos = list(range(7010)) * 20
    assert together(videos, FixedBatchSampler(consecutive_batches(len(videos), 224), seed=1)) == (0, 0)
    assert together(videos, DistinctVideosBatchSampler(videos, 224, seed=1)) == (0, 0)
    pairs, share = together(videos, shuffled(len(videos), 224))
    assert pairs == pytest.approx(3.4, abs=0.2) and share == pytest.approx(0.96, abs=0.02)


def others(videos: Sequence[Hashable], batches: Iterable[Sequence[ItemKey]]) -> float:
    """Other clips of the same video in the batch of a clip, on average."""
    counts = [Counter(videos[key.index] for key in batch) for batch in batches]
    return sum(n * (n - 1) for count in counts for n in count.values()) / len(videos)


def check_neighbours(videos: list[str]) -> None:
    assert others(videos, FixedBatchSampler(consecutive_batches(len(videos), 128))) == pytest.approx(7.5, abs=0.05)
    assert others(videos, shuffled(len(videos), 128)) == pytest.approx(0.3, abs=0.02)
    assert others(videos, DistinctVideosBatchSampler(videos, 128, seed=1)) == 0


def test_clips_of_a_video_are_in_one_batch_as_listed() -> None:
    """Made up like YouCook2's validation list: 3,350 clips of 436 videos, those of a video one after the other."""
    counts = {3: 12, 4: 26, 5: 69, 6: 67, 7: 59, 8: 59, 9: 43, 10: 27, 11: 23, 12: 19, 13: 15, 14: 11, 15: 5, 16: 1}
    sizes = np.random.default_rng(0).permutation([size for size, times in counts.items() for _ in range(times)])
    check_neighbours([f"v{number}" for number, size in enumerate(sizes) for _ in range(size)])


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the real list of YouCook2 in ../shared")
def test_clips_of_a_video_are_in_one_batch_of_the_real_list() -> None:
    with (SHARED / "data" / "annotations" / "youcook_validation.csv").open() as file:
        check_neighbours([row["video_id"] for row in csv.DictReader(file)])


@given(st.lists(st.integers(0, 9), max_size=60), st.integers(1, 12), st.integers(0, 5))
def test_no_video_twice_in_a_batch(videos: list[int], size: int, seed: int) -> None:
    batches = distinct_video_batches(videos, size, np.random.default_rng(seed))
    assert sorted(index for batch in batches for index in batch) == list(range(len(videos))), "each item once"
    assert all(len({videos[index] for index in batch}) == len(batch) <= size for batch in batches)
    lengths = [len(batch) for batch in batches]
    assert max(lengths, default=0) - min(lengths, default=0) <= 1
    assert len(batches) == max(-(-len(videos) // size), max(Counter(videos).values(), default=0))


def test_batches_of_distinct_videos_are_a_function_of_seed_and_epoch() -> None:
    videos = [number // 3 for number in range(60)]

    def order(seed: int, epoch: int) -> tuple[tuple[int, ...], ...]:
        sampler = DistinctVideosBatchSampler(videos, 8, seed=seed)
        list(sampler)
        sampler.set_epoch(epoch)
        assert {key.epoch for batch in sampler for key in batch} == {epoch} and len(sampler) == 8
        return tuple(tuple(key.index for key in batch) for batch in sampler)

    assert order(1, 2) == order(1, 2)
    assert len({order(seed, epoch) for seed in range(2) for epoch in range(3)}) == 6
    shares = [list(DistinctVideosBatchSampler(videos, 8, seed=1, rank=rank, world=3)) for rank in range(3)]
    assert [len(share) for share in shares] == [2, 2, 2]


def test_any_two_videos_may_meet() -> None:
    """Each video's company is drawn anew for each of its items: with 8 items each, two of 40 videos rarely miss."""
    videos = [number % 40 for number in range(320)]
    met = np.zeros((40, 40), int)
    sampler = DistinctVideosBatchSampler(videos, 10, seed=1)
    for epoch in range(20):
        sampler.set_epoch(epoch)
        for batch in sampler:
            there = [videos[key.index] for key in batch]
            met[np.ix_(there, there)] += 1
    apart = met[~np.eye(40, dtype=bool)]
    expected = 20 * 32 * (10 * 9) / (40 * 39)
    assert apart.mean() == pytest.approx(expected) and apart.min() > expected / 2 and apart.max() < 2 * expected
