"""Step localisation (CrossTask): one second for each step of a task, in the task's order.

Shapes: T seconds, K steps.
"""

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mmpt.datasets.mmdataset import MMDataset
from mmpt.evaluators.base import PROTOCOLS, Measure, Metric, Protocol
from mmpt.evaluators.encoding import seconds_by_length
from mmpt.evaluators.predicting import Item, Predictor, Row, require_finite
from mmpt.models.base import MMPTPreTrainedModel
from mmpt.models.heads import LocalisationModel
from mmpt.processors.base import feature_path
from mmpt.processors.ds import cut_windows
from mmpt.utils.featurefile import read_head
from mmpt.utils.registry import register
from mmpt.video.windows import merge

TOLD = 20  # videos that are too short, in a message


@dataclass(frozen=True, eq=False)
class StepVideo:
    """The steps of one video.

    Attributes:
        task: of the video.
        video: its id.
        found: bool (T, K), True at the second that a step was put at.
        true: bool (T, K), True where the step happens; None where nobody marked it.
    """

    task: str
    video: str
    found: np.ndarray
    true: np.ndarray | None


@register("metric")
class CrossTaskMetric(Metric):
    """Recall: the part of the steps that happen whose second lies inside (Zhukov et al., CVPR 2019, section 5), for
    each task, and the mean over tasks."""

    def compute(self, answers: list[StepVideo], protocol: Protocol = "fixed") -> dict[str, Measure]:
        """Compute the measures.

        Args:
            answers: the videos.
            protocol: both are the same here.

        Returns:
            `recall`, and one for each task under its id.
        """
        return self._of_hits(answers, [_hits(video) for video in answers])

    def _of_hits(self, answers: list[StepVideo], hits: Sequence[float]) -> dict[str, Measure]:
        """The measures, of how many steps of each video were put where they happen."""
        marked = [(video, hit) for video, hit in zip(answers, hits, strict=True) if video.true is not None]
        tasks = list(dict.fromkeys(video.task for video, _ in marked))
        rows = np.array([[tasks.index(video.task), hit, _happening(video)] for video, hit in marked])
        each = {task: Measure.of(rows[rows[:, 0] == number, 1:], "ratio") for number, task in enumerate(tasks)}
        return {**each, "recall": Measure.of(rows, "mean_of_ratios")}

    def baselines(self, answers: list[StepVideo]) -> dict[str, dict[str, float]]:
        """Compute what one gets with the steps spread evenly, and on average at random seconds in the right order.

        Args:
            answers: only the truth is read.

        Returns:
            `uniform` and `random order-keeping`.
        """
        result = {}
        for name, place in {"uniform": _evenly, "random order-keeping": _at_random}.items():
            hits = [0.0 if v.true is None else float((place(*v.true.shape) * v.true).sum()) for v in answers]
            result[name] = {key: measure.value for key, measure in self._of_hits(answers, hits).items()}
        return result


def align(cost: np.ndarray, protocol: Protocol = "fixed") -> np.ndarray:
    """Put each step at one second, in order, at the least total cost; other seconds cost nothing.

    The original's programme walks over seconds with a state for each step and each gap. Since a step takes exactly one
    second and a gap is free, it is enough to walk over steps: the cheapest way to have step k at second t is the cost
    there and the cheapest way to have step k - 1 anywhere before. Among equally cheap ways the original's is taken, in
    both protocols.

    Args:
        cost: float (T, K), T >= K.
        protocol: with as many seconds as steps there is one way only. The original takes it unless the last step costs
            more than 0: it then prefers the gap behind that step, which cannot be reached and which it holds to cost
            as much as all steps but the last, and places nothing.

    Returns:
        bool (T, K), one True in each column.

    Raises:
        ValueError: there are fewer seconds than steps.
    """
    seconds, steps = cost.shape
    if seconds < steps:
        raise ValueError(f"{steps} steps cannot be put in order into {seconds} seconds, one each")
    cost = np.asarray(cost, np.float64)
    came = np.empty((steps, seconds), np.int64)  # the second of the step before
    total = cost[:, 0]  # of the cheapest way to have step k at each second; the first k are out of reach
    for step in range(1, steps):
        total = np.where(np.arange(seconds) < step - 1, np.inf, total)
        lowest = np.minimum.accumulate(total)
        # the original stays where it is unless something is cheaper, so the earliest of equal ones stands
        falls = np.r_[True, total[1:] < lowest[:-1]]
        earliest = np.maximum.accumulate(np.where(falls, np.arange(seconds), 0))
        came[step, 1:] = earliest[:-1]
        total = np.r_[np.inf, lowest[:-1] + cost[1:, step]]
    total[: steps - 1] = np.inf
    if protocol == "paper" and seconds == steps and cost[-1, -1] > 0:
        return np.zeros(cost.shape, bool)
    last = seconds - 1  # taken unless an earlier one is cheaper
    at = last if total[last] <= total[:last].min(initial=np.inf) else int(total[:last].argmin())
    places = np.empty(steps, np.int64)
    for step in reversed(range(steps)):
        places[step] = at
        at = came[step, at]
    return _at(places, seconds, steps)


def align_with_gap_cost(cost: np.ndarray, gap: float) -> np.ndarray:
    """Put each step at one or more seconds in a row, in order, where seconds of no step cost something too.

    Args:
        cost: float (T, K), T >= K.
        gap: of a second without a step.

    Returns:
        bool (T, K).

    Raises:
        ValueError: there are fewer seconds than steps.
    """
    seconds, steps = cost.shape
    if seconds < steps:
        raise ValueError(f"{steps} steps cannot be put in order into {seconds} seconds")
    # states: gap, step 0, gap, step 1, ... gap
    here = np.full((seconds, 2 * steps + 1), gap)
    here[:, 1::2] = cost
    total = np.full(2 * steps + 1, np.inf)
    total[:2] = here[0, :2]
    back = np.zeros(here.shape, np.int64)  # how many states the way steps forward: 0, 1 or, from step to step, 2
    for second in range(1, seconds):
        ways = np.full((3, len(total)), np.inf)
        ways[0], ways[1, 1:], ways[2, 3::2] = total, total[:-1], total[1:-2:2]
        back[second] = ways.argmin(axis=0)  # the first of equally cheap ones
        total = ways.min(axis=0) + here[second]
    state = len(total) - 1 if total[-1] < total[-2] else len(total) - 2
    found = np.zeros((seconds, steps), bool)
    for second in reversed(range(seconds)):
        if state % 2:
            found[second, state // 2] = True
        state -= back[second, state]
    return found


def merge_and_align(
    logits: np.ndarray, windows: Sequence[tuple[int, int]], seconds: int, protocol: Protocol = "fixed"
) -> np.ndarray:
    """Put the steps of a task at seconds, by what a model says of windows.

    Args:
        logits: float (seconds of all windows one after the other, K).
        windows: (first second, second after the last) of each.
        seconds: of the video.
        protocol: as for `align`.

    Returns:
        bool (T, K).

    Raises:
        ValueError: there are fewer seconds than steps.
    """
    scores = merge(_by_window(logits, windows), windows, seconds)  # (T, K)
    highest = scores.max(axis=1, keepdims=True)
    logs = scores - highest - np.log(np.exp(scores - highest).sum(axis=1, keepdims=True))  # log softmax over steps
    return align(-logs, protocol)


def _at(places: np.ndarray, seconds: int, steps: int) -> np.ndarray:
    found = np.zeros((seconds, steps), bool)
    found[places, np.arange(steps)] = True
    return found


def _evenly(seconds: int, steps: int) -> np.ndarray:
    """Steps at equal distances: bool (T, K)."""
    return _at(((np.arange(steps) + 0.5) * seconds / steps).astype(int), seconds, steps)


@functools.cache
def _at_random(seconds: int, steps: int) -> np.ndarray:
    """How likely each step stands at each second when each draws a second and they are put in order: float (T, K)."""
    drawn = np.arange(1, seconds + 1)[:, None] / seconds  # the part of the draws up to a second
    exactly = [math.comb(steps, n) * drawn**n * (1 - drawn) ** (steps - n) for n in range(1, steps + 1)]  # (T, 1) each
    up_to = np.cumsum(np.hstack(exactly[::-1]), axis=1)[:, ::-1]  # step k stands there when k + 1 draws or more do
    return np.diff(up_to, axis=0, prepend=0.0)


def _hits(video: StepVideo) -> float:
    """How many steps were put where they happen."""
    return 0.0 if video.true is None else float((video.found & video.true).any(axis=0).sum())


def _happening(video: StepVideo) -> float:
    return 0.0 if video.true is None else float(video.true.any(axis=0).sum())


@register("predictor")
class CrossTaskPredictor(Predictor):
    """Scores the windows of videos against the steps of their tasks, and aligns the steps."""

    items_at_once = 16  # videos of a few windows each
    task = "step localisation: one second for each step of a video's task, in the task's order; the steps are given"
    pooling = "none: each second's own state; scores are means over the windows that cover a second"

    def prepare(self, model: MMPTPreTrainedModel, dataset: MMDataset) -> None:
        """Take how windows are cut, and see that the model scores steps.

        Args:
            model: one of the localisation models.
            dataset: of `CrossTaskMetaProcessor`.

        Raises:
            ValueError: the model does not score steps, or videos are shorter than their steps, one second each.
        """
        if not isinstance(model, LocalisationModel):
            raise ValueError(
                f"{type(model).__name__} does not score seconds against steps; set model.model_cls to "
                "MMFusionSeparateActionLocalization (VideoCLIP) or MMFusionActionLocalization (VLM)"
            )
        if short := list(_too_short(dataset)):
            more = f"\n  and {len(short) - TOLD:,} more" if len(short) > TOLD else ""
            raise ValueError(
                f"{len(short):,} videos have fewer seconds of features than steps, and a step takes one; extract them "
                "again if the features are cut off, or take their lines out of dataset.train_csv_path (which draws "
                "another split):\n  " + "\n  ".join(short[:TOLD]) + more
            )
        self._config, self._meta = dataset.aligner.config, dataset.meta
        self._steps: dict[str, np.ndarray] = {}

    def answer(self, model: MMPTPreTrainedModel, items: Sequence[Item]) -> list[Row]:
        """Align.

        Args:
            model: one of the localisation models.
            items: of `CrossTaskAligner`.

        Returns:
            For each: `task`, `id`, `true`, bool (T, K), and for each protocol what was found, bool (T, K).
        """
        assert isinstance(model, LocalisationModel)
        windows, masks = (torch.cat([item[key] for item in items]) for key in ("vfeats", "vmasks"))
        seconds = seconds_by_length(model.second_vectors, windows, masks, (), model.device)  # (W of all videos, V, D)
        real = masks.numpy()
        rows, start = [], 0
        for item in items:
            count, length = len(item["vfeats"]), int(item["video_len"])
            own = slice(start, start + count)
            logits = seconds[own][real[own]] @ self._step_vectors(model, item).T
            require_finite([item["video_id"]], [logits])
            bounds = cut_windows(self._config, length, item["video_id"])
            true = merge(_by_window(np.asarray(item["targets"]), bounds), bounds, length) > 0.5
            found = {protocol: merge_and_align(logits, bounds, length, protocol) for protocol in PROTOCOLS}
            rows.append({"task": str(item["task"]), "id": str(item["video_id"]), "true": true, **found})
            start += count
        return rows

    def _step_vectors(self, model: LocalisationModel, item: Item) -> np.ndarray:
        """The steps of a task are the same for all its videos: (K, D)."""
        task = str(item["task"])
        if task not in self._steps:
            steps = item["caps"].to(model.device), item["cmasks"].to(model.device)
            self._steps[task] = model.step_vectors(*steps).float().cpu().numpy()
        return self._steps[task]

    def gather(self, rows: Sequence[Row], protocol: Protocol) -> list[StepVideo]:
        """Take what was found in a protocol.

        Args:
            rows: as `answer` gives them.
            protocol: which.

        Returns:
            The videos.
        """
        return [StepVideo(row["task"], row["id"], row[protocol], row["true"]) for row in rows]

    def notes(self, rows: Sequence[Row]) -> Mapping[str, str]:
        """Say where the split is another than that of all videos; see `Predictor.notes`."""
        if (moved := getattr(self._meta, "moved", None)) is None:
            return {}
        return {
            "papers' split": "no: it is drawn over the videos that are there, and some are missing. "
            f"{len(moved):,} of the {len(rows):,} tested videos are for training when all are there"
        }


def _too_short(dataset: MMDataset) -> Iterator[str]:
    items: dict[Any, None] = dict.fromkeys(dataset.meta[index][0] for index in range(len(dataset)))
    for item in items:
        seconds = read_head(feature_path(dataset.video.folder, item.video))[0][0]
        if seconds < item.n_steps:
            yield f"{item.video}: {seconds} seconds, {item.n_steps} steps (task {item.task})"


def _by_window(values: np.ndarray, windows: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    """Part what stands one window after the other."""
    return np.split(values, np.cumsum([end - start for start, end in windows])[:-1])
