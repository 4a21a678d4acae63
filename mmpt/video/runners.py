"""Feature files for many videos: what is done is skipped, what is in hand is claimed, what fails is written down.

Any number of runs, on any number of machines that share a disk, may work on one folder.
"""

import logging
import threading
import time
from collections.abc import Iterator, Sequence

from mmpt.video.claims import Claims
from mmpt.video.extractor import Extractor
from mmpt.video.failures import SharedFailures
from mmpt.video.jobs import CLAIMS, POLL, Board, Event, Plan, Report, Video, prepare_folder, writing_to
from mmpt.video.pool import run_pool
from mmpt.video.streaming import Meter

logger = logging.getLogger(__name__)


def extract_all(videos: Sequence[Video], plan: Plan, report: Report, *, workers: int = 1, wait: bool = True) -> Meter:
    """Extract videos.

    Args:
        videos: which; ids differ.
        plan: how.
        report: told what becomes of each video, by one thread at a time.
        workers: processes; with 1, it is this one.
        wait: in the end, for the videos that other extractors have in hand.

    Returns:
        Where the time went, of all workers together.

    Raises:
        FileNotFoundError: the backbone's weights are missing.
        ValueError: there is no such backbone, or its options are wrong.
        OSError: features cannot be written; those that are, are whole.
    """
    backbone = plan.build()
    told = backbone.name, backbone.version, backbone.dim  # missing weights are found out before there is any work
    logger.info("features of %s, version %s, width %d", *told)
    with writing_to(plan.out):
        prepare_folder(plan.out)
    lock = threading.Lock()
    board = Board(videos, wait=wait)
    with Claims(plan.out / CLAIMS) as claims:
        log = SharedFailures(plan.out, claims)

        def note(event: Event) -> None:
            with lock:
                event = board.settle(event)
                with writing_to(plan.out):
                    _log(log, event)
                report(event)

        if workers > 1 and not plan.overwrite:
            # A process takes seconds to start: none is started for what is there already, as when a run is repeated.
            workers = min(workers, sum(not plan.target(video).exists() for video in videos))
        try:
            if workers > 1:
                return run_pool(board, plan, note, workers)
            extractor = Extractor(plan, backbone, note)
            extractor.run(_offers(board))
            return extractor.meter
        finally:
            with writing_to(plan.out):
                log.write()


def _offers(board: Board) -> Iterator[Video | None]:
    while not board.empty:
        video = board.next()
        yield video
        if video is None:
            time.sleep(POLL)


def _log(log: SharedFailures, event: Event) -> None:
    if event.kind == "failed":
        log.failed(event.video.id, event.video.path, event.reason)
    elif event.kind in ("done", "skipped", "kept"):
        log.succeeded(event.video.id)
