"""Mappings of plain values -> frozen dataclasses, with every problem noted."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

Block = TypeVar("Block")
Where = Callable[[str], str]  # dotted key -> where it is written, in brackets

WRITTEN = {NoneType: "null", Mapping: "a block of keys", tuple: "a list"}  # what YAML's writers call a type


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
    taken = {key: value for key, value in values.items() if key in known}
    others = {key: value for key, value in values.items() if key not in known}
    missing = [
        key
        for key, entry in known.items()
        if key not in taken and entry.default is MISSING and entry.default_factory is MISSING
    ]
    before = len(problems)
    if not partial:
        problems.extend(f"{dotted(name, key)} is missing{where(name)}" for key in missing)
    for key, value in taken.items():
        allowed = _allowed(hints[key])
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
            wanted = " or ".join(WRITTEN.get(kind, kind.__name__) for kind in _written(allowed))
            full = dotted(name, key)
            problems.append(f"{full} is {value!r}; it takes {wanted}{where(full)}")
    if collect is None:
        problems.extend(
            f"{dotted(name, key)} is not known{nearest(key, known)}{where(dotted(name, key))}" for key in others
        )
    if missing or len(problems) > before:
        return None
    try:
        arguments: dict[str, Any] = {**taken, **({collect: others} if collect else {})}
        return cls(**arguments)
    except ValueError as error:
        message = str(error)
        problems.append(f"{message}{where(message.split(' ', 1)[0])}")
        return None


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
