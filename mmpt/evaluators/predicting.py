"""Asking a model about every item of a data set, and going on where an earlier run stopped."""

import json
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmpt.datasets.mmdataset import MMDataset
from mmpt.evaluators.base import Protocol
from mmpt.models.base import MMPTPreTrainedModel
from mmpt.utils.files import atomic_path

INDEX = "index"  # the key under which an item carries its place in the data set

Item = Mapping[str, Any]
Row = dict[str, Any]  # arrays, and what JSON takes


class Predictor(ABC):
    """Asks a model about items; what it is told of each is one row, which is kept.

    Attributes:
        items_at_once: how many items are asked about together, and lost when a run is stopped; None for the
            configuration's batch size.
        task: what is asked, in words for the result card.
        pooling: what of a video is compared or labelled, in words for the result card.
    """

    items_at_once: int | None = None
    task: str = ""
    pooling: str = "mean over seconds and the [SEP] behind them"

    def prepare(self, model: MMPTPreTrainedModel, dataset: MMDataset) -> None:  # noqa: B027 - most need nothing
        """Compute what all items share, for example the vectors of labels.

        Args:
            model: in evaluation mode.
            dataset: the items come from it.

        Raises:
            ValueError: model and data set do not belong together.
        """

    @abstractmethod
    def answer(self, model: MMPTPreTrainedModel, items: Sequence[Item]) -> list[Row]:
        """Ask about some items.

        Args:
            model: in evaluation mode.
            items: as the data set gives them, with their `index`.

        Returns:
            A row for each, of numpy arrays and plain values; arrays of floats hold no NaN and nothing infinite.

        Raises:
            ValueError: the model says what is no number, and the rows would not show it; see `require_finite`.
        """

    @abstractmethod
    def gather(self, rows: Sequence[Row], protocol: Protocol) -> Any:
        """Make the answers that the task's metric takes.

        Args:
            rows: of all items, in order.
            protocol: the original's way, or the mended one.

        Returns:
            The answers.
        """

    def notes(self, rows: Sequence[Row]) -> Mapping[str, str]:
        """Say what a reader of the numbers must know and only the answers tell.

        Args:
            rows: of all items.

        Returns:
            Lines for the protocol part of the result card: name -> words.
        """
        return {}


def stack(items: Sequence[Item], *keys: str, device: torch.device | str = "cpu") -> list[torch.Tensor]:
    """Put tensors of items beside each other.

    Args:
        items: as the data set gives them.
        keys: which tensors; of one shape.
        device: where to.

    Returns:
        For each key (items, ...).
    """
    return [torch.stack([item[key] for item in items]).to(device) for key in keys]


def predict(
    model: MMPTPreTrainedModel,
    dataset: MMDataset,
    predictor: Predictor,
    *,
    batch_size: int,
    folder: Path | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> list[Row]:
    """Ask a model about every item, in order.

    Args:
        model: put into evaluation mode.
        dataset: the items.
        predictor: asks; prepared for this model and data set.
        batch_size: items at a time, kept in one file.
        folder: rows are kept here, and taken from here: it belongs to this model and this data alone.
        on_progress: called with the number of items done.

    Returns:
        A row for each item.

    Raises:
        ValueError: model and data set do not belong together, an item cannot be read, or an answer is no number.
    """
    model.eval()
    rows: list[Row] = []
    for start in range(0, len(dataset), batch_size):
        indices = range(start, min(start + batch_size, len(dataset)))
        part = None if folder is None else folder / f"part_{start:08d}_{len(indices):05d}.npz"
        known = None if part is None else read_rows(part, len(indices))
        if known is None:
            known = _ask(model, dataset, predictor, indices)
            if part is not None:
                write_rows(part, known)
        rows += known
        if on_progress is not None:
            on_progress(len(rows))
    return rows


def require_finite(names: Iterable[object], values: Iterable[np.ndarray]) -> None:
    """Refuse what is no number: NaN is not above and not below anything, so that it is ranked first, last or anywhere.

    Args:
        names: what each array was said of.
        values: float, of any shape.

    Raises:
        ValueError: one holds NaN, or something infinite.
    """
    for name, value in zip(names, values, strict=True):
        if not np.isfinite(value).all():
            raise ValueError(
                f"the model's answers for {name} are not finite (NaN or infinite); either the training has diverged, "
                "and an earlier checkpoint is needed, or the weights or this item's features are damaged"
            )


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Keep rows in a file.

    Args:
        path: the .npz file.
        rows: of arrays, and what JSON takes.
    """
    plain = [{key: value for key, value in row.items() if not isinstance(value, np.ndarray)} for row in rows]
    arrays = {
        f"{number}/{key}": value
        for number, row in enumerate(rows)
        for key, value in row.items()
        if isinstance(value, np.ndarray)
    }
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, rows=np.frombuffer(json.dumps(plain).encode(), np.uint8), **arrays)  # pyright: ignore


def read_rows(path: Path, count: int) -> list[Row] | None:
    """Read rows that were kept.

    Args:
        path: the .npz file.
        count: how many there must be.

    Returns:
        The rows; None when there is no such file, or it is damaged: they are computed again.
    """
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            rows: list[Row] = json.loads(stored["rows"].tobytes())
            for name in stored.files:
                number, slash, key = name.partition("/")
                if slash:
                    rows[int(number)][key] = stored[name]
    except (ValueError, OSError, KeyError, IndexError, EOFError, zipfile.BadZipFile):
        return None
    return rows if len(rows) == count else None


@torch.inference_mode()
def _ask(model: MMPTPreTrainedModel, dataset: MMDataset, predictor: Predictor, indices: range) -> list[Row]:
    items = dataset.__getitems__(list(indices))
    rows = predictor.answer(model, [{**item, INDEX: index} for item, index in zip(items, indices, strict=True)])
    assert len(rows) == len(indices), "a predictor answers for every item"
    for row, index in zip(rows, indices, strict=True):
        floats = [value for value in row.values() if isinstance(value, np.ndarray) and value.dtype.kind == "f"]
        require_finite([row.get("id", f"item {index}")] * len(floats), floats)
    return rows
