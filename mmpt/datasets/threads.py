"""Workers that are threads: a batch of clips is laid out faster than a process hands it over."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any

import torch
from torch.utils.data import DataLoader

AHEAD = 2  # batches that each thread is ahead, as a DataLoader's workers are


class ThreadLoader(DataLoader):
    """A DataLoader that makes batches ahead in threads of this process, in the batch sampler's order.

    Numpy and torch do nearly all the work, and let other threads run meanwhile.

    Args:
        threads: how many.
        options: as for DataLoader; a batch sampler is among them, and workers are not.
    """

    def __init__(self, *args: Any, threads: int, **options: Any) -> None:
        super().__init__(*args, **options)
        self.threads = threads

    def __iter__(self) -> Iterator[Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        keys = iter(self.batch_sampler or ())
        pool = ThreadPoolExecutor(self.threads, thread_name_prefix="mmpt-loader")
        pending: deque[Future[Any]] = deque()
        try:
            pending.extend(pool.submit(self._batch, batch) for batch in islice(keys, self.threads * AHEAD))
            while pending:
                batch = pending.popleft().result()
                pending.extend(pool.submit(self._batch, following) for following in islice(keys, 1))
                yield batch
        finally:  # also where the one who asked stops before the end
            pool.shutdown(cancel_futures=True)

    def _batch(self, keys: list[Any]) -> Any:
        dataset: Any = self.dataset
        batch = self.collate_fn(dataset.__getitems__(keys))
        if not self.pin_memory:
            return batch
        return {key: value.pin_memory() if isinstance(value, torch.Tensor) else value for key, value in batch.items()}
