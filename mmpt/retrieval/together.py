"""Work that processes share: each does its part, the first joins the parts, all get the result."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from torch import distributed

Part = TypeVar("Part")
Whole = TypeVar("Whole")
TOLD = (ValueError, OSError, ImportError)  # errors that one process tells the others


def together(own: Callable[[], Part], join: Callable[[Sequence[Part]], Whole], *, rank: int, world: int) -> Whole:
    """Share work. All processes call this together.

    Args:
        own: does this process's part.
        join: makes the result of all parts, in the order of the processes; called in process 0 only.
        rank: this process's number.
        world: how many processes there are; above 1 their process group is there.

    Returns:
        The result, the same in every process.

    Raises:
        ValueError: one of the processes raised it, or an OSError or ImportError in its place, which all do then: none
            waits for ever.
    """
    if world == 1:
        return join([own()])
    part = _caught(own)
    parts: list[Any] | None = [None] * world if rank == 0 else None
    distributed.gather_object(part, parts, dst=0)
    result: list[Any] = [None]
    if parts is not None:
        failed = next((part for part in parts if isinstance(part, TOLD)), None)
        result = [_caught(lambda: join(parts)) if failed is None else failed]
    distributed.broadcast_object_list(result, src=0)
    if isinstance(result[0], TOLD):
        raise result[0]
    return result[0]


def _caught(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except TOLD as error:
        return error
