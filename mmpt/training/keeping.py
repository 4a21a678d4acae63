"""Checkpoints in the original's format: which are written, and which go when there are too many."""

import errno
import math
import os
import re
import shutil
from collections.abc import Collection, Mapping, Sequence
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

    def check(self, measured: Collection[str]) -> None:
        """See that what says which checkpoint is best is measured at all.

        Args:
            measured: names of losses.

        Raises:
            SharedError: `best_checkpoint_metric` names none of them.
        """
        name = self.config.best_checkpoint_metric
        if name not in measured:
            raise SharedError(
                f"fairseq: best_checkpoint_metric is {name!r}; this training measures {', '.join(measured)}"
            )

    def measure(self, losses: Mapping[str, float]) -> float:
        """Pick what says which checkpoint is best.

        Args:
            losses: of a validation, or of an epoch where there is none.

        Returns:
            The one that `best_checkpoint_metric` names.

        Raises:
            SharedError: there is none of that name.
        """
        self.check(losses)
        return losses[self.config.best_checkpoint_metric]

    def judge(self, progress: Progress, measure: float | None) -> bool:
        """Compare a measure with the best so far.

        Args:
            progress: changed: `metric`, `best` and `worse`.
            measure: the new one; None for none. One that is NaN or infinite is no better than any.

        Returns:
            Whether it is better.
        """
        if measure is None:
            return False
        most = self.config.maximize_best_checkpoint_metric
        metric = f"{'most' if most else 'least'} {self.config.best_checkpoint_metric}"
        if progress.metric != metric:  # the file may name another when a training goes on
            progress.metric, progress.best, progress.worse = metric, None, 0
        sign = -1 if most else 1
        better = math.isfinite(measure) and (progress.best is None or sign * measure < sign * progress.best)
        progress.best = measure if better else progress.best
        progress.worse = 0 if better else progress.worse + 1
        return better

    def given_up(self, progress: Progress) -> bool:
        """Say whether nothing got better for as long as `patience` waits.

        Args:
            progress: how far the training is.

        Returns:
            Whether the training ends.
        """
        return 0 < self.config.patience <= progress.worse

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
            progress: how far the training is; changed: `written`.
            whole: whether an epoch has just ended.
            measure: that of the validation just done, if one was.
            best: whether it is the best so far.

        Raises:
            DiskFullError: there is no room.
        """
        names = self._names(progress, whole=whole, measure=measure, best=best)
        if not names:
            return
        if not (self.folder / STATE).exists():  # else a kill before the first state would leave weights of nobody
            write_state(self.folder / STATE, State(Progress(), self.told, {}, {}))
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
        progress.written = list(dict.fromkeys([*progress.written, *names]))

    def write_state(self, state: State) -> None:
        """Write what to go on from; then delete the checkpoints that are too many.

        Args:
            state: of the training; `written` of its progress is changed.

        Raises:
            DiskFullError: there is no room; the state before is untouched.
        """
        if self.config.no_save:
            return
        tensors = state.tensors
        if self.config.no_save_optimizer_state:
            tensors = {name: value for name, value in tensors.items() if not name.startswith("optimizer.")}
        write_state(self.folder / STATE, replace(state, told=self.told, tensors=tensors))
        self._tidy(state.progress)

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
        if config.keep_best_checkpoints > 0 and measure is not None and math.isfinite(measure):
            names.append(f"checkpoint.best_{config.best_checkpoint_metric}_{measure:.4f}.pt")
        return names

    def _tidy(self, progress: Progress) -> None:
        """Delete what is too many of what this training wrote; another's checkpoints are not its own to delete."""
        config, written = self.config, progress.written
        gone = _all_but(_numbered(written, OF_EPOCH), config.keep_last_epochs)
        gone += _all_but(_numbered(written, WITHIN_EPOCH), config.keep_interval_updates)
        if config.keep_best_checkpoints > 0:
            pattern = re.compile(rf"checkpoint\.best_{re.escape(config.best_checkpoint_metric)}_(-?[\d.]+)\.pt")
            found = _numbered(written, pattern)
            worst_first = found if config.maximize_best_checkpoint_metric else found[::-1]
            gone += _all_but(worst_first, config.keep_best_checkpoints)
        for name in gone:
            (self.folder / name).unlink(missing_ok=True)
        progress.written = [name for name in written if name not in gone]


def _numbered(names: Sequence[str], pattern: re.Pattern[str]) -> list[str]:
    """The names of a pattern, by the number in them."""
    found = [(float(match[1]), name) for name in names if (match := pattern.fullmatch(name))]
    return [name for _, name in sorted(found)]


def _all_but(names: list[str], last: int) -> list[str]:
    """All but the last few; none where `last` is -1."""
    return [] if last < 0 else names[: max(0, len(names) - last)]


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
