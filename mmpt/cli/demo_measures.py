"""What `mmpt demo` measures on held-out videos, and how it says it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from mmpt.cli.console import out, quiet_transformers
from mmpt.cli.progress import count_bar
from mmpt.cli.report import Measured, percent
from mmpt.config import load_config
from mmpt.config.load import find_project_file
from mmpt.evaluators.cards import Card, write_card
from mmpt.evaluators.retrieval import RetrievalAnswers
from mmpt.evaluators.running import evaluate, prepare
from mmpt.toy.readers import attributes, ceilings
from mmpt.utils.places import locate

PROJECT = "toy/videoclip"
RETRIEVAL = "test_vtt_zs"
Baselines = Mapping[str, Mapping[str, float | None]]


@dataclass(frozen=True)
class Wanted:
    """A measure of a task that is shown.

    Attributes:
        task: its file, without the ending.
        name: of the measure in the result card.
        what: the measure, in words.
        goal: what it is to reach, out of the measure's baselines.
        above: whether that is to be surpassed.
    """

    task: str
    name: str
    what: str
    goal: Callable[[Mapping[str, float]], float | None]
    above: bool = False


WANTED = (
    Wanted(RETRIEVAL, "R1", "retrieval of clips, R@1", lambda known: 0.25),
    Wanted(RETRIEVAL, "R5", "retrieval of clips, R@5", lambda known: 0.65),
    Wanted("test_vttqa_zs", "acc", "five-choice questions", lambda known: 0.85),
    Wanted("test_didemo_zs", "rank1", "moment ranking, rank@1", lambda known: 3 * known["chance"]),
    Wanted("test_crosstask_zs_videoclip", "recall", "step localisation, recall", lambda known: 2 * known["uniform"]),
    Wanted("test_coin_zs", "F1@25", "action segmentation, F1@25", lambda known: max(known.values()), above=True),
    Wanted("test_youcook_zs", "R1", "retrieval of segments, R@1", lambda known: None),
    Wanted("test_youcook_zs", "R5", "retrieval of segments, R@5", lambda known: None),
)
SHARES = {"colour": 0.85, "action": 0.65, "shape": 0.50}  # what a first answer is to have right


def tasks() -> list[str]:
    """List the tasks that are measured, each once.

    Returns:
        Their files, without the ending.
    """
    return list(dict.fromkeys(wanted.task for wanted in WANTED))


def measure(task: str) -> tuple[Card, Any]:
    """Evaluate a task, and write its result card; answers that are there are not asked for again.

    Args:
        task: its file, without the ending.

    Returns:
        The card, and the answers that its numbers are computed from.

    Raises:
        FileNotFoundError: weights, features or annotations are not there.
        ValueError: something does not fit.
    """
    run = load_config(find_project_file(f"{PROJECT}/{task}.yaml"))
    assert run.save_path is not None
    folder = locate(run.save_path)
    with quiet_transformers():
        evaluation = prepare(run)
    with count_bar(task, len(evaluation.dataset)) as advance:
        card, rows = evaluate(evaluation, folder=folder, on_progress=lambda done, _: advance(done))
    write_card(card, folder)
    return card, evaluation.predictor.gather(rows, "fixed")


def measure_all(record: Mapping[str, Any]) -> tuple[list[Measured], list[tuple[str, float, float]]]:
    """Evaluate all tasks, and compare with those who see only a part.

    Args:
        record: the value of the world's record.json.

    Returns:
        The measures, R@1 and R@5 on the gallery first; and who is asked for clips, with R@1 and R@5.

    Raises:
        FileNotFoundError: as for `measure`.
        ValueError: as for `measure`.
    """
    cards: dict[str, Card] = {}
    parts: list[Measured] = []
    for task in tasks():
        out.print(f"   $ mmpt evaluate projects/{PROJECT}/{task}.yaml", soft_wrap=True, style="dim")
        cards[task], answers = measure(task)
        if task == RETRIEVAL:
            facts = attributes(record)
            parts = share_measures(shares(answers, facts), by_chance(facts))
    found = told(cards)
    found[2:2] = parts
    return found, readers(found, ceilings(record))


def told(cards: Mapping[str, Card]) -> list[Measured]:
    """Pick the measures that are shown out of result cards.

    Args:
        cards: task -> card.

    Returns:
        The measures.
    """
    found = []
    for wanted in WANTED:
        result, baselines = cards[wanted.task].results["fixed"][wanted.name], cards[wanted.task].baselines
        known = {name: float(v) for name, values in baselines.items() if (v := values.get(wanted.name)) is not None}
        value, low, high = (result[name] for name in ("value", "low", "high"))
        found.append(
            Measured(wanted.what, value, low, high, tuple(known.items()), wanted.goal(known), above=wanted.above)
        )
    return found


def shares(answers: RetrievalAnswers, facts: Mapping[str, Mapping[str, str]]) -> dict[str, float]:
    """Say how often the first answer shows what a text names, also where it is another clip.

    Args:
        answers: vectors of texts and clips.
        facts: clip -> what it shows: its action, its shape and its colour.

    Returns:
        Fact -> part of the texts. Equally good first answers share one text.
    """
    clips = list(dict.fromkeys(answers.ids))
    scores = answers.texts @ answers.videos.T  # (N, M)
    first = scores == scores.max(axis=1, keepdims=True)
    found = {}
    for name in SHARES:
        of_clip = np.array([facts[clip][name] for clip in clips])
        of_text = np.array([facts[clip][name] for clip in answers.ids])
        right = first & (of_clip[None, :] == of_text[:, None])
        found[name] = float((right.sum(axis=1) / first.sum(axis=1)).mean())
    return found


def by_chance(facts: Mapping[str, Mapping[str, str]]) -> dict[str, float]:
    """Say how often any clip shows what a text names.

    Args:
        facts: of all clips, as for `shares`.

    Returns:
        Fact -> part of all pairs.
    """
    found = {}
    for name in SHARES:
        _, counts = np.unique([clip[name] for clip in facts.values()], return_counts=True)
        found[name] = float((counts**2).sum() / len(facts) ** 2)
    return found


def share_measures(found: Mapping[str, float], chance: Mapping[str, float]) -> list[Measured]:
    """Write those shares as measures.

    Args:
        found: what `shares` gives.
        chance: what `by_chance` gives.

    Returns:
        The measures.
    """
    return [
        Measured(f"the first has the right {name}", found[name], None, None, (("chance", chance[name]),), goal)
        for name, goal in SHARES.items()
    ]


def readers(found: Sequence[Measured], known: Mapping[str, Mapping[str, float]]) -> list[tuple[str, float, float]]:
    """List who is asked for clips: the model, and readers who see only a part.

    Args:
        found: the measures, of which the first two are R@1 and R@5 on the gallery.
        known: reader -> measures, as `mmpt.toy.readers.ceilings` gives them.

    Returns:
        Who, with R@1 and R@5.
    """
    parts = [
        ("chance" if name == "nothing" else f"sees only {name.replace('+', ' and ')}", part["R@1"], part["R@5"])
        for name, part in known.items()
    ]
    return [("this model, which saw none of them", found[0].value, found[1].value), *parts]


def show(measures: Sequence[Measured], readers: Sequence[tuple[str, float, float]]) -> None:
    """Print the measures, and those who see a part.

    Args:
        measures: of all tasks.
        readers: who, with R@1 and R@5.
    """
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("on unseen combinations", no_wrap=True)
    for column in ("value", "95 %", "goal"):
        table.add_column(column, justify="right")
    table.add_column("without looking")
    for each in measures:
        interval = "" if each.low is None or each.high is None else f"{100 * each.low:.0f}-{100 * each.high:.0f}"
        baselines = max(each.baselines, key=lambda known: known[1], default=None)
        against = "" if baselines is None else f"{percent(baselines[1])} {baselines[0]}"
        table.add_row(each.what, percent(each.value), interval, each.wanted, against)
    out.print(table)
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("who sees only a part of a sentence", min_width=32)
    table.add_column("R@1", justify="right")
    table.add_column("R@5", justify="right")
    for name, first, fifth in readers:
        table.add_row(name, percent(first), percent(fifth))
    out.print(table)
