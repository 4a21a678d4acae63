"""HMDB51: say which of 51 actions a clip shows, by the actions' names alone."""

import functools
from dataclasses import dataclass
from pathlib import Path

from mmpt.processors.base import Listing, MetaProcessor
from mmpt.utils.registry import register
from mmpt.utils.tables import Row, read_table

PARTS = {"train": "1", "valid": "2", "test": "2"}  # how the split columns mark a clip; "0" is in neither part


@dataclass(frozen=True)
class HMDB51Options:
    """Keys of HMDB51.

    Args:
        hmdb51_split: which of the three official splits: 1, 2 or 3.
    """

    hmdb51_split: int = 1

    def __post_init__(self) -> None:
        if self.hmdb51_split not in (1, 2, 3):
            raise ValueError(f"dataset.hmdb51_split is {self.hmdb51_split}; it takes 1, 2 or 3")


@register("meta_processor")
class HMDB51MetaProcessor(MetaProcessor):
    """Lists the clips of `hmdb51.csv` (`video_id,label,split1,split2,split3`).

    An item is (clip, the action in words); clips are named with their ending: `x_0.avi`. HMDB51 has no validation
    part: `valid` is the test part.
    """

    Options = HMDB51Options

    def read(self) -> Listing:
        """Read the annotation file; see `MetaProcessor.read`."""
        path = self.split_path()
        rows, faults = self._rows(path)
        part = PARTS[self.config.split]
        items = [(row["video_id"], readable(row["label"])) for row in rows if row[self._column] == part]
        kept, missing = self.keep_available(items, lambda item: item[0])
        return Listing(kept, str(path), missing, tuple(faults))

    @functools.cached_property
    def labels(self) -> tuple[str, ...]:
        """All actions of the file, in words, sorted."""
        rows, _ = self._rows(self.split_path())
        return tuple(sorted({readable(row["label"]) for row in rows}))

    @property
    def _column(self) -> str:
        return f"split{self.options.hmdb51_split}"

    def _rows(self, path: Path) -> tuple[list[Row], list[str]]:
        rows, faults = read_table(path, ("video_id", "label", self._column))
        good: list[Row] = []
        seen: dict[str, str] = {}
        for row in rows:
            first = seen.setdefault(row["video_id"], row.where)
            if first != row.where:
                faults.append(f"{row.where} lists {row['video_id']} again, after {first}; it is left out")
            elif row[self._column] not in ("0", "1", "2"):
                faults.append(
                    f"{row.where} has {row[self._column]!r} under {self._column}; it takes 0 (in neither part), 1 "
                    "(training) or 2 (testing); it is left out"
                )
            elif not readable(row["label"]):
                faults.append(f"{row.where} has an empty label; it is left out")
            else:
                good.append(row)
        return good, faults


def readable(label: str) -> str:
    """Put a label into words.

    Args:
        label: as the file writes it, `brush_hair_test` or `brush_hair`.

    Returns:
        The action: `brush hair`.
    """
    return " ".join(label.strip().removesuffix("_test").split("_")).strip()
