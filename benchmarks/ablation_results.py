"""What `benchmarks.ablations` found: kept run by run, summed up over seeds, told and drawn."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmpt.utils.files import atomic_path
from mmpt.utils.tables import read_json

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MEASURES = ("R1", "R5", "R10", "MR")  # parts of 1, and the median rank
HEADER = ("what is learnt from, and how", "R@1", "R@5", "R@10", "MedR", "R@1 less reference", "mean, 95 %", "paper")
# Student's t at 97.5 %, for 2 to 10 seeds
T_QUANTILES = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


@dataclass(frozen=True)
class Result:
    """What one run reached.

    Attributes:
        arm: what was trained, by its short name.
        seed: of the training.
        told: all that decides its numbers.
        measures: name -> value; R1, R5 and R10 in parts of 1.
        shares: fact -> in which part of the texts the first answer has it right.
        cpu_seconds: of training and evaluation.
    """

    arm: str
    seed: int
    told: Mapping[str, Any]
    measures: Mapping[str, float]
    shares: Mapping[str, float]
    cpu_seconds: float


def write_result(folder: Path, result: Result) -> Path:
    """Keep what a run reached.

    Args:
        folder: of all results; made when absent.
        result: the run's.

    Returns:
        The file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = result_path(folder, result.arm, result.seed)
    with atomic_path(target) as temporary:
        temporary.write_text(json.dumps(asdict(result), indent=1) + "\n", encoding="utf-8")
    return target


def read_result(folder: Path, arm: str, seed: int, told: Mapping[str, Any]) -> Result | None:
    """Read what a run reached.

    Args:
        folder: of all results.
        arm: the run's short name.
        seed: the run's.
        told: what decides its numbers now; of that, what the file does not tell of is not compared.

    Returns:
        The result; None where there is none.

    Raises:
        ValueError: the file is none, or tells of a run that was told other things.
    """
    path = result_path(folder, arm, seed)
    if not path.is_file():
        return None
    stored = read_json(path)
    try:
        result = Result(**stored)
    except TypeError as error:
        raise ValueError(
            f"{path} is no result of this benchmark ({error}); delete it, and give the command again"
        ) from error
    if others := [key for key, value in result.told.items() if told.get(key) != value]:
        raise ValueError(
            f"{path} is of a run that was told other things ({', '.join(others)}); take another --home, or "
            f"delete that file and the run's folder, {path.parent.parent / 'runs' / path.stem}"
        )
    return result


def result_path(folder: Path, arm: str, seed: int) -> Path:
    """Say where a run's result lies."""
    return folder / f"{arm}-{seed}.json"


@dataclass(frozen=True)
class Summary:
    """What the seeds of an arm reached together.

    Attributes:
        name: of the arm, in words.
        values: measure -> the value of each seed.
        shares: fact -> mean.
        against: R@1 less that of the arm it is compared with, seed by seed; empty for that arm.
        paper: R@1 of the paper's own ablation, in percent.
        tuned: whether it learnt from aligned sentences at last, and is not zero-shot.
    """

    name: str
    values: Mapping[str, Sequence[float]]
    shares: Mapping[str, float]
    against: Sequence[float]
    paper: float | None
    tuned: bool = False


def summarise(
    name: str, results: Sequence[Result], reference: Sequence[Result], paper: float | None, *, tuned: bool = False
) -> Summary:
    """Sum up the seeds of an arm.

    Args:
        name: of the arm, in words.
        results: its runs, at least one.
        reference: the runs of the arm that it is compared with.
        paper: R@1 of the paper's own ablation, in percent.
        tuned: whether it learnt from aligned sentences at last.

    Returns:
        The summary; compared are the seeds that both have.
    """
    others = {result.seed: result for result in reference if result.arm != results[0].arm}
    pairs = [(result, others[result.seed]) for result in results if result.seed in others]
    return Summary(
        name,
        {measure: [result.measures[measure] for result in results] for measure in MEASURES},
        {fact: statistics.fmean(result.shares[fact] for result in results) for fact in results[0].shares},
        [own.measures["R1"] - other.measures["R1"] for own, other in pairs],
        paper,
        tuned,
    )


def rows(summaries: Sequence[Summary]) -> list[tuple[str, ...]]:
    """Write summaries as the cells of a table, under `HEADER`: percent, mean and standard deviation over seeds.

    Args:
        summaries: one a line.

    Returns:
        The cells.
    """
    return [
        (
            summary.name,
            *(spread([100 * value for value in summary.values[name]]) for name in MEASURES[:3]),
            spread(summary.values["MR"]),
            signed([100 * value for value in summary.against]),
            paired_interval([100 * value for value in summary.against]),
            "" if summary.paper is None else f"{summary.paper:.1f}",
        )
        for summary in summaries
    ]


def spread(values: Sequence[float]) -> str:
    """Write the mean of some values, and their standard deviation where there are several."""
    mean = f"{statistics.fmean(values):.1f}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.1f}"


def signed(values: Sequence[float]) -> str:
    """Write differences one by one, with their signs."""
    return " ".join(f"{value:+.1f}" for value in values)


def paired_interval(differences: Sequence[float]) -> str:
    """Write the mean of paired differences and its 95 % interval (Student's t over the seeds)."""
    count = len(differences)
    if not 2 <= count < 2 + len(T_QUANTILES):
        return ""
    mean = statistics.fmean(differences)
    half = T_QUANTILES[count - 2] * statistics.stdev(differences) / count**0.5
    return f"{mean:+.1f} ({mean - half:+.1f} to {mean + half:+.1f})"


def markdown(header: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """Write a table for a page.

    Args:
        header: names of the columns; the first is aligned to the left, the others to the right.
        cells: the lines.

    Returns:
        The text, with a line break at its end.
    """
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *cells]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def plot(target: Path, summaries: Sequence[Summary], chance: Mapping[str, float], title: str) -> None:
    """Draw the runs, their means, and the paper's numbers beside them.

    Args:
        target: the PNG file to write.
        summaries: from top to bottom, zero-shot ones first; the first one's mean is drawn through all of those.
        chance: measure -> part of 1.
        title: above it.
    """
    from matplotlib.figure import Figure

    from mmpt.cli.plots import FAINT, INK, check_target, save_figure

    check_target(target)
    figure = Figure(figsize=(11, 1.5 + 0.42 * len(summaries)), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True, width_ratios=(4, 4, 3))
    figure.suptitle(title, x=0.01, ha="left", color=INK, fontsize=11)
    for axis, measure, label in zip(axes, ("R1", "R5"), ("R@1, %", "R@5, %"), strict=False):
        _draw_runs(axis, summaries, measure)
        axis.axvline(100 * chance[measure], color=INK, linewidth=0.8, linestyle=":")
        axis.set_title(f"toy world: {label}", fontsize=10, color=INK)
    _draw_paper(axes[2], [summary.paper for summary in summaries])
    axes[2].set_title("paper, YouCook2: R@1, %", fontsize=10, color=INK)
    axes[0].set_yticks(range(len(summaries)), [summary.name for summary in summaries], color=INK)
    axes[0].set_ylim(len(summaries) - 0.5, -0.5)
    for axis in axes:
        axis.set_xlim(left=0)
        axis.grid(axis="x", color=FAINT)
        axis.set_axisbelow(True)
        axis.tick_params(length=0, labelcolor=INK)
        axis.spines[["top", "right", "left"]].set_visible(False)
    save_figure(target, figure)


def _draw_runs(axis: "Axes", summaries: Sequence[Summary], measure: str) -> None:
    """A bar to the mean of each arm, and a dot for each seed."""
    from mmpt.cli.plots import COLOURS, INK

    values = [[100 * value for value in summary.values[measure]] for summary in summaries]
    colours = [COLOURS[2 if summary.tuned else 0] for summary in summaries]
    means = [statistics.fmean(each) for each in values]
    most = max(max(each) for each in values)
    axis.barh(range(len(values)), means, height=0.62, color=colours, alpha=0.35)
    zero_shot = sum(not summary.tuned for summary in summaries)
    axis.plot([means[0]] * 2, [-0.5, zero_shot - 0.5], color=COLOURS[0], linewidth=0.9, linestyle="--")
    for place, (mean, each, colour) in enumerate(zip(means, values, colours, strict=True)):
        axis.plot(each, [place] * len(each), "o", color=colour, markersize=4.5)
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
        axis.text(max(each) + 0.03 * most, place, f"{mean:.1f}", va="center", color=INK, fontsize=9, bbox=box)
    axis.set_xlim(0, 1.15 * most)


def _draw_paper(axis: "Axes", values: Sequence[float | None]) -> None:
    from mmpt.cli.plots import COLOURS, INK

    for place, value in enumerate(values):
        if value is None:
            axis.text(0.4, place, "no number", va="center", color=INK, fontsize=8, alpha=0.6)
            continue
        axis.barh(place, value, height=0.62, color=COLOURS[1], alpha=0.45)
        axis.text(value + 0.5, place, f"{value:.1f}", va="center", color=INK, fontsize=9)
    axis.set_xlim(0, 28)
