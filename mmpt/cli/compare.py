"""`mmpt compare`: two result cards, what differs and how sure that is."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mmpt.utils.legible import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmpt.evaluators.cards import Card
    from mmpt.evaluators.comparing import Difference

EXAMPLES = """examples:
  mmpt compare runs/retri/videoclip/test/card.json runs/mine/eval/card.json
  mmpt compare runs/retri/videoclip/test runs/mine/eval
  mmpt compare baseline mine --json > differences.json

Differences are the second card's numbers less the first card's, by the fixed
protocol. Where both cards have the same examples, the two models are compared
example by example: the 95 % interval comes from 2,000 draws of examples, p from
them and from swaps of the two answers, whichever is larger.
"""
LOWER = "\N{DOWNWARDS ARROW}"  # behind a measure of which less is better
MANY = 20  # measures; among so many one is expected below p = 0.05 by chance


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.epilog = EXAMPLES
    parser.add_argument("first", type=Path, metavar="CARD", help="a card.json, or the folder that it lies in")
    parser.add_argument("second", type=Path, metavar="CARD", help="the card to compare with it")
    parser.add_argument("--json", action="store_true", help="write the differences as JSON")


def run(args: argparse.Namespace) -> int:
    """Compare two cards.

    Returns:
        0.
    """
    from mmpt.cli.console import out
    from mmpt.evaluators.cards import read_card
    from mmpt.evaluators.comparing import compare, what_differs

    first, second = read_card(args.first), read_card(args.second)
    differences, remarks = compare(first, second), what_differs(first, second)
    if not differences:
        raise ValueError(
            f"{args.first} and {args.second} have no measure in common "
            f"({', '.join(first.results['fixed'])} and {', '.join(second.results['fixed'])}); compare cards of one task"
        )
    if args.json:
        _write_json(differences, remarks, (args.first, args.second))
        return 0
    _show_cards((first, second), (args.first, args.second))
    _show_paired([entry for entry in differences if entry.p is not None], len(first.examples))
    _show_unpaired([entry for entry in differences if entry.p is None])
    if not all(entry.higher_is_better for entry in differences):
        out.print(f"{LOWER} lower is better")
    _show_remarks(remarks)
    return 0


def _write_json(differences: "Sequence[Difference]", remarks: "Sequence[str]", files: tuple[Path, Path]) -> None:
    import json
    from dataclasses import asdict

    told = {
        "first": str(files[0]),
        "second": str(files[1]),
        "differences": [{**asdict(entry), "verdict": entry.verdict} for entry in differences],
        "remarks": list(remarks),
    }
    sys.stdout.write(f"{json.dumps(told, indent=1)}\n")


def _show_cards(cards: "tuple[Card, Card]", files: tuple[Path, Path]) -> None:
    from rich.padding import Padding

    from mmpt.cli.console import out

    for name, card, file in zip(("first", "second"), cards, files, strict=True):
        told = card.protocol
        out.print(f"{name}: {file}", soft_wrap=True)
        out.print(Padding(f"{told.get('model', '')} {one_line(told.get('checkpoint', ''))}".strip(), (0, 0, 0, 8)))
    if cards[0].hashes.get("checkpoint") and cards[0].hashes.get("checkpoint") == cards[1].hashes.get("checkpoint"):
        out.print("Both have the same weights.")


def _show_paired(differences: "Sequence[Difference]", examples: int) -> None:
    if not differences:
        return
    from rich import box
    from rich.table import Table

    from mmpt.cli.console import out
    from mmpt.evaluators.cards import number

    table = Table("measure", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("first", "second", "change", "95 %", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for entry in differences:
        values = [number(entry.first["value"]), number(entry.second["value"]), _signed(entry.value)]
        table.add_row(
            _named(entry), *values, f"{_signed(entry.low)} to {_signed(entry.high)}", _chance(entry.p), entry.verdict
        )
    out.print(table)
    out.print(
        f"Change: second less first, over the same {examples:,} examples. unclear: p is 0.05 or more, so the change "
        "may be chance."
    )
    if len(differences) >= MANY:
        out.print(f"Of {len(differences)} measures about {len(differences) // MANY} fall below 0.05 by chance alone.")


def _show_unpaired(differences: "Sequence[Difference]") -> None:
    if not differences:
        return
    from rich import box
    from rich.table import Table

    from mmpt.cli.console import out
    from mmpt.evaluators.cards import number, span

    table = Table("measure", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("first", "95 %", "second", "95 %", "change"):
        table.add_column(name, justify="right", no_wrap=True)
    for entry in differences:
        results = [text for told in (entry.first, entry.second) for text in (number(told["value"]), span(told))]
        table.add_row(_named(entry), *results, _signed(entry.value))
    out.print(table)
    out.print(
        "Change: second less first. Not compared example by example, so how sure it is cannot be told: the cards do "
        "not have these measures of the same examples. Each interval is of its own card."
    )


def _show_remarks(remarks: "Sequence[str]") -> None:
    from rich.padding import Padding

    from mmpt.cli.console import err

    if remarks:
        err.print("Not alike in all but the model:")
    for remark in remarks:
        err.print(Padding(f"- {one_line(remark)}", (0, 0, 0, 2)))


def _named(entry: "Difference") -> str:
    return entry.measure if entry.higher_is_better else f"{entry.measure} {LOWER}"


def _signed(value: float | None) -> str:
    """Write a difference with its sign; none at all as 0."""
    from mmpt.evaluators.cards import number

    if value is None:
        return ""
    text = number(value)
    return text.removeprefix("-") if not float(text) else text if value < 0 else f"+{text}"


def _chance(p: float | None) -> str:
    """Write p, which 2,000 draws tell to a thousandth."""
    if p is None:
        return ""
    return "<0.001" if p < 0.001 else f"{p:.3f}"
