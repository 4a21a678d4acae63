"""Result cards: a number, how sure it is, what one gets for nothing, and all that it depends on."""

import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from mmpt.evaluators.base import PROTOCOLS, STATISTICS, Measure, Metric, interval
from mmpt.utils.files import atomic_path

FORMAT = "mmpt-card-1"
PACKAGES = ("mmpt", "torch", "transformers", "numpy")
DRAWS = 2000  # of a bootstrap


@dataclass(frozen=True)
class Card:
    """What an evaluation found.

    Attributes:
        title: the configuration file, in short.
        results: protocol -> measure -> `value`, `low`, `high`, `statistic`, `higher_is_better`.
        baselines: trivial method -> measure -> value.
        protocol: how the numbers came about: windows, pooling, features, counts, sources, what was missing.
        hashes: SHA-256 of configuration, checkpoint, annotations and features.
        versions: package -> version.
        wall_seconds: how long it took, without what an earlier run had done.
        examples: names of what could have been other examples, for comparing two cards example by example.
        parts: measure -> a row for each example, of the fixed protocol.
    """

    title: str
    results: Mapping[str, Mapping[str, Mapping[str, Any]]]
    baselines: Mapping[str, Mapping[str, float]]
    protocol: Mapping[str, Any]
    hashes: Mapping[str, str]
    wall_seconds: float
    versions: Mapping[str, str] = field(default_factory=lambda: installed())
    examples: Sequence[str] = ()
    parts: Mapping[str, Sequence[Any]] = field(default_factory=dict)


def installed() -> dict[str, str]:
    """List the versions that numbers may depend on.

    Returns:
        Package -> version, and Python's.
    """
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed as a package"
    return found


def judge(metric: Metric, answers: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Compute a metric in both protocols, its baselines and its intervals.

    Args:
        metric: the metric.
        answers: protocol -> what the metric takes.

    Returns:
        `Card.results`, `Card.baselines` and `Card.parts`.
    """
    results: dict[str, dict[str, Any]] = {}
    parts: dict[str, Any] = {}
    for protocol in PROTOCOLS:
        measures = metric.compute(answers[protocol], protocol)
        results[protocol] = {name: _told(measure) for name, measure in measures.items()}
        if protocol == "fixed":
            parts = {name: np.round(measure.parts, 6).tolist() for name, measure in measures.items()}
    return results, metric.baselines(answers["fixed"]), parts


def write_card(card: Card, folder: Path) -> tuple[Path, Path]:
    """Write `card.json` and `card.md`.

    Args:
        card: the card.
        folder: where to.

    Returns:
        The two files.
    """
    data, page = folder / "card.json", folder / "card.md"
    with atomic_path(data) as temporary:
        temporary.write_text(json.dumps({"format": FORMAT, **_plain(card)}, indent=1), encoding="utf-8")
    with atomic_path(page) as temporary:
        temporary.write_text(markdown(card), encoding="utf-8")
    return data, page


def read_card(path: Path) -> Card:
    """Read a `card.json`.

    Args:
        path: the file, or the folder that it lies in.

    Returns:
        The card.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is something else.
    """
    file = path / "card.json" if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(f"there is no result card {file}; mmpt evaluate writes one below eval.save_path")
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        if stored.pop("format") != FORMAT:
            raise ValueError("its format is another")
        return Card(**stored)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} is not a result card of this version ({error}); evaluate again") from error


def compare(one: Card, other: Card, *, seed: int = 0) -> list[dict[str, Any]]:
    """Compare two cards, example by example where they have the same examples.

    Args:
        one: a card.
        other: the card that it is compared with.
        seed: of the draws.

    Returns:
        For each measure that both have: `measure`, `one`, `other`, `difference` (other less one); and where the
        examples are the same `low`, `high` (95 % of the differences over draws of examples, the same draws for both)
        and `p`, how often such a difference has the other sign, counted on both sides; else None.
    """
    rows = []
    paired = bool(one.examples) and list(one.examples) == list(other.examples)
    mine, yours = one.results["fixed"], other.results["fixed"]
    for name in (name for name in mine if name in yours):
        row = {"measure": name, "one": mine[name]["value"], "other": yours[name]["value"]}
        row["difference"] = row["other"] - row["one"]
        drawn = _differences(one, other, name, seed) if paired else None
        if drawn is None:
            rows.append({**row, "low": None, "high": None, "p": None})
            continue
        low, high = np.nanquantile(drawn, [0.025, 0.975])
        one_sided = min((drawn <= 0).mean(), (drawn >= 0).mean())
        rows.append({**row, "low": float(low), "high": float(high), "p": float(min(1, 2 * max(one_sided, 1 / DRAWS)))})
    return rows


def markdown(card: Card) -> str:
    """Write a card as a page.

    Args:
        card: the card.

    Returns:
        Markdown.
    """
    methods = list(card.baselines)
    head = ["measure", "value", "95 % interval", "paper's way", *methods]
    lines = [f"# {card.title}", "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, told in card.results["fixed"].items():
        paper = card.results["paper"].get(name)
        cells = [name, number(told["value"]), f"{number(told['low'])} to {number(told['high'])}"]
        cells += [number(paper["value"]) if paper else ""]
        cells += [number(card.baselines[method].get(name)) for method in methods]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "The other columns are what one gets without looking at the video, on the same data.", ""]
    for title, block in (("Protocol", card.protocol), ("Hashes", card.hashes), ("Versions", card.versions)):
        lines += [f"## {title}", "", *(f"- {key}: {_words(value)}" for key, value in block.items()), ""]
    return "\n".join([*lines, f"Computed in {card.wall_seconds:.0f} s.", ""])


def number(value: float | None) -> str:
    """Write a measure: parts of 1 with three places, ranks with one.

    Args:
        value: the number.

    Returns:
        Text; empty where there is none.
    """
    if value is None:
        return ""
    return f"{value:.3f}" if abs(value) <= 1 else f"{value:.1f}"


def _told(measure: Measure) -> dict[str, Any]:
    low, high = interval(measure, draws=DRAWS)
    told = {key: None if math.isnan(v) else v for key, v in (("value", measure.value), ("low", low), ("high", high))}
    return {**told, "statistic": measure.statistic, "higher_is_better": measure.higher_is_better}


def _plain(card: Card) -> dict[str, Any]:
    return {name: getattr(card, name) for name in card.__dataclass_fields__}


def _words(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) if value else "none"
    return str(value)


def _differences(one: Card, other: Card, name: str, seed: int) -> np.ndarray | None:
    mine, yours = (np.asarray(card.parts.get(name, ()), np.float64) for card in (one, other))
    if len(mine) != len(one.examples) or len(yours) != len(one.examples):
        return None  # a measure over a part of the examples
    statistic = STATISTICS[one.results["fixed"][name]["statistic"]]
    rng = np.random.default_rng(seed)
    drawn = (rng.integers(len(mine), size=len(mine)) for _ in range(DRAWS))
    return np.array([statistic(yours[rows]) - statistic(mine[rows]) for rows in drawn])


def headline(card: Card) -> str:
    """Say which measure stands for all.

    Args:
        card: the card.

    Returns:
        Its name: a mean over parts where there is one, else the first.
    """
    names = list(card.results["fixed"])
    return next((name for name in ("recall", "CIDEr") if name in names), names[0])
