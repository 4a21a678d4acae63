"""Checkpoints in the original's format: which are written, and which go when there are too many."""

import errno
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from mmpt.config.training import CheckpointConfig
from mmpt.models.base import MMPTPreTrainedModel
from mmpt.models.checkpoints import original_state
from mmpt.models.original import write_original
from mmpt.training.checkpoint import HINT, STATE, Progress, State, write_state
from mmpt.training.processes import SharedError
from mmpt.utils.disk import disk_full_told

LAST, BEST = "checkpoint_last.pt", "checkpoint_best.pt"
OF_EPOCH = re.compile(r"checkpoint(\d+)\.pt")
WITHIN_EPOCH = re.compile(r"checkpoint_\d+_(\d+)\.pt")


class Keeper:
    """Writes the checkpoints and the state of a run, and deletes what is not to be kept.

    Args:
        folder: where they lie.
        config: which are kept.
        told: what the training was told, kept beside its state.
    """

    def __init__(self, folder: Path, config: CheckpointConfig, told: Mapping[str, Any]) -> None:
        self.folder = folder
        self.config = config
        self.told = dict(told)

    def due(self, updates: int) -> bool:
        """Say whether a checkpoint within an epoch is due.

        Args:
            updates: steps of the optimizer.

        Returns:
            Whether it is.
        """
        interval = self.config.save_interval_updates
        return interval > 0 and updates % interval == 0

    def measure(self, losses: Mapping[str, float]) -> float:
        """Pick what says which checkpoint is best.

        Args:
            losses: of a validation, or of an epoch where there is none.

        Returns:
            The one that `best_checkpoint_metric` names.

        Raises:
            SharedError: there is none of that name.
        """
        name = self.config.best_checkpoint_metric
        if name not in losses:
            raise SharedError(
                f"fairseq: best_checkpoint_metric is {name!r}; this training measures {', '.join(losses)}"
            )
        return losses[name]

    def judge(self, progress: Progress, measure: float | None) -> bool:
        """Compare a measure with the best so far.

        Args:
            progress: changed: `best`, `worse` and `ended`.
            measure: the new one; None for none.

        Returns:
            Whether it is better.
        """
        if measure is None:
            return False
        sign = -1 if self.config.maximize_best_checkpoint_metric else 1
        better = progress.best is None or sign * measure < sign * progress.best
        progress.best = measure if better else progress.best
        progress.worse = 0 if better else progress.worse + 1
        progress.ended = 0 < self.config.patience <= progress.worse
        return better

    def write(
        self,
        model: MMPTPreTrainedModel,
        progress: Progress,
        *,
        whole: bool,
        measure: float | None,
        best: bool,
    ) -> None:
        """Write the checkpoints that are due, each whole or untouched.

        Args:
            model: its weights are written, once; all names stand for the same file.
            progress: how far the training is.
            whole: whether an epoch has just ended.
            measure: that of the validation just done, if one was.
            best: whether it is the best so far.

        Raises:
            DiskFullError: there is no room.
        """
        names = self._names(progress, whole=whole, measure=measure, best=best)
        if not names:
            return
        first = self.folder / names[0]
        with disk_full_told(first, HINT):
            try:
                info = {"epoch": progress.epoch, "num_updates": progress.updates}
                write_original(first, original_state(model), info=info)
            except RuntimeError as error:  # torch's writer hides what the system said
                cause = error.__context__
                raise cause if isinstance(cause, OSError) else OSError(errno.EIO, str(error)) from error
            for name in names[1:]:
                _link(first, self.folder / name)

    def write_state(self, state: State) -> None:
        """Write what to go on from; then delete the checkpoints that are too many.

        Args:
            state: of the training.

        Raises:
            DiskFullError: there is no room; the state before is untouched.
        """
        if self.config.no_save:
            return
        tensors = state.tensors
        if self.config.no_save_optimizer_state:
            tensors = {name: value for name, value in tensors.items() if not name.startswith("optimizer.")}
        write_state(self.folder / STATE, replace(state, told=self.told, tensors=tensors))
        self._tidy()

    def _names(self, progress: Progress, *, whole: bool, measure: float | None, best: bool) -> list[str]:
        config, epoch, names = self.config, progress.epoch, []
        if config.no_save:
            return []
        if not config.no_last_checkpoints:
            names.append(LAST)
        if best:
            names.append(BEST)
        if whole and not config.no_epoch_checkpoints and epoch % config.save_interval == 0:
            names.append(f"checkpoint{epoch}.pt")
        if not whole and self.due(progress.updates):
            names.append(f"checkpoint_{epoch + 1}_{progress.updates}.pt")
        if config.keep_best_checkpoints > 0 and measure is not None:
            names.append(f"checkpoint.best_{config.best_checkpoint_metric}_{measure:.4f}.pt")
        return names

    def _tidy(self) -> None:
        config = self.config
        self._keep_last(OF_EPOCH, config.keep_last_epochs)
        self._keep_last(WITHIN_EPOCH, config.keep_interval_updates)
        if config.keep_best_checkpoints > 0:
            pattern = re.compile(rf"checkpoint\.best_{re.escape(config.best_checkpoint_metric)}_(-?[\d.]+)\.pt")
            found = _numbered(self.folder, pattern)
            worst_first = found if config.maximize_best_checkpoint_metric else found[::-1]
            _delete(worst_first[: -config.keep_best_checkpoints])

    def _keep_last(self, pattern: re.Pattern[str], count: int) -> None:
        if count >= 0:
            found = _numbered(self.folder, pattern)
            _delete(found[: len(found) - count])


def _numbered(folder: Path, pattern: re.Pattern[str]) -> list[Path]:
    """The files of a pattern, by the number in their names."""
    found = [(float(match[1]), path) for path in folder.iterdir() if (match := pattern.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def _delete(paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _link(source: Path, target: Path) -> None:
    """Let a second name stand for a file; a copy where the disk has no such links."""
    temporary = target.with_name(f".{target.stem}.{uuid4().hex[:12]}{target.suffix}")
    try:
        try:
            os.link(source, temporary)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            shutil.copyfile(source, temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
