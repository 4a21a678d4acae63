"""Work for several processes, in order and in bounded memory."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 4  # items that each worker has before it: enough that none waits, few enough for memory
ALONE = 1.0  # seconds for which one process does the work: little work is done before others would have started


def ordered_map(function: Callable[[Item], Result], items: Iterable[Item], *, workers: int) -> Iterator[Result]:
    """Apply a function, in several processes where the work takes longer than a moment.

    Args:
        function: of a module, so that a process can import it.
        items: read only as far as the work needs it.
        workers: processes; 1 does all the work in this one.

    Yields:
        The results, in the items' order.

    Raises:
        OSError: a process ended before its work.
    """
    rest = iter(items)
    begin = time.monotonic()
    for item in rest:
        yield function(item)
        if workers > 1 and time.monotonic() - begin >= ALONE:
            break
    else:
        return
    yield from _in_pool(function, rest, workers)


def cores() -> int:
    """Count the processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _in_pool(function: Callable[[Item], Result], items: Iterator[Item], workers: int) -> Iterator[Result]:
    waiting: deque[Future[Result]] = deque()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_end_with_parent) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= workers * AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise OSError(
                f"one of {workers} processes was ended from outside, perhaps for lack of memory; try --workers 1"
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _end_with_parent() -> None:
    """Let this process end when its parent does: one that is killed tells its pool nothing."""
    threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
