"""The order of items."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpt.datasets import ClusterBatchSampler, EpochBatchSampler, EpochSampler, ItemKey, consecutive_clusters


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
