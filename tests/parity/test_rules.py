"""Rules that the recordings only give examples of, against plain implementations of the published algorithms.

Sizes are those that the recordings lack: as many seconds as steps, one item, nothing at all, ties, ends of a video.
docs/parity.md lists the rules.
"""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmpt.evaluators.moments import MOMENTS, DiDeMoMetric, MomentAnswers
from mmpt.evaluators.retrieval import RetrievalMetric, ScoredAnswers
from mmpt.evaluators.segmentation import largest_similarity
from mmpt.evaluators.steps import CrossTaskMetric, StepVideo, align, align_with_gap_cost
from mmpt.losses.contrastive import MMContraLoss, T2VContraLoss
from mmpt.processors.crosstask import split
from mmpt.processors.ds import covered_seconds
from mmpt.processors.sampling import VideoClipSamplingProcessor, _walk
from mmpt.retrieval.vectors import VideoVectorPool
from mmpt.text.dedup import shared_letters
from mmpt.utils.seeding import generator
from mmpt.video.windows import cut, merge

FEW = settings(max_examples=60)
WHOLE = st.integers(-3, 3).map(float)  # whole numbers make ties


@st.composite
def costs(draw: st.DrawFn) -> np.ndarray:
    steps = draw(st.integers(1, 4))
    return draw(arrays(np.float64, (draw(st.integers(steps, steps + 4)), steps), elements=WHOLE))


def walk_over_states(cost: np.ndarray) -> np.ndarray:
    """Zhukov et al. (CVPR 2019), section 4: gap, step 0, gap, step 1, ..., gap; a gap is free, a step takes a second.

    Among equal ways it stays in a gap, reaches a step from the gap before it, and ends in the last step.
    """
    seconds, steps = cost.shape
    best = np.full((seconds + 1, 2 * steps + 1), np.inf)
    best[0, 0] = 0
    came = np.zeros(best.shape, int)
    for second in range(1, seconds + 1):
        for state in range(2 * steps + 1):
            if state % 2:  # a step: from the gap before it, or from the step before that
                ways = [state - 1] + ([state - 2] if state > 1 else [])
            else:  # a gap: it stays, or comes from the step before it
                ways = [state] + ([state - 1] if state else [])
            came[second, state] = min(ways, key=lambda way: best[second - 1, way])
            here = cost[second - 1, state // 2] if state % 2 else 0.0
            best[second, state] = best[second - 1, came[second, state]] + here
    state = min((2 * steps - 1, 2 * steps), key=lambda state: best[seconds, state])
    found = np.zeros(cost.shape, bool)
    for second in range(seconds, 0, -1):
        if state % 2:
            found[second - 1, state // 2] = True
        state = came[second, state]
    return found


@FEW
@given(costs())
def test_steps_stand_where_a_walk_over_all_states_puts_them(cost: np.ndarray) -> None:
    assert np.array_equal(align(cost), walk_over_states(cost))
    unreachable = len(cost) == cost.shape[1] and cost[-1, -1] > 0
    assert np.array_equal(align(cost, "paper"), walk_over_states(cost) & (not unreachable))


@FEW
@given(costs(), st.sampled_from([-0.5, 0.0, 0.5]))
def test_steps_of_any_length_cost_as_little_as_any_way(cost: np.ndarray, gap: float) -> None:
    seconds, steps = cost.shape
    found = align_with_gap_cost(cost, gap)
    assert (found.sum(axis=0) >= 1).all() and (found.sum(axis=1) <= 1).all()
    least = math.inf
    for ends in itertools.combinations(range(seconds + steps), 2 * steps):  # first seconds, and seconds after the last
        bounds = [end - number // 2 for number, end in enumerate(ends)]
        first, last = bounds[::2], bounds[1::2]
        if all(a < b for a, b in zip(first, last, strict=True)) and last[-1] <= seconds:
            inside = sum(cost[a:b, k].sum() for k, (a, b) in enumerate(zip(first, last, strict=True)))
            least = min(least, inside + gap * (seconds - sum(np.subtract(last, first))))
    assert cost[found].sum() + gap * (~found.any(axis=1)).sum() == pytest.approx(least)


@FEW
@given(st.integers(1, 5), st.integers(0, 40), st.integers(1, 12), st.integers(0, 11))
def test_windows_are_cut_one_after_the_other_until_the_end(width: int, length: int, size: int, less: int) -> None:
    stride = max(1, size - less)
    plain, start = [], 0
    while start < length:
        plain.append((start, min(start + size, length)))
        if start + size >= length:
            break
        start += stride
    windows = cut(length, size, stride)
    assert windows == plain
    values = [np.arange(begin, end, dtype=float)[:, None].repeat(width, axis=1) for begin, end in windows]
    if length:
        assert np.array_equal(merge(values, windows, length)[:, 0], np.arange(length))


@FEW
@given(st.integers(1, 7).flatmap(lambda n: arrays(np.float32, (n, n), elements=st.integers(0, 3))))
def test_ranks_of_the_paper_are_the_places_of_equal_scores(scores: np.ndarray) -> None:
    """As published with several retrieval models: sort, take off the own score, and see where nothing is left."""
    ordered = -np.sort(-scores.astype(np.float64), axis=1)
    places = np.where(ordered == np.diag(scores)[:, None])[1]
    ours = {name: measure.value for name, measure in RetrievalMetric().compute(ScoredAnswers(scores), "paper").items()}
    plain = {f"R{k}": float((places < k).mean()) for k in (1, 5, 10)} | {"MR": float(np.median(places)) + 1}
    assert ours == pytest.approx(plain)


@FEW
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(1, 4), st.integers(1, 3), st.integers(0, 999)), max_size=6))
def test_recall_of_steps_is_a_mean_over_tasks(videos: list[tuple[int, int, int, int]]) -> None:
    answers, match, total = [], Counter(), Counter()
    for number, (task, more, steps, seed) in enumerate(videos):
        rng = np.random.default_rng(seed)
        found = align(rng.normal(size=(steps + more, steps)))
        true = rng.random(found.shape) < 0.3 * (seed % 3)  # one in three videos shows no step at all
        answers.append(StepVideo(str(task), str(number), found, true))
        match[str(task)] += int((true & found).sum())
        total[str(task)] += int(true.any(axis=0).sum())
    recalls = [match[task] / total[task] for task in total if total[task]]
    if videos:
        ours = CrossTaskMetric().compute(answers, "paper")["recall"].value
        assert ours == pytest.approx(np.mean(recalls)) if recalls else math.isnan(ours)


@FEW
@given(st.permutations(MOMENTS), st.lists(st.sampled_from(MOMENTS), min_size=1, max_size=5))
def test_moments_are_rated_by_the_three_annotators_who_agree_best(ranking: list, truth: list) -> None:
    """Hendricks et al. (ICCV 2017), section 5; fewer than three count as many as there are."""
    ranks = sorted(ranking.index(moment) + 1 for moment in truth)[:3]
    pieces = [set(range(first, last + 1)) for first, last in truth]
    best = set(range(ranking[0][0], ranking[0][1] + 1))
    overlaps = sorted((len(best & other) / len(best | other) for other in pieces), reverse=True)[:3]
    for protocol in ("paper", "fixed"):
        ours = DiDeMoMetric().compute(MomentAnswers([ranking], [truth]), protocol)
        assert ours["miou"].value == pytest.approx(np.mean(overlaps))
        assert (ours["rank1"].value, ours["rank5"].value) == (np.mean(ranks) <= 1, np.mean(ranks) <= 5)


@FEW
@given(
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=12),
    st.sets(st.integers(0, 11)),
    st.sets(st.sampled_from("abc")),
    st.integers(0, 3),
)
def test_the_split_is_drawn_task_by_task(tasks: list[str], held: set[int], primary: set[str], n_train: int) -> None:
    """Zhukov et al.'s loader: a dictionary of the list, validation videos out of it, and one draw for each task."""
    listed = [(task, f"v{number}") for number, task in enumerate(tasks)]
    videos: dict[str, list[str]] = {}
    for task, video in listed:
        videos.setdefault(task, []).append(video)
    draws = np.random.RandomState(0)
    train, test = [], []
    for task, all_of_it in videos.items():
        left = [video for video in all_of_it if int(video[1:]) not in held]
        if task in primary and len(left) > n_train:
            chosen = np.array(left)[draws.choice(len(left), n_train, replace=False)].tolist()
        else:
            chosen = left
        train += [(task, video) for video in chosen]
        test += [(task, video) for video in left if video not in chosen]
    pairs = [pair for pair in listed if int(pair[1][1:]) not in held]
    assert split(pairs, frozenset(primary), n_train, list(videos)) == (train, test)


@FEW
@given(st.floats(0, 12), st.floats(0, 6), st.integers(1, 10))
def test_an_annotation_covers_every_second_that_it_touches(start: float, long: float, length: int) -> None:
    shown = np.zeros(length, bool)
    shown[covered_seconds(start, start + long, length, "v")] = True
    assert shown.tolist() == [math.floor(start) <= second < math.ceil(start + long) for second in range(length)]


@FEW
@given(st.text("ab c", min_size=1, max_size=8), st.text("ab c", min_size=1, max_size=8))
def test_the_fewest_letters_that_fit_are_shared(first: str, second: str) -> None:
    if first in second or second in first:
        return
    plain = next((n for n in range(1, len(first)) if second.startswith(first[-n:])), 0)
    assert shared_letters(first, second) == plain


@pytest.mark.parametrize(
    ("length", "most", "center"),
    [(1, 1, 0), (1, 5, 1), (4, 2, 0), (4, 2, 4), (5, 3, 2), (5, 9, 1), (6, 4, 9), (3, 3, 3)],
)
def test_a_video_clip_grows_second_by_second(length: int, most: int, center: int) -> None:
    """All ways of tossing the coin, each as likely as it is; where one side is at its end, the other is taken."""
    exact: Counter[tuple[int, int]] = Counter()

    def grow(start: int, end: int, probability: float) -> None:
        if end - start >= min(most, length):
            exact[start, end] += probability  # pyright: ignore[reportArgumentType]
        elif start == 0:
            grow(start, end + 1, probability)
        elif end == length:
            grow(start - 1, end, probability)
        else:
            grow(start - 1, end, probability / 2)
            grow(start, end + 1, probability / 2)

    grow(min(center, length), min(center, length), 1.0)
    rng, draws = generator(1), 3000
    drawn = Counter(VideoClipSamplingProcessor()(length, most, center, rng) for _ in range(draws))
    assert set(drawn) == set(exact)
    assert all(abs(drawn[clip] / draws - exact[clip]) < 0.05 for clip in exact)


@FEW
@given(st.lists(st.integers(0, 4), min_size=1, max_size=5), st.integers(0, 4), st.integers(0, 9), st.integers(0, 99))
def test_a_text_clip_grows_until_it_is_full_or_the_video_ends(lengths, center, limit, seed) -> None:
    center = min(center, len(lengths) - 1)
    rng = np.random.default_rng(seed)
    first, last, taken = _walk(lengths, center, limit, 1.0, iter(rng.random(99).tolist()))
    assert sorted(taken) == list(range(first, last + 1)) and taken[0] == center
    tokens = sum(lengths[clip] for clip in taken)
    assert tokens >= limit or (first, last) == (0, len(lengths) - 1)
    assert len(taken) == 1 or tokens - lengths[taken[-1]] < limit  # and no caption more than it takes


@pytest.mark.parametrize("pairs", [1, 2, 5])
def test_contrastive_losses_are_cross_entropies(pairs: int) -> None:
    draw = torch.Generator().manual_seed(pairs)
    video, text = torch.randn(2, pairs, 3, generator=draw)
    own = torch.arange(pairs)
    t2v, v2t = F.cross_entropy(text @ video.T, own), F.cross_entropy(video @ text.T, own)
    both = MMContraLoss()(pooled_video=video, pooled_text=text)
    assert sum(both.values()).item() == pytest.approx((t2v + v2t).item(), abs=1e-6)  # pyright: ignore
    one = T2VContraLoss()(pooled_video=video, pooled_text=text)
    assert one["t2v"].item() == pytest.approx(t2v.item(), abs=1e-6)


@pytest.mark.parametrize("clips", [1, 2, 3])
def test_a_videos_vector_is_the_mean_of_its_clips(clips: int) -> None:
    draw = torch.Generator().manual_seed(clips)
    video, text = torch.randn(2, 2 * clips, 4, generator=draw)
    plain = torch.stack([((video + text) / 2)[row * clips : (row + 1) * clips].mean(dim=0) for row in range(2)])
    torch.testing.assert_close(VideoVectorPool()(video, text, clips), plain)


def test_the_threshold_of_labels_is_the_largest_similarity_of_two() -> None:
    rng = np.random.default_rng(0)
    for count in (2, 3, 6):
        labels = rng.normal(size=(count, 4))
        pairs = itertools.combinations(range(count), 2)
        assert largest_similarity(labels) == pytest.approx(max(float(labels[a] @ labels[b]) for a, b in pairs))
