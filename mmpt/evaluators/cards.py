"""Result cards: a number, how sure it is, what one gets for nothing, and all that it depends on."""

import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from mmpt.evaluators.base import PROTOCOLS, Measure, Metric
from mmpt.evaluators.bootstrap import interval
from mmpt.utils.files import atomic_path

FORMAT = "mmpt-card-1"
PACKAGES = ("mmpt", "torch", "transformers", "numpy")
PLACES = 6  # of the numbers that are kept of each example
LISTED = 20  # names that a page shows of a list


@dataclass(frozen=True)
class Card:
    """What an evaluation found.

    Attributes:
        title: the configuration file, in short.
        results: protocol -> measure -> `value`, `low`, `high`, `statistic`, `higher_is_better`; None is a number that
            there is not.
        baselines: trivial method -> measure -> value.
        protocol: how the numbers came about: windows, pooling, features, counts, sources, what was missing.
        hashes: SHA-256 of configuration, checkpoint, annotations and features.
        versions: package -> version.
        wall_seconds: how long it took, without what an earlier run had done.
        examples: names of what could have been other examples, for comparing two cards example by example.
        parts: measure -> a row for each example, of the fixed protocol.
        videos: the video of each example; intervals draw videos, with all of their examples. Empty in older cards.
    """

    title: str
    results: Mapping[str, Mapping[str, Mapping[str, Any]]]
    baselines: Mapping[str, Mapping[str, float | None]]
    protocol: Mapping[str, Any]
    hashes: Mapping[str, str]
    wall_seconds: float
    versions: Mapping[str, str] = field(default_factory=lambda: installed())
    examples: Sequence[str] = ()
    parts: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    videos: Sequence[str] = field(default_factory=list)


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


def judge(
    metric: Metric, answers: Mapping[str, Any], videos: Sequence[str] = ()
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Compute a metric in both protocols, its baselines and its intervals.

    Args:
        metric: the metric.
        answers: protocol -> what the metric takes.
        videos: as `Card.videos`.

    Returns:
        `Card.results`, `Card.baselines` and `Card.parts`.
    """
    results: dict[str, dict[str, Any]] = {}
    parts: dict[str, Any] = {}
    for protocol in PROTOCOLS:
        measures = metric.compute(answers[protocol], protocol)
        results[protocol] = {name: _told(measure, videos) for name, measure in measures.items()}
        if protocol == "fixed":
            parts = {name: _short(measure.parts) for name, measure in measures.items()}
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
        temporary.write_text(_json(card), encoding="utf-8")
    with atomic_path(page) as temporary:
        temporary.write_text(markdown(card), encoding="utf-8", errors="backslashreplace")
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
        if (found := stored.pop("format", None)) != FORMAT:
            raise ValueError(f"its format is {found!r}, and this version reads {FORMAT!r}")
        card = Card(**stored)
        if missing := [protocol for protocol in PROTOCOLS if protocol not in card.results]:
            raise ValueError(f"it has no results of the protocol {missing[0]!r}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} is not a result card of this version ({error}); evaluate again") from error
    return card


def markdown(card: Card) -> str:
    """Write a card as a page.

    Args:
        card: the card.

    Returns:
        Markdown.
    """
    methods = list(card.baselines)
    head = ["measure", "value", "95 % interval", "paper's way", *methods]
    lines = [f"# {card.title}", "", _line(head), "|---" + "|---:" * (len(head) - 1) + "|"]
    fixed, paper = (card.results[protocol] for protocol in ("fixed", "paper"))
    for name in [*fixed, *(name for name in paper if name not in fixed)]:
        mended, published = fixed.get(name, {}), paper.get(name, {})
        down = "" if {**published, **mended}.get("higher_is_better", True) else " (lower is better)"
        cells = [f"{name}{down}", number(mended.get("value")), span(mended), number(published.get("value"))]
        lines.append(_line(cells + [number(card.baselines[method].get(name)) for method in methods]))
    lines += [
        "",
        "`value` is by the fixed protocol, with the original's faults mended; `paper's way` has them. The interval is "
        "where 95 % of the values lie that other videos of the same kind would give (bootstrap"
        + (", whole videos drawn with all of their examples)." if card.videos else ")."),
    ]
    if methods:
        lines.append("The columns behind it are what one gets without looking at the video, on the same data.")
    for title, block in (("Protocol", card.protocol), ("Hashes", card.hashes), ("Versions", card.versions)):
        lines += ["", f"## {title}", "", *(f"- {key}: {in_words(value)}" for key, value in block.items())]
    return "\n".join([*lines, "", f"Computed in {card.wall_seconds:.0f} s.", ""])


def number(value: float | None) -> str:
    """Write a measure with three digits or more.

    Args:
        value: the number.

    Returns:
        Text; empty where there is none.
    """
    if value is None or math.isnan(value):
        return ""
    places = 3 if abs(value) <= 1 else 2 if abs(value) < 10 else 1
    return f"{value:.{places}f}"


def span(told: Mapping[str, Any]) -> str:
    """Write a result's interval.

    Args:
        told: a measure's result in a card.

    Returns:
        Text; empty where there is none.
    """
    low, high = told.get("low"), told.get("high")
    return "" if low is None or high is None else f"{number(low)}\N{EN DASH}{number(high)}"


def in_words(value: Any) -> str:
    """Write what a card says of the protocol.

    Args:
        value: a word, a number, a list or a mapping.

    Returns:
        Text; of long lists the number and the first names.
    """
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {in_words(inner)}" for key, inner in value.items()) or "none"
    if isinstance(value, list | tuple):
        listed = ", ".join(map(str, value[:LISTED]))
        more = f" and {len(value) - LISTED:,} more, all in card.json" if len(value) > LISTED else ""
        return f"{len(value):,} ({listed}{more})" if value else "none"
    return "none" if _known(value) is None else str(value)


def headline(card: Card) -> str:
    """Say which measure stands for all.

    Args:
        card: the card.

    Returns:
        Its name: a mean over parts where there is one, else the first.
    """
    names = list(card.results["fixed"])
    return next((name for name in ("recall", "CIDEr") if name in names), names[0])


def groups_of(videos: Sequence[str], examples: int) -> np.ndarray | None:
    """Number the videos of examples.

    Args:
        videos: as `Card.videos`.
        examples: how many examples a measure has.

    Returns:
        int (examples,); None where each example is a video of its own, or their videos are not known.
    """
    if len(videos) != examples or len(set(videos)) == examples:
        return None
    return np.unique(np.asarray(videos), return_inverse=True)[1].ravel()


def _told(measure: Measure, videos: Sequence[str]) -> dict[str, Any]:
    low, high = interval(measure, groups=groups_of(videos, len(measure.parts)))
    told = {"value": measure.value, "low": low, "high": high}
    return {**told, "statistic": measure.statistic, "higher_is_better": measure.higher_is_better}


def _short(parts: np.ndarray) -> list[Any]:
    """Rows as JSON takes them, whole numbers as such."""
    rounded = np.round(parts, PLACES)
    if np.isfinite(rounded).all() and (rounded == np.rint(rounded)).all():
        return rounded.astype(np.int64).tolist()
    return rounded.tolist()


def _json(card: Card) -> str:
    """A line for each thing that is said, and one for all rows of a measure."""
    told = {"format": FORMAT, **{entry.name: _known(getattr(card, entry.name)) for entry in fields(card)}}
    named = {key: json.dumps(told.pop(key)) for key in ("examples", "videos")}
    parts = told.pop("parts")
    head = json.dumps(told, indent=1, allow_nan=False).removesuffix("\n}")
    lines = [f"{json.dumps(name)}: {json.dumps(rows, allow_nan=False)}" for name, rows in parts.items()]
    rows = "".join(f' "{key}": {names},\n' for key, names in named.items())
    return f'{head},\n{rows} "parts": {{\n  ' + ",\n  ".join(lines) + "\n }\n}\n"


def _known(value: Any) -> Any:
    """What JSON takes: numbers that are none, or have no end, become null."""
    if isinstance(value, Mapping):
        return {str(key): _known(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_known(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
