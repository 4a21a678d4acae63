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
from torch import nn

from mmpt.config.training import LoaderConfig, OptimConfig
from mmpt.losses.base import total
from mmpt.models.base import MMPTPreTrainedModel
from mmpt.tasks.base import Task
from mmpt.training.batches import Batches, Keys
from mmpt.training.checkpoint import Progress, State, pack, unpack, unpack_moments
from mmpt.training.damage import refuse
from mmpt.training.estimate import Estimate, estimate
from mmpt.training.fsdp import joined
from mmpt.training.keeping import Keeper
from mmpt.training.measures import examples, read, weighted, with_total
from mmpt.training.optim import SHARDED, MovingAverage, learning_rate, make_optimizer
from mmpt.training.processes import Processes, SharedError
from mmpt.training.signals import Stop
from mmpt.training.telling import Observer
from mmpt.utils.seeding import generator

SMALLEST_SCALE = 1e-4  # of fp16's gradients, as in the original: overflow at this one is no matter of the scale
DROPOUT = 1 << 42  # in the place of an item's index: a batch's dropout shares no draws with an item


class _Interrupted(ValueError):
    """A process was asked to stop while it planned; all know, as of any other error in a plan."""


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
        self.stopped = False  # whether any process was asked to stop; all know it after the same update
        self.wrapped: nn.Module = nn.Module.to(model, processes.device)
        self._moments: Mapping[str, torch.Tensor] | None = None  # of a state to go on from, until there is an optimizer
        self.scaler = torch.amp.GradScaler(processes.device.type, enabled=optim.fp16)
        self.precision = torch.bfloat16 if optim.bf16 else torch.float16 if optim.fp16 else None

    def restore(self, state: State, *, other_data: bool = False) -> None:
        """Go on from a state.

        Args:
            state: what `state` gave.
            other_data: the batches are not those that it knows, so that the epoch begins anew.

        Raises:
            ValueError: it is that of another model.
        """
        clusters = unpack(state.tensors, self.model)
        self._moments = state.tensors
        if state.scaler:
            self.scaler.load_state_dict(state.scaler)
        self.progress = replace(state.progress)
        if other_data:
            self.progress = replace(state.progress, batch=0, sums={}, counted=0)
        elif clusters is not None:
            self.train_batches.use(clusters)

    def state(self) -> State:
        """Give all that a training needs to go on from here, to the first process; all ask."""
        tensors = pack(self.model, self.optimizer, self.average, self.train_batches.clusters)
        return State(self.progress, {}, self.processes.gather(tensors), self.scaler.state_dict())

    def run(self, stop: Stop) -> None:
        """Train to the end, or until asked to stop; what is done is kept then.

        Args:
            stop: says when to.

        Raises:
            NonFiniteError: a loss or a gradient is NaN or infinite.
        """
        self._share_out()
        while not (self.finished or self.stopped):
            self._epoch(stop)

    def _share_out(self) -> None:
        """Begin to work together, which processes do only when all of them are ready."""
        optim, model = self.optim, self.model
        self.wrapped = self.processes.prepare(model, sharded=optim.ddp_backend == SHARDED)
        self.optimizer = make_optimizer(model, optim)  # of what this process has of the weights
        self.average = None if optim.ema_decay is None else MovingAverage(model, optim.ema_decay)
        if self._moments is not None:
            unpack_moments(self._moments, model, self.optimizer, self.average)
            self._moments = None
        if optim.compile:  # only now: what has run while its operations were counted is never compiled
            model.compile()

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        optim, progress = self.optim, self.progress
        done = optim.max_epoch is not None and progress.epoch >= optim.max_epoch
        ended = optim.max_update is not None and progress.updates >= optim.max_update
        return done or ended or self.keeper.given_up(progress)

    def estimate(self) -> Estimate:
        """Estimate an update, by the largest batch of the next epoch. All processes must call this.

        Raises:
            SharedError: what says which checkpoint is best is no loss of this training.
        """
        progress, frequency = self.progress, self.optim.update_freq
        largest = max(self.train_batches.of_epoch(progress.epoch), key=len)
        with contextlib.closing(self.train_batches.read([largest])) as batches:
            found = estimate(
                self.task,
                self.model,
                next(batches),
                optim=self.optim,
                casting=self._casting(),
                accumulated=frequency[min(progress.epoch, len(frequency) - 1)],
                parts=self.processes.world if self.optim.ddp_backend == SHARDED else 1,
            )
        self.keeper.check(dict.fromkeys(("loss", *found.losses)))
        return found

    @property
    def _last_epoch(self) -> bool:
        return self.optim.max_epoch is not None and self.progress.epoch + 1 >= self.optim.max_epoch

    def _epoch(self, stop: Stop) -> None:
        progress = self.progress
        if progress.batch == 0 and not self._plan(stop):
            return None
        groups = self._groups()
        if not groups:  # fewer processes, which left out less, began this epoch
            return self._edge(whole=True)
        stream = self.train_batches.read([keys for group in groups for keys in self._share(group)])
        with contextlib.closing(stream), self.observer.epoch(progress, self.optim, len(groups)):
            for group in groups:
                stepped = self._update(group, stream, stop)
                whole = group is groups[-1]
                if whole or self.finished:
                    return self._edge(whole=whole)
                self._within_epoch(stepped)
                if self.stopped:
                    return None

    def _plan(self, stop: Stop) -> bool:
        """Ask the task for the clusters of the epoch that begins; False where a process was asked to stop meanwhile."""
        progress, who = self.progress, self.processes
        began = time.perf_counter()

        def watch(done: int, total: int) -> None:
            show(done, total)
            if stop.asked:
                raise _Interrupted("asked to stop")

        try:
            whole = self.processes.whole(self.model)
            with whole as model, _trimming(model), self.observer.work("embedding videos") as show:
                plan = self.task.plan(
                    model,
                    self.train_batches.dataset,
                    seed=self.optim.seed,
                    epoch=progress.epoch,
                    rank=who.rank,
                    world=who.world,
                    precision=self.precision,
                    num_workers=self.loader.num_workers,
                    on_progress=watch,
                )
        except _Interrupted:  # what is done is kept already, as an epoch has just ended or none began
            self.stopped = True
            return False
        except (ValueError, OSError, ImportError) as error:  # which all processes raise together
            raise SharedError(str(error)) from error
        self.model.train()
        if plan is not None:
            self.train_batches.use(plan.clusters)
            progress.statistics = dict(plan.statistics)
            self._tell("plan", {**plan.statistics, "seconds": time.perf_counter() - began})
        return True

    def _groups(self) -> list[list[Keys]]:
        """The batches of each update that is left of the epoch, of all processes; the last one may have fewer."""
        world, epoch = self.processes.world, self.progress.epoch
        batches = self.train_batches.of_epoch(epoch)
        if self.task.gathers:
            batches = batches[: len(batches) // world * world]
        size = world * self.optim.update_freq[min(epoch, len(self.optim.update_freq) - 1)]
        groups = [batches[start : start + size] for start in range(self.progress.batch, len(batches), size)]
        if not groups and self.progress.batch == 0:
            raise SharedError(
                f"epoch {epoch + 1} has no batch for each of {world} processes; take fewer processes, or a smaller "
                "batch (fairseq.dataset.batch_size, dataset.num_video_per_batch)"
            )
        return groups

    def _share(self, group: Sequence[Keys]) -> Sequence[Keys]:
        """This process's batches of an update: as many as the others', so that none waits for ever.

        Where it has one fewer, it computes the first batch too; `_update` does not count that.
        """
        share = group[self.processes.rank :: self.processes.world]
        return share if len(share) * self.processes.world >= len(group) else [*share, group[0]]

    def _update(self, group: Sequence[Keys], stream: Iterator[dict[str, Any]], stop: Stop) -> bool:
        """Make one step of the optimizer; False where fp16's gradients overflow, so that there is none."""
        progress, began, waited, pairs = self.progress, time.perf_counter(), 0.0, 0
        share, seen, counted = self._share(group), [], []
        parts_of_mean = len(group) / self.processes.world  # as gradients are averaged over the processes
        for place in range(len(share)):
            asked = time.perf_counter()
            batch = next(stream)
            waited += time.perf_counter() - asked
            within = place * self.processes.world + self.processes.rank
            counts, number = float(within < len(group)), progress.batch + within
            losses = self._backward(batch, number, weight=counts / parts_of_mean, last=place == len(share) - 1)
            seen.append((number, batch, losses))
            counted.append(counts)
            pairs += counts * examples(batch)
        *found, length = read([*(losses for _, _, losses in seen), {"norm": self._clip()}])
        names, norm = tuple(found[0]), length["norm"]
        own = weighted(found, counted, names)
        *sums, pairs, waited, stopping = self.processes.sum([*own, pairs, waited, float(stop.asked)])
        parts = {name: value / len(group) for name, value in zip(names, sums, strict=True)}
        if not math.isfinite(sum(sums)) or not (self.optim.fp16 or math.isfinite(norm)):
            seen = [entry for entry, counts in zip(seen, counted, strict=True) if counts]
            refuse(self.processes, self.keeper.folder, seen, progress=progress, norm=norm)
        stepped = self._step(group)
        self.stopped = stopping > 0
        progress.sums = {name: progress.sums.get(name, 0.0) + stepped * value for name, value in parts.items()}
        progress.counted += stepped
        if not stepped:
            self._tell("overflow", {"batch": progress.batch, "scale": self.scaler.get_scale()})
            return False
        seconds = time.perf_counter() - began
        speed = {
            "pairs": pairs,
            "pairs_per_second": pairs / seconds,
            "waiting": waited / self.processes.world / seconds,
        }
        line = {**with_total(parts), "grad_norm": norm, "lr": self.optimizer.param_groups[0]["lr"]}
        self._tell("update", {**line, **speed})
        return True

    def _backward(self, batch: Mapping[str, Any], number: int, *, weight: float, last: bool) -> dict[str, torch.Tensor]:
        """Add a batch's gradient, times a weight, to that of the update."""
        gathering = contextlib.nullcontext() if last else self.processes.keep_gradients(self.wrapped)
        with gathering:
            with self._drawing(number), self._casting():
                losses = self.task.training_step(self.wrapped, batch)
            self.scaler.scale(total(losses) * weight).backward()
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

    def _clip(self) -> torch.Tensor:
        """Cut the gradient to `clip_norm`; its length before that."""
        self.processes.drop_unused()
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.optim.clip_norm or math.inf)
        return joined(norm)

    def _step(self, group: Sequence[Keys]) -> bool:
        """Change the weights; False where the gradients overflow, and the next batches get a smaller scale."""
        progress, scale = self.progress, self.scaler.get_scale()
        for entry in self.optimizer.param_groups:
            entry["lr"] = learning_rate(self.optim, progress.updates + 1, progress.epoch)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.optim.fp16 and self.scaler.get_scale() < SMALLEST_SCALE:
            raise SharedError(
                f"the gradients overflow in fp16 however they are scaled, at update {progress.updates + 1}; what was "
                "kept last is untouched. A lower learning rate, or bf16 in place of fp16, may help"
            )
        self.optimizer.zero_grad(set_to_none=True)
        progress.batch += len(group)
        if self.scaler.get_scale() < scale:  # what the original does not count as an update either
            return False
        if self.average is not None:
            self.average.update(self.model, progress.updates)
        progress.updates += 1
        return True

    def _within_epoch(self, stepped: bool) -> None:
        """Validate and keep what is done, where that is due before the epoch's end."""
        updates, interval = self.progress.updates, self.loader.validate_interval_updates
        due = stepped and interval > 0 and updates % interval == 0
        measure = self._validate() if due else None
        if due or self.stopped or (stepped and self.keeper.due(updates)):
            self._keep(whole=False, measure=measure)

    def _edge(self, *, whole: bool) -> None:
        """End an epoch, or a training in the midst of one."""
        progress = self.progress
        count = progress.counted or math.nan  # there is no mean where all gradients overflow
        means = with_total({name: value / count for name, value in progress.sums.items()})
        if whole:
            self._tell("epoch", means)
        measure = None
        last = self._last_epoch or self.finished
        if not whole or (progress.epoch + 1) % self.loader.validate_interval == 0 or last:
            measure = self._validate() if self.valid_batches else self.keeper.measure(means)
        if whole:
            self.progress = replace(progress, epoch=progress.epoch + 1, batch=0, sums={}, counted=0)
        self._keep(whole=whole, measure=measure)

    def _validate(self) -> float | None:
        """Measure the mean losses of the validation split's examples; the same for any number of processes."""
        if self.valid_batches is None:
            return None
        world, rank = self.processes.world, self.processes.rank
        batches = self.valid_batches.of_epoch(0)
        found, sizes = [], []
        with self._shown() as model, torch.no_grad(), self._casting(), self.task.alone():
            model.eval()
            for batch in self.valid_batches.read(batches[rank::world]):
                found.append(self.task.training_step(model, batch))
                sizes.append(float(examples(batch)))
        self.model.train()
        names = tuple(self.progress.sums)  # also where this process had no batch
        *sums, count = self.processes.sum([*weighted(read(found), sizes, names), sum(sizes)])
        means = with_total({name: value / count for name, value in zip(names, sums, strict=True)})
        self._tell("valid", means)
        return self.keeper.measure(means)

    def _keep(self, *, whole: bool, measure: float | None) -> None:
        """Write checkpoints and the state; the first process does, and the others wait for its word."""
        best, state = self.keeper.judge(self.progress, measure), self.state()
        failed: OSError | None = None
        try:
            with self._shown() as model:
                if self.processes.first:
                    self.keeper.write(model, self.progress, whole=whole, measure=measure, best=best)
            if self.processes.first:
                self.keeper.write_state(state)
        except OSError as error:
            failed = error
        if self.processes.sum([float(failed is not None)])[0]:
            raise SharedError(str(failed or ""))

    @contextlib.contextmanager
    def _shown(self) -> Iterator[MMPTPreTrainedModel]:
        """The model that is validated and written: whole, with averaged weights where an average is kept."""
        average = contextlib.nullcontext() if self.average is None else self.average.in_place(self.model)
        with average, self.processes.whole(self.model) as model:
            yield model

    def _tell(self, kind: str, values: Mapping[str, float]) -> None:
        progress = self.progress
        self.observer.tell({"kind": kind, "epoch": progress.epoch + 1, "update": progress.updates, **values})


@contextlib.contextmanager
def _trimming(model: MMPTPreTrainedModel) -> Iterator[None]:
    """Cut padding in a block also where training keeps it: a plan is not compiled."""
    before, model.trim_padding = model.trim_padding, True
    try:
        yield
    finally:
        model.trim_padding = before
