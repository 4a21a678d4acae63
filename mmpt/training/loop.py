"""The training loop.

A step is a pure function of (seed, epoch, number of the batch, weights): nothing is drawn from a state that would have
to be kept. That is why a training that was killed goes on bit for bit, and why one process and many do the same.
"""

import contextlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from mmpt.config.training import LoaderConfig, OptimConfig
from mmpt.losses.base import total
from mmpt.models.base import MMPTPreTrainedModel
from mmpt.tasks.base import Task
from mmpt.training.batches import Batches, Keys
from mmpt.training.checkpoint import Progress, State, pack, unpack
from mmpt.training.damage import refuse
from mmpt.training.estimate import Estimate, estimate
from mmpt.training.keeping import Keeper
from mmpt.training.optim import MovingAverage, learning_rate, make_optimizer
from mmpt.training.processes import Processes, SharedError
from mmpt.training.signals import Stop
from mmpt.training.telling import Observer
from mmpt.utils.seeding import generator

DROPOUT = 1 << 42  # in the place of an item's index: a batch's dropout shares no draws with an item


class Trainer:
    """Trains a model.

    Args:
        processes: who takes part.
        task: turns batches into losses.
        model: with the weights to start from; changed in place.
        train: the batches to learn from.
        valid: those to validate on; None for no validation.
        optim: how to learn.
        loader: when to validate.
        keeper: writes checkpoints.
        observer: is told what happens.
    """

    def __init__(
        self,
        processes: Processes,
        task: Task,
        model: MMPTPreTrainedModel,
        *,
        train: Batches,
        valid: Batches | None,
        optim: OptimConfig,
        loader: LoaderConfig,
        keeper: Keeper,
        observer: Observer,
    ) -> None:
        self.processes, self.task, self.model = processes, task, model
        self.train_batches, self.valid_batches = train, valid
        self.optim, self.loader, self.keeper, self.observer = optim, loader, keeper, observer
        self.progress = Progress()
        self._names: tuple[str, ...] = ()  # of the losses
        self.stopped = False  # whether any process was asked to stop; all know it after the same update
        self.wrapped = processes.prepare(model)
        self.optimizer = make_optimizer(model, optim)
        self.average = None if optim.ema_decay is None else MovingAverage(model, optim.ema_decay)
        self.scaler = torch.amp.GradScaler(processes.device.type, enabled=optim.fp16)
        self.precision = torch.bfloat16 if optim.bf16 else torch.float16 if optim.fp16 else None

    def restore(self, state: State) -> None:
        """Go on from a state.

        Args:
            state: what `state` gave.

        Raises:
            ValueError: it is that of another model.
        """
        clusters = unpack(state.tensors, self.model, self.optimizer, self.average)
        if clusters is not None:
            self.train_batches.use(clusters)
        if state.scaler:
            self.scaler.load_state_dict(state.scaler)
        self.progress = replace(state.progress)

    def state(self) -> State:
        """Give all that a training needs to go on from here."""
        tensors = pack(self.model, self.optimizer, self.average, self.train_batches.clusters)
        return State(self.progress, {}, tensors, self.scaler.state_dict())

    def run(self, stop: Stop) -> None:
        """Train to the end, or until asked to stop; what is done is kept then.

        Args:
            stop: says when to.

        Raises:
            NonFiniteError: a loss or a gradient is NaN or infinite.
        """
        if self.optim.compile:  # only now: what has run while its operations were counted is never compiled
            self.model.compile()
        while not (self.finished or self.stopped):
            self._epoch(stop)

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        optim, progress = self.optim, self.progress
        done = optim.max_epoch is not None and progress.epoch >= optim.max_epoch
        return done or progress.ended or (optim.max_update is not None and progress.updates >= optim.max_update)

    def estimate(self) -> Estimate:
        """Say what an update takes, by a batch of the epoch that comes next."""
        progress, frequency = self.progress, self.optim.update_freq
        first = self.train_batches.of_epoch(progress.epoch)[:1]
        with contextlib.closing(self.train_batches.read(first)) as batches:
            return estimate(
                self.task,
                self.model,
                next(batches),
                optim=self.optim,
                casting=self._casting(),
                accumulated=frequency[min(progress.epoch, len(frequency) - 1)],
            )

    @property
    def _last_epoch(self) -> bool:
        return self.optim.max_epoch is not None and self.progress.epoch + 1 >= self.optim.max_epoch

    def _epoch(self, stop: Stop) -> None:
        progress = self.progress
        if progress.batch == 0:
            self._plan()
        groups = self._groups()
        stream = self.train_batches.read([keys for group in groups for keys in self._share(group)])
        with contextlib.closing(stream), self.observer.epoch(progress, self.optim, len(groups)):
            for group in groups:
                self._update(group, stream, stop)
                whole = group is groups[-1]
                if whole or self.finished:
                    return self._edge(whole=whole)
                self._within_epoch()
                if self.stopped:
                    return None

    def _plan(self) -> None:
        """Ask the task for the clusters of the epoch that begins."""
        progress, who = self.progress, self.processes
        began = time.perf_counter()
        where = {"epoch": progress.epoch, "rank": who.rank, "world": who.world}
        try:
            plan = self.task.plan(self.model, self.train_batches.dataset, seed=self.optim.seed, **where)
        except ValueError as error:  # which all processes raise together
            raise SharedError(str(error)) from error
        self.model.train()
        if plan is not None:
            self.train_batches.use(plan.clusters)
            progress.statistics = dict(plan.statistics)
            self._tell("plan", {**plan.statistics, "seconds": time.perf_counter() - began})

    def _groups(self) -> list[list[Keys]]:
        """The batches of each update that is left of the epoch, of all processes."""
        world, epoch = self.processes.world, self.progress.epoch
        batches = self.train_batches.of_epoch(epoch)
        batches = batches[: len(batches) // world * world]  # as many for each process
        size = world * self.optim.update_freq[min(epoch, len(self.optim.update_freq) - 1)]
        groups = [batches[start : start + size] for start in range(self.progress.batch, len(batches), size)]
        if not groups:
            raise SharedError(
                f"epoch {epoch + 1} has no batch for each of {world} processes; take fewer processes, or a smaller "
                "batch (fairseq.dataset.batch_size, dataset.num_video_per_batch)"
            )
        return groups

    def _share(self, group: Sequence[Keys]) -> Sequence[Keys]:
        return group[self.processes.rank :: self.processes.world]

    def _update(self, group: Sequence[Keys], stream: Iterator[dict[str, Any]], stop: Stop) -> None:
        """Make one step of the optimizer."""
        progress, began, waited, pairs = self.progress, time.perf_counter(), 0.0, 0
        share, sums, seen = self._share(group), {}, []
        for place in range(len(share)):
            asked = time.perf_counter()
            batch = next(stream)
            waited += time.perf_counter() - asked
            number = progress.batch + place * self.processes.world + self.processes.rank
            losses = self._backward(batch, number, parts=len(share), last=place == len(share) - 1)
            seen.append((number, batch, losses))
            pairs += batch["caps"].numel() // batch["caps"].shape[-1]
            sums = {name: sums.get(name, 0.0) + value.item() for name, value in losses.items()}
        self._names = tuple(sums)
        norm = self._clip()
        told = self.processes.sum([*sums.values(), pairs, waited, float(stop.asked)])
        means = [value / len(group) for value in told[: len(sums)]]
        pairs, waited, stopping = told[len(sums) :]
        if not math.isfinite(sum(means)) or not (self.optim.fp16 or math.isfinite(norm)):
            refuse(self.processes, self.keeper.folder, seen, progress=progress, norm=norm)
        self._step(group)
        self.stopped = stopping > 0
        line = {"loss": sum(means), **dict(zip(sums, means, strict=True)), "grad_norm": norm}
        progress.sums = {name: progress.sums.get(name, 0.0) + line[name] for name in ("loss", *sums)}
        progress.counted += 1
        seconds = time.perf_counter() - began
        speed = {
            "pairs": pairs,
            "pairs_per_second": pairs / seconds,
            "waiting": waited / self.processes.world / seconds,
        }
        self._tell("update", {**line, "lr": self.optimizer.param_groups[0]["lr"], **speed})

    def _backward(self, batch: Mapping[str, Any], number: int, *, parts: int, last: bool) -> dict[str, torch.Tensor]:
        """Add a batch's gradient to that of the update."""
        gathering = contextlib.nullcontext() if last else self.processes.keep_gradients(self.wrapped)
        with gathering:
            with self._drawing(number), self._casting():
                losses = self.task.training_step(self.wrapped, batch)
            self.scaler.scale(total(losses) / parts).backward()
        return {name: value.detach() for name, value in losses.items()}

    @contextlib.contextmanager
    def _drawing(self, number: int) -> Iterator[None]:
        """Let dropout draw what belongs to a batch, and leave the global random state alone."""
        device = self.processes.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            seed = generator(self.optim.seed, self.progress.epoch, DROPOUT + number).integers(1 << 62)
            torch.manual_seed(int(seed))
            yield

    def _casting(self) -> torch.autocast:
        return torch.autocast(self.processes.device.type, self.precision, enabled=self.precision is not None)

    def _clip(self) -> float:
        """Cut the gradient to `clip_norm`; its length before that."""
        self.scaler.unscale_(self.optimizer)
        limit = self.optim.clip_norm or math.inf
        return float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit))

    def _step(self, group: Sequence[Keys]) -> None:
        progress = self.progress
        for entry in self.optimizer.param_groups:
            entry["lr"] = learning_rate(self.optim, progress.updates + 1, progress.epoch)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update(self.model)
        progress.updates += 1
        progress.batch += len(group)

    def _within_epoch(self) -> None:
        """Validate and keep what is done, where that is due before the epoch's end."""
        updates, loader = self.progress.updates, self.loader
        due = loader.validate_interval_updates and updates % loader.validate_interval_updates == 0
        measure = self._validate() if due else None
        if due or self.stopped or self.keeper.due(updates):
            self._keep(whole=False, measure=measure)

    def _edge(self, *, whole: bool) -> None:
        """End an epoch, or a training in the midst of one."""
        progress = self.progress
        means = {name: value / progress.counted for name, value in progress.sums.items()}
        if whole:
            self._tell("epoch", means)
        measure = None
        if not whole or (progress.epoch + 1) % self.loader.validate_interval == 0 or self._last_epoch:
            measure = self._validate() if self.valid_batches else self.keeper.measure(means)
        if whole:
            self.progress = replace(progress, epoch=progress.epoch + 1, batch=0, sums={}, counted=0)
        self._keep(whole=whole, measure=measure)

    def _validate(self) -> float | None:
        """Measure the losses of the validation split; the same for any number of processes."""
        if self.valid_batches is None:
            return None
        world, rank = self.processes.world, self.processes.rank
        batches = self.valid_batches.of_epoch(0)
        sums: dict[str, float] = {}
        self.model.eval()
        average = contextlib.nullcontext() if self.average is None else self.average.in_place(self.model)
        with average, torch.no_grad(), self._casting(), self.task.alone():
            for batch in self.valid_batches.read(batches[rank::world]):
                losses = self.task.training_step(self.model, batch)
                sums = {name: sums.get(name, 0.0) + value.item() for name, value in losses.items()}
        self.model.train()
        return self._mean_of_validation(sums, len(batches))

    def _mean_of_validation(self, sums: dict[str, float], count: int) -> float:
        told = self.processes.sum([sums.get(name, 0.0) for name in self._names])
        means = {name: value / count for name, value in zip(self._names, told, strict=True)}
        means = {"loss": sum(means.values()), **means}
        self._tell("valid", means)
        return self.keeper.measure(means)

    def _keep(self, *, whole: bool, measure: float | None) -> None:
        """Write checkpoints and the state; the first process does, and the others wait for its word."""
        average = contextlib.nullcontext() if self.average is None else self.average.in_place(self.model)
        best = self.keeper.judge(self.progress, measure)
        failed: OSError | None = None
        if self.processes.first:
            try:
                with average:
                    self.keeper.write(self.model, self.progress, whole=whole, measure=measure, best=best)
                self.keeper.write_state(self.state())
            except OSError as error:
                failed = error
        if self.processes.sum([float(failed is not None)])[0]:
            raise SharedError(str(failed or ""))

    def _tell(self, kind: str, values: Mapping[str, float]) -> None:
        progress = self.progress
        self.observer.tell({"kind": kind, "epoch": progress.epoch + 1, "update": progress.updates, **values})
