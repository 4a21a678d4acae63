"""What a training tells while it runs: a line for each update and each epoch, in a file and to trackers."""

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from mmpt.config.training import LoggingConfig
from mmpt.training.events import EventFile
from mmpt.utils.files import atomic_path

FILE = "metrics.jsonl"
APART = ("plan", "overflow")  # kinds of lines about what is no update


class Tracker(Protocol):
    """Takes numbers by name."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Take numbers.

        Args:
            values: name -> number.
            step: after how many updates.
        """

    def rewind(self, updates: int) -> None:
        """Learn that a training goes on from an update, so that what came after it is told again.

        Args:
            updates: how many are done.
        """

    def close(self) -> None:
        """End."""


class MetricsLog:
    """Writes the lines of a run to a file, and some of them to trackers.

    Args:
        folder: the run's.
        config: what is told to whom.
        told: what the run was told, for trackers that keep it.

    Attributes:
        interval: updates between two that trackers are told of.
    """

    def __init__(self, folder: Path, config: LoggingConfig, told: Mapping[str, Any]) -> None:
        self._path = folder / FILE
        self.interval = max(1, config.log_interval)
        self._trackers = make_trackers(folder, config, told)
        self._file = None

    def rewind(self, updates: int, *, epoch: int, batch: int) -> None:
        """Forget what came after a moment, because it is done again.

        Args:
            updates: how many are done.
            epoch: passes that are done.
            batch: batches of the pass that are done.
        """
        for tracker in self._trackers:
            tracker.rewind(updates)
        if not self._path.is_file():
            return

        def done(line: Mapping[str, Any]) -> bool:
            if line["kind"] in APART:
                return (line["epoch"] - 1, line.get("batch", 1)) <= (epoch, batch)  # a plan comes before batch 1
            return line["update"] <= updates

        lines = [line for line in read_metrics(self._path) if done(line)]
        with atomic_path(self._path) as temporary:
            temporary.write_text("".join(map(_written, lines)), encoding="utf-8")

    def write(self, line: Mapping[str, Any]) -> None:
        """Write a line.

        Args:
            line: ``kind`` is "plan", "update", "overflow", "epoch" or "valid"; ``update`` says after how many. A
                number that is NaN or infinite is written as null, as JSON has no such numbers.
        """
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("a", encoding="utf-8", buffering=1)  # line by line, so that a crash loses none
        self._file.write(_written(line))
        if line["kind"] != "update" or line["update"] % self.interval == 0 or line["update"] == 1:
            values = {f"{line['kind']}/{k}": v for k, v in line.items() if isinstance(v, float) and math.isfinite(v)}
            for tracker in self._trackers:
                tracker.log(values, line["update"])

    def close(self) -> None:
        """Write what is still to be written."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # of a line that no longer fits on the disk, which was told
                self._file.close()
        for tracker in self._trackers:
            tracker.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a run.

    Args:
        path: the file, or its folder.

    Returns:
        The lines; none where there is no file. A last line that a crash cut off is left out, and null is NaN again.

    Raises:
        ValueError: another line cannot be read.
    """
    path = path / FILE if path.is_dir() else path
    if not path.is_file():
        return []
    found: list[dict[str, Any]] = []
    texts = path.read_text(encoding="utf-8").split("\n")
    for number, text in enumerate(texts, 1):
        if not text:
            continue
        try:
            line = json.loads(text)
            found.append({name: math.nan if value is None else value for name, value in line.items()})
        except (ValueError, AttributeError) as error:
            if number == len(texts):
                break
            raise ValueError(f"{path}, line {number} is no line of a training's log: {error}") from error
    return found


def _written(line: Mapping[str, Any]) -> str:
    """A line as JSON."""
    plain = {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in line.items()}
    return json.dumps(plain, allow_nan=False) + "\n"


class _Project:
    """Weights & Biases, or trackio, which takes the same words."""

    def __init__(self, module: str, project: str, name: str, told: Mapping[str, Any]) -> None:
        try:
            self._library: Any = import_module(module)
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f"the file names a project of {module}, which is not installed; get it with: pip install {module}"
            ) from error
        self._library.init(project=project, name=name, config=dict(told))

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._library.log(dict(values), step=step)

    def rewind(self, updates: int) -> None:
        """Nothing: each start is a run of its own there."""

    def close(self) -> None:
        self._library.finish()


def make_trackers(folder: Path, config: LoggingConfig, told: Mapping[str, Any]) -> Sequence[Tracker]:
    """Make the trackers that a file names.

    Args:
        folder: the run's.
        config: what is told to whom.
        told: what the run was told.

    Returns:
        TensorBoard's, unless `tensorboard_logdir` is empty; and Weights & Biases or trackio by their projects.

    Raises:
        ModuleNotFoundError: a library is not installed.
    """
    trackers: list[Tracker] = []
    if config.tensorboard_logdir:
        trackers.append(EventFile(folder / config.tensorboard_logdir))
    for module, project in (("wandb", config.wandb_project), ("trackio", config.trackio_project)):
        if project:
            trackers.append(_Project(module, project, folder.name, told))
    return trackers
