"""HMDB51: say which of 51 actions a clip shows, by the actions' names alone."""

import functools
from dataclasses import dataclass
from pathlib import Path

import torch

from mmpt.processors.aligner import Aligner
from mmpt.processors.base import Listing, MetaProcessor, TextProcessor
from mmpt.utils.registry import register
from mmpt.utils.tables import Row, read_table

PARTS = {"train": 1, "valid": 2, "test": 2}  # how the split columns mark a clip; 0 is in neither part
SPLITS = (1, 2, 3)


@dataclass(frozen=True)
class HMDB51Options:
    """Keys of HMDB51.

    Args:
        hmdb51_split: which of the three official splits: 1, 2 or 3; None for all clips that are in the part of any.
        label_template: the sentence that an action's name stands in, at `{}`, when videos are compared with it.
    """

    hmdb51_split: int | None = 1
    label_template: str = "{}"

    def __post_init__(self) -> None:
        if self.hmdb51_split not in (None, *SPLITS):
            raise ValueError(f"dataset.hmdb51_split is {self.hmdb51_split}; it takes 1, 2, 3, or null for all of them")
        if self.label_template.count("{}") != 1:
            raise ValueError(
                f"dataset.label_template is {self.label_template!r}; it takes a sentence with {{}} once, where the "
                "action's name stands, such as 'a person is doing {}'"
            )


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
        kept, missing, faults = self._read(path)
        return Listing([(row["video_id"], readable(row["label"])) for row in kept], str(path), missing, faults)

    @functools.cached_property
    def labels(self) -> tuple[str, ...]:
        """All actions of the file, in words, sorted."""
        rows, _ = self._rows(self.split_path())
        return tuple(sorted({readable(row["label"]) for row in rows}))

    @property
    def numbers(self) -> tuple[int, ...]:
        """The splits that are read."""
        return SPLITS if self.options.hmdb51_split is None else (self.options.hmdb51_split,)

    @functools.cached_property
    def marks(self) -> tuple[tuple[int, ...], ...]:
        """For each item what the splits that are read say of it: 0 neither part, 1 training, 2 test."""
        return tuple(map(self._marks, self._read(self.split_path())[0]))

    def meta_text_labels(self) -> dict[str, torch.Tensor]:
        """Lay out the actions in words, each in its sentence, for telling them by their text alone.

        Returns:
            `caps`, int64, and `cmasks`, bool, both (actions, max_len - max_video_len).
        """
        text, aligner = TextProcessor(self.config), Aligner(self.config)
        sentences = (self.options.label_template.replace("{}", label) for label in self.labels)
        caps, cmasks = zip(*(aligner._build_text_seq(text.tokenize(each)) for each in sentences), strict=True)
        return {"caps": torch.stack(caps), "cmasks": torch.stack(cmasks)}

    def _read(self, path: Path) -> tuple[list[Row], tuple[str, ...], tuple[str, ...]]:
        """The rows of the part that can be used, the missing clips, the faults."""
        rows, faults = self._rows(path)
        part = PARTS[self.config.split]
        chosen = [row for row in rows if part in self._marks(row)]
        kept, missing = self.keep_available(chosen, lambda row: row["video_id"])
        return kept, missing, tuple(faults)

    def _marks(self, row: Row) -> tuple[int, ...]:
        return tuple(int(row[f"split{number}"]) for number in self.numbers)

    def _rows(self, path: Path) -> tuple[list[Row], list[str]]:
        columns = [f"split{number}" for number in self.numbers]
        rows, faults = read_table(path, ("video_id", "label", *columns))
        good: list[Row] = []
        seen: dict[str, str] = {}
        for row in rows:
            first = seen.setdefault(row["video_id"], row.where)
            odd = next((column for column in columns if row[column] not in ("0", "1", "2")), None)
            if first != row.where:
                faults.append(f"{row.where} lists {row['video_id']} again, after {first}; it is left out")
            elif odd is not None:
                faults.append(
                    f"{row.where} has {row[odd]!r} under {odd}; it takes 0 (in neither part), 1 (training) or 2 "
                    "(testing); it is left out"
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
