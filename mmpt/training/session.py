"""A whole training: YAML -> data, model, trainer. The only place that unpacks a RunConfig for the loop."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mmpt.config import RunConfig
from mmpt.config.training import LoaderConfig, OptimConfig
from mmpt.datasets.mmdataset import MMDataset, build_dataset
from mmpt.models.base import MMPTPreTrainedModel
from mmpt.models.build import build_config
from mmpt.models.pretrained import find_weights
from mmpt.tasks.base import build_task
from mmpt.training.batches import Batches
from mmpt.training.checkpoint import STATE, State, changed, read_state
from mmpt.training.keeping import Keeper
from mmpt.training.loop import Trainer
from mmpt.training.optim import check_optim
from mmpt.training.processes import Processes
from mmpt.training.starting import fresh_model, start_from_bert, start_from_checkpoint
from mmpt.training.telling import Observer
from mmpt.utils.places import locate

# what may differ when a training goes on: it changes no number, or only when to end and what to keep
FREE_OPTIM = ("max_epoch", "max_update", "ddp_backend", "gradient_checkpointing", "compile", "update_freq")
BATCHES = (  # what decides which items make the batches
    *("items of the training split", "fairseq.dataset.batch_size", "fairseq.dataset.batch_sampler"),
    *(f"dataset.{key}" for key in ("train_path", "meta_processor", "aligner", "num_video_per_batch", "clip_per_video")),
)
FREE_TASK = ("task_type", "slurm_config", "predictor", "metric", "protocol", "gen_param")


@dataclass(frozen=True)
class Options:
    """What the command line says beside the file.

    Attributes:
        from_scratch: start from random weights where BERT's would be taken.
        restart: start anew where the run's folder holds a training to go on with.
        accept_changes: go on although the file says other things than before.
    """

    from_scratch: bool = False
    restart: bool = False
    accept_changes: bool = False


@dataclass(frozen=True, eq=False)
class Session:
    """A training that is ready.

    Attributes:
        run: what the file says.
        trainer: runs it.
        told: what it is told, by dotted keys.
        notes: how it starts, in sentences.
        fresh: whether it starts anew, in the place of what its folder holds.
    """

    run: RunConfig
    trainer: Trainer
    told: dict[str, Any]
    notes: tuple[str, ...]
    fresh: bool


def run_folder(run: RunConfig) -> Path:
    """Say where a run is kept.

    Args:
        run: what the file says.

    Returns:
        The folder of its checkpoints.
    """
    return locate(run.checkpoint.save_dir)


def prepare(run: RunConfig, processes: Processes, options: Options, observe: Callable[[dict], Observer]) -> Session:
    """Make everything that a file describes.

    Args:
        run: what it says.
        processes: who takes part.
        options: what the command line says.
        observe: makes who is told, of what the training is told.

    Returns:
        The training, at its beginning, or where it stopped.

    Raises:
        FileNotFoundError: data, a BERT or a checkpoint is not there.
        ValueError: something does not fit; or the file says other things than before the stop.
    """
    if run.loss is None:
        raise ValueError(f"{run.source} has no block 'loss'; a file of an evaluation is for: mmpt evaluate")
    check_optim(run.optim)
    folder = run_folder(run)
    state = _found(folder / STATE, options)
    dataset = build_dataset(replace(run.dataset, split=run.loader.train_subset), seed=run.optim.seed)
    told = settings(run, items=len(dataset), world=processes.world)
    changes = [] if state is None else changed(state.told, told)
    if not options.accept_changes:
        _refuse_changes(changes, folder)
    optim, notes = _precision(run.optim, processes)
    model = fresh_model(build_config(run), seed=optim.seed)
    if state is None:
        notes += start(model, run, options)
    else:
        notes.append(f"going on after epoch {state.progress.epoch}, update {state.progress.updates:,}")
    if run.dataset.num_video_per_batch and run.loader.batch_sampler != LoaderConfig.batch_sampler:
        notes.append("a batch is a cluster of dataset.num_video_per_batch videos, whatever batch_sampler says")
    _switch(model, optim)
    processes_seen: dict[str, Any] = {"seed": optim.seed, "device": processes.device}
    task = build_task(run.loss, run.task, clips=dataset.aligner.clips)
    train = Batches(
        dataset,
        _batch_size(run, dataset),
        shuffle=True,
        batch_sampler=run.loader.batch_sampler,
        num_workers=run.loader.num_workers,
        **processes_seen,
    )
    trainer = Trainer(
        processes,
        task,
        model,
        train=train,
        valid=_validation(run, processes_seen),
        optim=optim,
        loader=run.loader,
        keeper=Keeper(folder, run.checkpoint, told),
        observer=observe(told),
    )
    if state is not None:
        other_data = any(line.startswith(tuple(f"{key} was " for key in BATCHES)) for line in changes)
        if other_data and state.progress.batch:
            notes.append(f"the batches are others now, so that epoch {state.progress.epoch + 1} begins anew")
        trainer.restore(state, other_data=other_data)
    return Session(run, trainer, told, tuple(notes), fresh=state is None)


def start(model: MMPTPreTrainedModel, run: RunConfig, options: Options) -> list[str]:
    """Give a model the weights that a file says it starts from.

    Args:
        model: with fresh weights, changed in place.
        run: what the file says: `restore_file` where it names a file with its folder, else BERT's weights.
        options: what the command line says.

    Returns:
        What was done, in words.

    Raises:
        FileNotFoundError: there are no such weights.
        ValueError: they do not fit.
    """
    checkpoint = run.checkpoint
    if "/" in checkpoint.restore_file:
        told = [start_from_checkpoint(model, find_weights(checkpoint.restore_file))]
        if not checkpoint.reset_optimizer:
            told.append("the optimizer starts fresh: a checkpoint of weights holds none")
        return told
    own = locate(checkpoint.save_dir) / checkpoint.restore_file
    if own.is_file() and not (own.parent / STATE).is_file() and not options.restart:
        raise ValueError(
            f"{own} holds weights, and no {STATE} lies beside it to go on with; start from these weights with "
            f"fairseq.checkpoint.restore_file={own}, or anew with --restart"
        )
    if options.from_scratch:
        return ["starting from random weights"]
    return [start_from_bert(model, run.dataset.bert_name)]


def settings(run: RunConfig, *, items: int, world: int) -> dict[str, Any]:
    """List what decides the numbers of a training.

    Args:
        run: what its file says.
        items: how many it learns from.
        world: how many processes there are.

    Returns:
        Dotted key -> plain value.
    """
    blocks = {
        "dataset.": {**asdict(run.dataset), **run.dataset.extra},
        "model.": asdict(run.model),
        "loss.": {} if run.loss is None else asdict(run.loss),
        "": _without(asdict(run.task), FREE_TASK),
        "fairseq.optimization.": _without(asdict(run.optim), FREE_OPTIM),
    }
    told = {f"{block}{key}": value for block, values in blocks.items() for key, value in values.items()}
    return {
        **_without(told, ("dataset.extra", "dataset.split")),
        "fairseq.dataset.batch_size": run.loader.batch_size,
        "fairseq.dataset.batch_sampler": run.loader.batch_sampler,
        "items of the training split": items,
        "processes times fairseq.optimization.update_freq": [world * count for count in run.optim.update_freq],
    }


def _without(values: dict[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in keys}


def _found(path: Path, options: Options) -> State | None:
    if not path.is_file() or options.restart:
        return None
    state = read_state(path)
    return state if state.progress.updates else None  # one that says only that a training has begun


def _refuse_changes(lines: list[str], folder: Path) -> None:
    if lines:
        raise ValueError(
            f"{folder} holds a training that was told other things:\n"
            + "\n".join(f"  - {line}" for line in lines)
            + "\nGive the old values; or go on all the same with --accept-changes, or begin anew with --restart"
        )


def _precision(optim: OptimConfig, processes: Processes) -> tuple[OptimConfig, list[str]]:
    if optim.fp16 and processes.device.type != "cuda":
        return replace(optim, fp16=False), [
            f"fp16 is for CUDA; on {processes.device.type} this computes in fp32 (fairseq.common.bf16=true is faster)"
        ]
    return optim, []


def _switch(model: MMPTPreTrainedModel, optim: OptimConfig) -> None:
    if optim.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if optim.compile:
        model.trim_padding = False  # a shape for all batches, so that they are compiled once


def _batch_size(run: RunConfig, dataset: MMDataset) -> int | None:
    """Examples of a batch; None where a batch is a cluster."""
    size = run.loader.batch_size
    return None if dataset.meta.config.num_video_per_batch and size in (None, 1) else size or 1


def _validation(run: RunConfig, options: dict[str, Any]) -> Batches | None:
    if run.loader.disable_validation or not run.dataset.val_path:
        return None
    dataset = build_dataset(replace(run.dataset, split=run.loader.valid_subset), seed=run.optim.seed)
    return Batches(dataset, _batch_size(run, dataset), shuffle=False, **options)
