"""Mappings of plain values -> frozen dataclasses, with every problem noted."""

import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

Block = TypeVar("Block")
Where = Callable[[str], str]  # dotted key -> where it is written, in brackets

WRITTEN = {NoneType: "null", Mapping: "a block of keys", tuple: "a list"}  # what YAML's writers call a type


@dataclass(frozen=True)
class Range:
    """The numbers that a key takes. A dataclass names its keys' ranges in a class attribute `RANGES`.

    Args:
        words: how messages say it.
        low: the lowest number.
        high: the highest.
        below: what all are below.
        above: what all are above.
    """

    words: str
    low: float = -math.inf
    high: float = math.inf
    below: float = math.inf
    above: float = -math.inf

    def holds(self, value: object) -> bool:
        """Whether a key's value is in it.

        Args:
            value: a number, or a list of them; what is neither is no matter of ranges.

        Returns:
            True when all are.
        """
        numbers = [item for item in (value if isinstance(value, tuple) else (value,)) if isinstance(item, int | float)]
        return all(self.low <= number <= self.high and self.above < number < self.below for number in numbers)


NOT_NEGATIVE = Range("0 or more", 0)
POSITIVE = Range("1 or more", 1)
OR_ALL = Range("0 or more, or -1 for all", -1)
PART = Range("0 to 1", 0, 1)


def check_ranges(block: object, name: str) -> None:
    """See that every number of a dataclass is in its range.

    Args:
        block: the dataclass.
        name: what messages call it; empty for the top of a file.

    Raises:
        ValueError: one is not.
    """
    for key, value in vars(block).items():
        if (wanted := _beyond(type(block), key, value)) is not None:
            raise ValueError(f"{dotted(name, key)} is {_plainly(value)!r}; it takes {wanted}")


class Absent(str):
    """A problem that is a file which is not there."""


def nowhere(key: str) -> str:
    """Say nothing about where a key is written."""
    return ""


def fill(
    cls: type[Block],
    values: Mapping[Any, Any],
    name: str,
    problems: list[str],
    *,
    collect: str | None = None,
    where: Where = nowhere,
    partial: bool = False,
) -> Block | None:
    """Make a dataclass of a block of keys.

    Args:
        cls: the dataclass; its annotations say what each key takes.
        values: the block.
        name: what messages call it, for example ``"dataset"``; empty for the top of a file.
        problems: every problem is added to it, one sentence each, beginning with the dotted key.
        collect: the field that takes all keys that are no fields, as a dict; without it they are problems.
        where: says where a key is written, for the messages.
        partial: whether keys may be missing, because a part of the file could not be read.

    Returns:
        The filled dataclass; None when there was a problem, or a key that it needs is missing.
    """
    known = {entry.name: entry for entry in fields(cls) if entry.name != collect}  # pyright: ignore[reportArgumentType]
    hints = get_type_hints(cls)
    given = {key: value for key, value in values.items() if key in known}
    others = {key: value for key, value in values.items() if key not in known}
    needed = [key for key, entry in known.items() if entry.default is MISSING and entry.default_factory is MISSING]
    before = len(problems)
    if not partial:
        problems.extend(f"{dotted(name, key)} is missing{where(name)}" for key in needed if key not in given)
    right: dict[str, Any] = {}
    for key, value in given.items():
        wanted = _misfit(value, _allowed(hints[key])) or _beyond(cls, key, value)
        if wanted is None:
            right[key] = value
        else:
            full = dotted(name, key)
            problems.append(f"{full} is {_plainly(value)!r}; it takes {wanted}{where(full)}")
    if collect is None:
        problems.extend(
            f"{dotted(name, key)} is not known{nearest(key, known)}{where(dotted(name, key))}" for key in others
        )
    complete = len(problems) == before and all(key in right for key in needed)
    absent = {key: None for key in needed if key not in right}
    try:
        made = cls(**{**absent, **right, **({collect: others} if collect else {})})
    except Exception as error:  # a check of somebody's own may fail in any way where None stands for what is missing
        message = str(error)
        key = message.split(" ", 1)[0]
        if complete and not isinstance(error, ValueError):
            raise
        if complete or key in [dotted(name, key) for key in right]:  # and not of what is missing or wrong
            problems.append(f"{message}{where(key)}")
        return None
    return made if complete else None


def dotted(name: str, key: object) -> str:
    """Join a block's name and a key.

    Args:
        name: the block; empty for the top of a file.
        key: the key in it.

    Returns:
        For example ``"dataset.max_len"``.
    """
    return f"{name}.{key}" if name else str(key)


def nearest(key: Any, known: Iterable[str]) -> str:
    """Say which known name is meant, or which there are.

    Args:
        key: what was written; YAML's keys may be numbers.
        known: the names that there are.

    Returns:
        The end of a sentence, beginning with a semicolon.
    """
    known = list(known)
    near = difflib.get_close_matches(str(key), known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known are: {', '.join(known)}"


def _allowed(hint: Any) -> tuple[type, ...]:
    """The classes that an annotation takes; a whole number will do for a float."""
    kinds = [get_origin(kind) or kind for kind in (get_args(hint) if isinstance(hint, UnionType) else (hint,))]
    return (*kinds, int) if float in kinds and int not in kinds else tuple(kinds)


def _written(kinds: tuple[type, ...]) -> list[type]:
    return [kind for kind in kinds if not (kind is int and float in kinds)]


def _misfit(value: Any, allowed: tuple[type, ...]) -> str | None:
    """The types that a key takes, when a value has none of them."""
    if isinstance(value, allowed) and (bool in allowed or not isinstance(value, bool)):
        return None
    return " or ".join(WRITTEN.get(kind, kind.__name__) for kind in _written(allowed))


def _beyond(cls: type, key: str, value: Any) -> str | None:
    """The numbers that a key takes, when a value is or holds another."""
    allowed: Range | None = getattr(cls, "RANGES", {}).get(key)
    return None if allowed is None or allowed.holds(value) else allowed.words


def _plainly(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
