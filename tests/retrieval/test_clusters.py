"""Clusters drawn of neighbours, and what the log tells of them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmpt.retrieval.clusters import Drawn, draw_clusters, draw_queries
from mmpt.retrieval.meter import RetriMeter
from mmpt.utils.seeding import generator


def drawn(index: list[list[int]], queries: list[int], size: int, videos: int, seed: int = 0) -> Drawn:
    near = np.array(index)
    distance = np.where(near < 0, np.inf, near).astype(np.float32)  # a video of index 7 is 7 away
    return draw_clusters(np.array(queries), near, distance, size=size, videos=videos, rng=generator(seed))


@given(st.integers(1, 50), st.integers(1, 50), st.integers(0, 3))
def test_queries_are_distinct_and_as_many_as_give_each_video_a_place(videos: int, size: int, seed: int) -> None:
    queries = draw_queries(videos, size, generator(seed))
    assert len(queries) == len(set(queries.tolist())) == videos // size
    assert all(0 <= query < videos for query in queries)


def test_the_query_first_and_then_some_of_its_neighbours_each_once() -> None:
    found = drawn([list(range(1, 12))] * 50, [0] * 50, 5, 12)
    assert found.videos.shape == (50, 5) and (found.videos[:, 0] == 0).all() and (found.distance[:, 0] == 0).all()
    assert all(len(set(cluster)) == 5 for cluster in found.videos.tolist())
    assert np.array_equal(found.distance, found.videos.astype(np.float32))
    assert len({tuple(cluster) for cluster in found.videos.tolist()}) > 1  # drawn for each


def test_every_neighbour_is_drawn_as_often() -> None:
    count = 8000
    found = drawn([[3, 1, 4, 2, 6, 5, 8, 7]] * count, [0] * count, 4, 9)
    times = np.bincount(found.videos[:, 1:].ravel(), minlength=9)[1:]
    expected = count * 3 / 8
    assert np.abs(times - expected).max() < 5 * np.sqrt(expected * 5 / 8)


def test_the_order_of_the_neighbours_does_not_change_the_draw() -> None:
    one, other = drawn([[1, 2, 3, 4, 5, 6]], [0], 4, 7), drawn([[1, 3, 2, 4, 6, 5]], [0], 4, 7)
    assert np.array_equal(one.videos, other.videos)


def test_a_cluster_with_too_few_neighbours_is_filled_with_others() -> None:
    found = drawn([[4, 9, -1, -1, -1], [-1] * 5], [0, 3], 5, 10)
    for cluster in found.videos.tolist():
        assert len(set(cluster)) == 5 and all(0 <= video < 10 for video in cluster)
    assert {0, 4, 9} <= set(found.videos[0].tolist())
    assert np.isfinite(found.distance).sum(axis=1).tolist() == [3, 1]


def test_a_cluster_of_all_videos_and_of_one() -> None:
    assert sorted(drawn([[-1, -1]], [2], 6, 6).videos[0].tolist()) == list(range(6))
    assert drawn([[1, 2]], [0], 1, 3).videos.tolist() == [[0]]
    assert drawn([[]], [0], 1, 3).videos.tolist() == [[0]]


def test_the_meter_tells_neighbours_from_others() -> None:
    vectors = torch.arange(20.0)[:, None]  # on a line
    part = Drawn(np.array([[0, 1, 2, 15], [9, 8, 10, 1]]), np.array([[0, 1, 2, np.nan], [0, 1, 1, 8]], np.float32))
    told = RetriMeter(vectors, generator(0))([part])
    assert told["clusters"] == 2 and told["hard_negatives"] == pytest.approx(5 / 6)
    assert told["neighbour_distance"] == pytest.approx(13 / 5)
    assert told["distinct_videos"] == 7 and told["distinct_share"] == pytest.approx(7 / 20)
    assert told["most_often"] == 2
    assert told["random_distance"] == pytest.approx(7, abs=0.7)  # (n + 1) / 3 between two of n on a line


def test_the_meter_of_clusters_without_company() -> None:
    told = RetriMeter(torch.zeros(1, 2), generator(0))([Drawn(np.array([[0]]), np.zeros((1, 1), np.float32))])
    assert told["hard_negatives"] == told["neighbour_distance"] == told["random_distance"] == 0
