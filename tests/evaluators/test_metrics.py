"""The mended forms of the metrics, their trivial baselines, and their intervals."""

import itertools

import numpy as np
import pytest

from mmpt.evaluators import retrieval
from mmpt.evaluators.actions import ActionAnswers, ActionRecognitionMetric
from mmpt.evaluators.base import Measure
from mmpt.evaluators.bootstrap import interval
from mmpt.evaluators.moments import MOMENTS, DiDeMoMetric, MomentAnswers, rank_moments
from mmpt.evaluators.qa import ChoiceAnswers, QAMetric
from mmpt.evaluators.retrieval import RetrievalAnswers, RetrievalMetric, ScoredAnswers
from mmpt.evaluators.segmentation import (
    COINActionSegmentationMetric,
    LabelledVideo,
    best_threshold,
    largest_similarity,
    matched_segments,
    reject,
    segments,
)
from mmpt.evaluators.steps import CrossTaskMetric, StepVideo, align


def _values(measures: dict[str, Measure]) -> dict[str, float]:
    return {name: measure.value for name, measure in measures.items()}


def test_equal_scores_are_at_chance_and_not_above() -> None:
    answers = ScoredAnswers(np.zeros((40, 40)))
    metric = RetrievalMetric()
    assert _values(metric.compute(answers)) == pytest.approx(metric.baselines(answers)["chance"])
    assert metric.compute(answers, "paper")["R1"].value == pytest.approx(1 / 40)  # the original, over 1,600 places


def test_both_protocols_agree_where_nothing_is_tied() -> None:
    answers = ScoredAnswers(np.random.default_rng(0).normal(size=(60, 60)))
    assert _values(RetrievalMetric().compute(answers)) == _values(RetrievalMetric().compute(answers, "paper"))


def test_vectors_give_what_their_scores_give_in_chunks() -> None:
    rng = np.random.default_rng(0)
    texts, videos = rng.normal(size=(2, 2100, 4)).astype(np.float32)
    ours = RetrievalMetric().compute(RetrievalAnswers(texts, videos))
    assert _values(ours) == _values(RetrievalMetric().compute(ScoredAnswers(texts @ videos.T)))


def test_baselines_of_choices() -> None:
    answers = ChoiceAnswers(np.array([0, 1, 2, 0]), np.array([3, 3, 3, 0]))
    assert QAMetric().baselines(answers) == {"chance": {"acc": 0.2}, "most frequent place": {"acc": 0.75}}


def test_a_moment_that_was_not_ranked_counts_in_the_mended_form_only() -> None:
    answers = MomentAnswers([[(0, 0), (1, 1)]], [[(0, 0), (5, 5), (5, 5), (5, 5)]])
    assert DiDeMoMetric().compute(answers, "paper")["rank1"].value == 1
    assert _values(DiDeMoMetric().compute(answers)) == pytest.approx({"rank1": 0, "rank5": 0, "miou": 1 / 3})


def test_padding_counts_in_the_papers_ranking_only() -> None:
    seconds = np.zeros((32, 2), np.float32)
    seconds[:6, 0] = 1.0  # six real seconds: the second piece has one real second of five
    real = np.arange(32) < 6
    text = np.array([1.0, 0.0], np.float32)
    assert rank_moments(seconds, real, text, "paper")[0] == (0, 0)
    scored = rank_moments(seconds, real, text)
    assert len(scored) == 11 and (2, 2) not in scored  # nothing is ranked that has no real second
    seconds[5, 0] = 2.0
    assert rank_moments(seconds, real, text)[0] == (1, 1)
    assert rank_moments(seconds, real, text, "paper")[0] == (0, 0)


def test_baselines_of_moments_rank_what_the_video_has() -> None:
    answers = MomentAnswers([list(MOMENTS)[:6]] * 50, [[(0, 0)] * 4] * 50)
    baselines = DiDeMoMetric().baselines(answers)
    assert baselines["always the first piece"]["rank1"] == baselines["most frequent moments first"]["rank1"] == 1
    assert 0 < baselines["chance"]["rank1"] < 0.5


@pytest.mark.parametrize(("seconds", "steps"), [(5, 2), (6, 3), (7, 4), (4, 4), (5, 1)])
def test_steps_are_aligned_at_the_least_cost(seconds: int, steps: int) -> None:
    rng = np.random.default_rng(seconds * 10 + steps)
    for _ in range(50):
        cost = rng.normal(size=(seconds, steps))
        found = align(cost)
        places = found.argmax(axis=0)
        assert found.sum() == steps and (np.diff(places) > 0).all()
        ways = itertools.combinations(range(seconds), steps)
        least = min(sum(cost[t, k] for k, t in enumerate(way)) for way in ways)
        assert cost[places, np.arange(steps)].sum() == pytest.approx(least)


def test_with_as_many_seconds_as_steps_the_papers_protocol_asks_what_the_last_step_costs() -> None:
    rng = np.random.default_rng(0)
    for steps in (1, 2, 3, 5, 8):
        for last in (-1.0, 0.0, 1e-9, 1.0):
            cost = rng.normal(size=(steps, steps))
            cost[-1, -1] = last
            assert np.array_equal(align(cost, "paper"), np.eye(steps, dtype=bool) if last <= 0 else cost < -np.inf)
            assert np.array_equal(align(cost), np.eye(steps, dtype=bool))
            more = rng.normal(size=(steps + 1, steps))  # one second more, and the two are one
            assert np.array_equal(align(more, "paper"), align(more))
    below = np.array([[-5.0, 0.0], [0.0, 1.0]])  # together below 0, the last one above
    assert not align(below, "paper").any()


def test_more_steps_than_seconds_are_told() -> None:
    with pytest.raises(ValueError, match="3 steps cannot be put in order into 2 seconds"):
        align(np.zeros((2, 3)))


def test_baselines_of_steps() -> None:
    true = np.zeros((10, 2), bool)
    true[2, 0] = true[7, 1] = True
    answers = [StepVideo("1", "a", true, true), StepVideo("1", "b", true, None)]
    assert _values(CrossTaskMetric().compute(answers)) == {"1": 1.0, "recall": 1.0}
    assert CrossTaskMetric().baselines(answers)["uniform"]["recall"] == 1.0


def test_segments_and_their_matches() -> None:
    labels = np.array([0, 2, 2, 0, 3, 3, 3, 2])
    assert segments(labels) == [(2, 1, 3), (3, 4, 7), (2, 7, 8)]
    assert segments(np.zeros(4, int)) == segments(np.zeros(0, int)) == []
    assert matched_segments(labels, labels, 0.5) == (3, 3, 3)
    found = np.array([2, 2, 0, 0, 3, 0, 3, 0])
    assert matched_segments(found, labels, 0.1) == (2, 3, 3)  # each is found once: the second 3 is one too many
    assert matched_segments(found, labels, 0.5) == (0, 3, 3)


def test_what_all_background_hides_is_told() -> None:
    true = np.array([0, 0, 0, 4, 4, 0, 5, 0])
    nothing = [LabelledVideo("a", np.zeros_like(true), true)]
    measures = _values(COINActionSegmentationMetric().compute(nothing))
    assert measures == {"frame_acc": 0.625, "foreground_acc": 0, "F1@10": 0, "F1@25": 0, "F1@50": 0}
    baselines = COINActionSegmentationMetric().baselines(nothing)
    assert baselines["all background"]["frame_acc"] == 0.625
    assert baselines["most frequent label"]["foreground_acc"] == pytest.approx(2 / 3)
    assert list(COINActionSegmentationMetric().compute(nothing, "paper")) == ["frame_acc"]


def test_labels_of_one_text_count_once_in_the_threshold() -> None:
    vectors = np.array([[3.0, 0.0], [3.0, 0.0], [1.0, 1.0]], np.float32)
    assert largest_similarity(vectors) == 9
    assert largest_similarity(vectors, ["stir", "stir", "pour"]) == 3


def test_random_features_find_single_pieces_more_often_than_a_random_order() -> None:
    ranked = [list(MOMENTS)] * 30
    marked = [[(2, 2)] * 4] * 30  # all annotators mean one piece, as they mostly do
    found = DiDeMoMetric().baselines(MomentAnswers(ranked, marked))
    assert found["chance"]["rank1"] == pytest.approx(1 / 21, abs=1e-3)
    rng = np.random.default_rng(1)
    means = [[row[first : last + 1].mean() for first, last in MOMENTS] for row in rng.normal(size=(2000, 6))]
    drawn = np.mean([MOMENTS[int(np.argmax(row))] == (2, 2) for row in means])  # the same, one draw after the other
    assert found["random features"]["rank1"] == pytest.approx(drawn, abs=0.02) and drawn > 2 / 21


def test_scores_that_differ_by_rounding_are_equal() -> None:
    rng = np.random.default_rng(0)
    texts = rng.normal(size=(40, 64)).astype(np.float32)
    video = rng.normal(size=64).astype(np.float32)
    nearly = video * (1 + rng.integers(-1, 2, size=(40, 64)) * np.float32(6e-8))  # as other orders of a sum give it
    assert len({row.tobytes() for row in nearly}) == 40
    metric, answers = RetrievalMetric(), RetrievalAnswers(texts, nearly)
    assert _values(metric.compute(answers)) == pytest.approx(metric.baselines(answers)["chance"])
    assert _values(metric.compute(ScoredAnswers(texts @ nearly.T)))["MR"] == pytest.approx(20.5, abs=5)
    apart = RetrievalAnswers(texts, video * (1 + np.arange(40)[:, None] * np.float32(1e-3)))
    assert metric.compute(apart)["R1"].value == metric.compute(apart, "paper")["R1"].value  # a real difference stays
    seconds = np.tile(video, (30, 1)) * (1 + rng.integers(-1, 2, size=(30, 64)) * np.float32(6e-8))
    assert rank_moments(seconds, np.ones(30, bool), video) == list(MOMENTS)


def test_actions_are_judged_on_each_splits_test_part() -> None:
    scores = np.eye(4)[[0, 1, 2, 0]]
    answers = ActionAnswers(scores, np.arange(4), np.array([[2, 2, 1, 1], [1, 1, 2, 2], [0, 0, 0, 2]]))
    measures = _values(ActionRecognitionMetric().compute(answers))
    assert [measures[f"acc_split{n}"] for n in (1, 2, 3)] == [1, 0.5, 0]
    assert measures["acc"] == 1 and measures["acc_mean"] == 0.5
    baselines = ActionRecognitionMetric().baselines(answers)
    assert baselines["chance"] == {
        **dict.fromkeys(("acc", "acc_mean", "acc_split1", "acc_split2", "acc_split3"), 0.25),
        **{f"R{k}_split{n}": min(1, k / 4) for n in (1, 2, 3) for k in (1, 5, 10)},
    }
    frequent = {"acc": 0.5, "acc_split1": 0.5, "acc_split2": 0.5, "acc_split3": 1, "acc_mean": 2 / 3}
    assert baselines["most frequent action"] == pytest.approx(frequent)


def test_each_measure_of_actions_has_a_row_for_each_video() -> None:
    scores = np.eye(4)[[0, 1, 0, 0]]
    splits = np.array([[2, 2, 1, 0], [1, 2, 0, 0], [0, 0, 2, 0]])
    measures = ActionRecognitionMetric().compute(ActionAnswers(scores, np.arange(4), splits))
    assert {len(measure.parts) for measure in measures.values()} == {4}
    assert measures["acc_mean"].parts.tolist()[1:3] == [[1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 0, 1]]
    assert measures["acc_split2"].parts.tolist() == [[0, 0], [1, 1], [0, 0], [0, 0]]
    assert measures["acc_mean"].value == pytest.approx(2 / 3)


def test_an_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for run in range(200):
        low, high = interval(Measure.of(rng.random(100) < 0.3), seed=run, draws=300)
        held += low <= 0.3 <= high
    assert 175 <= held <= 200  # 95 % of 200, and what chance allows around it


def test_intervals_resample_whole_examples() -> None:
    assert interval(Measure.of(np.ones(50))) == (1.0, 1.0)
    assert all(np.isnan(interval(Measure.of(np.zeros(0)))))
    low, high = interval(Measure.of([(1, 0, 2), (1, 2, 2), (2, 1, 1)], "mean_of_ratios"))
    assert 0 <= low < high <= 1


def test_equal_scores_of_actions_are_at_chance_and_not_above() -> None:
    count = 20
    answers = ActionAnswers(np.zeros((60, count)), np.zeros(60, int), np.full((3, 60), 2))
    metric = ActionRecognitionMetric()
    assert _values(metric.compute(answers)) == pytest.approx(metric.baselines(answers)["chance"])
    paper = _values(metric.compute(answers, "paper"))
    assert paper["acc"] == paper["R1_split1"] == 1  # the original: the first action, and every tied one


def test_random_steps_are_the_mean_of_all_draws_and_not_one() -> None:
    true = np.zeros((9, 3), bool)
    true[1:3, 0] = true[4:6, 1] = true[8, 2] = True
    answers = [StepVideo("1", "a", np.zeros_like(true), true), StepVideo("1", "b", np.zeros((4, 2), bool), None)]
    draws = np.array(list(itertools.product(range(9), repeat=3)))
    draws.sort(axis=1)
    expected = np.mean([true[draws[:, step], step].mean() for step in range(3)])
    baseline = CrossTaskMetric().baselines(answers)["random order-keeping"]
    assert baseline == pytest.approx({"1": expected, "recall": expected})


def test_chance_of_moments_is_the_mean_of_all_orders_and_does_not_depend_on_the_model() -> None:
    metric = DiDeMoMetric()
    moments = list(MOMENTS[:6])
    truths = [[(0, 0), (0, 0), (0, 0), (3, 3)], [(1, 1), (2, 2), (1, 1), (5, 5)], [(4, 4), (4, 4), (0, 5), (0, 5)]]
    orders = list(itertools.permutations(moments))
    answers = [MomentAnswers([order] * 3, truths) for order in orders]
    every = [_values(metric.compute(answer)) for answer in answers]
    chance = metric.baselines(answers[0])["chance"]
    for name in ("rank1", "rank5", "miou"):
        assert chance[name] == pytest.approx(np.mean([values[name] for values in every]), abs=1e-9)
    assert metric.baselines(answers[400]) == metric.baselines(answers[0])


def test_a_model_that_says_the_same_of_all_moments_is_told_by_its_baseline() -> None:
    seconds, real, text = np.zeros((32, 2), np.float32), np.ones(32, bool), np.zeros(2, np.float32)
    answers = MomentAnswers([rank_moments(seconds, real, text)], [[(0, 0)] * 4])
    assert _values(DiDeMoMetric().compute(answers)) == DiDeMoMetric().baselines(answers)["always the first piece"]


def _right(row: dict[str, np.ndarray], threshold: float) -> int:
    return int((reject(row["label"], row["score"], threshold) == row["true"]).sum())


def test_the_best_threshold_is_the_best_there_is_also_with_equal_scores() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        score = rng.integers(4, size=12).astype(np.float32)
        row = {"score": score, "label": rng.integers(1, 3, size=12), "true": rng.integers(3, size=12)}
        best = max(_right(row, threshold) for threshold in (-1, 0, 1, 2, 3))
        assert _right(row, best_threshold([row], 0.0)) == best
    close = np.nextafter(np.float32(1), np.array([0, 2], np.float32))
    row = {"score": close, "label": np.array([1, 1]), "true": np.array([0, 1])}
    assert _right(row, best_threshold([row], 0.0)) == 2


@pytest.mark.parametrize("chunk", [4_000_000, 120 * 7, 120])
def test_equal_videos_are_tied_however_their_scores_are_computed(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(retrieval, "SCORES", chunk)
    rng = np.random.default_rng(0)
    texts = rng.normal(size=(120, 768)).astype(np.float32)
    metric = RetrievalMetric()
    alike = RetrievalAnswers(texts, np.repeat(rng.normal(size=(1, 768)).astype(np.float32), 120, axis=0))
    assert _values(metric.compute(alike)) == pytest.approx(metric.baselines(alike)["chance"])
    assert metric.compute(alike, "paper")["R1"].value == pytest.approx(1 / 120)
    videos = rng.normal(size=(40, 768)).astype(np.float32)
    thrice = RetrievalAnswers(texts, np.repeat(videos, 3, axis=0))
    once = RetrievalAnswers(texts, videos, own=np.repeat(np.arange(40), 3))
    (better, tied), (before, single) = thrice.places("paper"), once.places("paper")
    assert (single == 1).all() and (tied == 3).all() and np.array_equal(better, 3 * before)


def test_scores_that_are_no_numbers_are_refused() -> None:
    texts = np.eye(10, dtype=np.float32)
    texts[0] = np.nan
    for answers in (RetrievalAnswers(texts, np.eye(10, dtype=np.float32)), ScoredAnswers(texts)):
        with pytest.raises(ValueError, match="not numbers"):
            RetrievalMetric().compute(answers)
