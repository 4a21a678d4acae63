"""Extraction in several processes of one machine.

    this process:  board of videos --(a pipe each)--> worker: Extractor      worker --(the same pipe)--> events

Each worker has a pipe of its own and no lock is shared, so a worker that is killed harms none of the others, and a new
one takes its place. The video that it had in hand fails with that reason; of several, each is tried again alone. When
this process is killed, its workers find their pipes closed and end.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import Any

import torch
from transformers.utils import logging as transformers_logging

from mmpt.video.claims import Claims
from mmpt.video.extractor import Extractor
from mmpt.video.jobs import CLAIMS, POLL, Board, Event, OutputError, Plan, Video
from mmpt.video.streaming import PATIENCE, Meter

STOPPING = 10.0  # seconds for workers to give their claims back
NEXT, EVENT, METER, FATAL = "next", "event", "meter", "fatal"  # what workers say
SETTLED = ("done", "skipped", "kept", "left", "busy", "failed")


def run_pool(board: Board, plan: Plan, report: Callable[[Event], None], workers: int) -> Meter:
    """Extract the videos of a board in several processes.

    Args:
        board: the videos; settled by `report`.
        plan: how.
        report: told what becomes of each video.
        workers: how many processes; their cores are shared out among them.

    Returns:
        Where the time went, of all workers together.

    Raises:
        OSError: features cannot be written.
        ValueError: a worker cannot go on; the message is its own.
        RuntimeError: a worker died before it had any video.
    """
    pool = _Pool(board, plan, report, max(1, cores() // workers))
    try:
        for _ in range(workers):
            pool.start()
        while pool.workers:
            pool.step()
        return pool.meter
    finally:
        pool.stop()


def cores() -> int:
    """Count the processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Worker:
    """A process, this end of its pipe, and the videos that it has in hand."""

    def __init__(self, plan: Plan, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, plan, threads), daemon=True)
        self.in_hand: list[Video] = []
        self.asks = False
        with _interrupts_ignored():
            self.process.start()
        theirs.close()


class _Pool:
    def __init__(self, board: Board, plan: Plan, report: Callable[[Event], None], threads: int) -> None:
        self.board = board
        self.plan = plan
        self.report = report
        self.threads = threads
        self.workers: list[_Worker] = []
        self.meter = Meter()
        self.suspects: list[Video] = []  # over one of these a worker died; each is given out alone
        self.suspected: set[str] = set()  # their ids, kept

    def start(self) -> None:
        self.workers.append(_Worker(self.plan, self.threads))

    def step(self) -> None:
        """Hear what workers say, and give out videos."""
        by_pipe = {worker.pipe: worker for worker in self.workers}
        for pipe in wait(list(by_pipe), timeout=POLL):
            assert isinstance(pipe, Connection)
            worker = by_pipe[pipe]
            try:
                self._hear(worker, *pipe.recv())
            except (EOFError, ConnectionError):
                self._bury(worker)
        for worker in [worker for worker in self.workers if worker.asks]:
            over = not self.suspects and self.board.empty and not any(each.in_hand for each in self.workers)
            video = self._choose(worker)
            if over or video is not None:
                self._give(worker, video)

    def _choose(self, worker: _Worker) -> Video | None:
        """Find a video for a worker; None where there is none for it at the moment."""
        if self.suspects and not worker.in_hand:
            return self.suspects.pop()
        if any(video.id in self.suspected for video in worker.in_hand):
            return None
        return self.board.next()

    def _give(self, worker: _Worker, video: Video | None) -> None:
        """Give out a video, or say that there are no more."""
        worker.asks = False
        if video is not None:
            worker.in_hand.append(video)
        try:
            worker.pipe.send(video)
        except (BrokenPipeError, ConnectionError):
            self._bury(worker)

    def _hear(self, worker: _Worker, kind: str, content: Any) -> None:
        if kind == NEXT:
            worker.asks = True
        elif kind == EVENT:
            if content.kind in SETTLED:
                worker.in_hand.remove(content.video)
            self.report(content)
        elif kind == METER:
            self.meter.add(content)
            self.workers.remove(worker)
            worker.process.join()
        else:
            raise content

    def _bury(self, worker: _Worker) -> None:
        """Go on without a worker that died."""
        self.workers.remove(worker)
        worker.process.join()
        code = worker.process.exitcode or 0
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        if not worker.in_hand:
            raise RuntimeError(
                f"a worker ended by itself ({how}) with no video in hand; run with --workers 1 to see why"
            )
        if len(worker.in_hand) > 1:
            self.suspects += worker.in_hand
            self.suspected |= {video.id for video in worker.in_hand}
        else:
            (video,) = worker.in_hand
            with Claims(self.plan.out / CLAIMS) as claims, suppress(OSError):
                if claim := claims.take(video.id):  # the dead worker's, which is given back with it
                    claims.release(claim)
            hint = ", perhaps for want of memory: use fewer workers" if code == -signal.SIGKILL else ""
            reason = f"the worker that had {video.path} in hand was ended by {how}{hint}"
            self.report(Event("failed", video, reason=reason))
        self.start()

    def stop(self) -> None:
        """End what still runs; workers give their claims back when their pipe closes."""
        for worker in self.workers:
            worker.pipe.close()
        until = time.monotonic() + STOPPING
        for worker in self.workers:
            worker.process.join(max(0.0, until - time.monotonic()))
            if worker.process.is_alive():
                worker.process.terminate()
                worker.process.join()


def _work(pipe: Connection, plan: Plan, threads: int) -> None:
    """What a worker process does."""
    torch.set_num_threads(threads)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    sending = threading.Lock()

    def say(kind: str, content: Any = None) -> None:
        with sending:
            pipe.send((kind, content))

    def offers() -> Iterator[Video | None]:
        while True:
            say(NEXT)
            while not pipe.poll(PATIENCE):
                yield None
            video = pipe.recv()
            if video is None:
                return
            yield video

    try:
        extractor = Extractor(plan, plan.build(), lambda event: say(EVENT, event))
        extractor.run(offers())
        say(METER, extractor.meter)
    except (EOFError, ConnectionError):  # the parent is gone, and with it whoever wants this
        return
    except (OutputError, ValueError, FileNotFoundError, ModuleNotFoundError) as error:
        say(FATAL, type(error)(str(error)))
    except Exception as error:
        say(FATAL, RuntimeError(f"{type(error).__name__}: {error}"))
        raise


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Let a process that is started here ignore Ctrl-C, which reaches it too: it ends when its parent says so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
