"""What `mmpt train` and `mmpt evaluate` share: the whole configuration checked, data sets and model made and shown."""

import argparse
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmpt.utils.legible import one_line

if TYPE_CHECKING:
    from mmpt.config import RunConfig
    from mmpt.config.typed import Where

SHOWN = 5  # ids of missing videos that are named
PATIENCE = timedelta(hours=12)  # that processes wait for the first, which reads and shows


@dataclass(frozen=True)
class Prepared:
    """One split, ready.

    Args:
        split: its name.
        items: how many there are.
        missing: ids of videos without features.
        seconds: that its first batch took.
        batch_items: items of that batch.
        batch: what is in it.
    """

    split: str
    items: int
    missing: Sequence[str]
    seconds: float
    batch_items: int
    batch: Mapping[str, Any]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of both commands."""
    parser.add_argument("yaml", type=Path, metavar="YAML", help="a task's file")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="values to set, such as dataset.max_len=64")
    parser.add_argument("--check", action="store_true", help="only prepare and check: exit code 0 when all is well")


def prepare(args: argparse.Namespace, *, evaluation: bool) -> None:
    """Check a file, make its data sets and its model, and show them. Of several processes, the first does it.

    Args:
        args: what `configure` asked for.
        evaluation: whether the file is to be evaluated, and not trained.

    Raises:
        FileNotFoundError: the file, or one that it needs, is not there.
        ValueError: something in it is wrong; all of it is told.
    """
    if int(os.environ.get("RANK", "0")) == 0:
        run = check_file(args.yaml, args.overrides, evaluation=evaluation)
        _show_prepared(run, evaluation)
    _wait_for_the_first()


def check_file(path: Path, overrides: Sequence[str], *, evaluation: bool) -> "RunConfig":
    """Read a task's file, and see that every key, class and file that it names is there.

    Args:
        path: the file.
        overrides: ``key=value`` pairs.
        evaluation: whether it is to be evaluated, and not trained.

    Returns:
        What it says.

    Raises:
        FileNotFoundError: the file is not there.
        ValueError: something in it is wrong; all of it is told.
    """
    from mmpt.cli.checking import check_files, check_names
    from mmpt.config.load import load_config
    from mmpt.config.project import is_project
    from mmpt.config.tree import read_tree

    if is_project(read_tree(path)):
        raise ValueError(f"{path} is a project of many tasks; write their files: mmpt launch {path} --dryrun")
    checks = (check_names, check_files, _check_evaluation if evaluation else _check_training)
    return load_config(path, overrides, checks=checks)


def _show_prepared(run: "RunConfig", evaluation: bool) -> None:
    from mmpt.cli.console import quiet_transformers
    from mmpt.models.build import build_config, build_model
    from mmpt.models.checkpoints import load_original
    from mmpt.models.pretrained import find_weights

    splits = []
    for split in _splits(run, evaluation):
        try:
            splits.append(_prepare_split(run, split))
        except ValueError as error:
            raise ValueError(f"{run.source}, split {split!r}: {error}") from error
    with quiet_transformers():
        model = build_model(build_config(run))
        if evaluation and run.checkpoint.path:
            load_original(model, find_weights(run.checkpoint.path))
    _show(run, splits, type(model).__name__, sum(p.numel() for p in model.parameters()))


def _check_training(raw: Mapping[str, Any], where: "Where") -> Iterator[str]:
    if raw.get("loss") is None:
        yield "the block 'loss' is missing, and a training needs it; a file of an evaluation is for: mmpt evaluate"


def _check_evaluation(raw: Mapping[str, Any], where: "Where") -> Iterator[str]:
    absent = [key for key in ("predictor", "metric") if raw.get(key) is None]
    if absent:
        yield f"{' and '.join(absent)}: missing, and an evaluation needs it; a file of a training is for: mmpt train"


def _splits(run: "RunConfig", evaluation: bool) -> tuple[str, ...]:
    if evaluation:
        return (run.dataset.split,)
    return ("train", *(["valid"] if run.dataset.val_path else []))


def _prepare_split(run: "RunConfig", split: str) -> Prepared:
    from mmpt.cli.console import err
    from mmpt.datasets import build_dataset, build_loader

    clusters = run.dataset.num_video_per_batch is not None  # then a batch is a cluster
    with err.status(f"reading {split}"):
        dataset = build_dataset(replace(run.dataset, split=split), seed=run.optim.seed)
        size = None if clusters else run.loader.batch_size or 1
        how: Any = {"seed": run.optim.seed, "batch_sampler": run.loader.batch_sampler}
        loader = build_loader(dataset, size, shuffle=split == "train", **how)
        began = time.perf_counter()
        batch = next(iter(loader))
        seconds = time.perf_counter() - began
    first: Any = next(iter(loader.batch_sampler or ()))
    return Prepared(split, len(dataset), dataset.missing, seconds, len(first), batch)


def _show(run: "RunConfig", splits: Sequence[Prepared], model: str, parameters: int) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from mmpt.cli.console import out

    table = Table("split", box=box.SIMPLE_HEAD)
    for name in ("items", "missing videos", "items a second"):
        table.add_column(name, justify="right")
    for part in splits:
        speed = part.batch_items / max(part.seconds, 1e-9)
        table.add_row(part.split, f"{part.items:,}", f"{len(part.missing):,}", f"{speed:,.1f}")
    out.print(Text(str(run.source)), soft_wrap=True)
    out.print(table)
    for part in splits:
        if part.missing:
            more = f", and {len(part.missing) - SHOWN:,} more" if len(part.missing) > SHOWN else ""
            listed = ", ".join(part.missing[:SHOWN])
            out.print(Text(one_line(f"{part.split}: without features: {listed}{more}")))
    for part in splits:
        batch = Table(f"first batch of {part.split}", "shape", "type", box=box.SIMPLE_HEAD)
        for name, value in part.batch.items():
            batch.add_row(name, *_describe(value))
        out.print(batch)
    out.print(f"{model}, {parameters / 1e6:,.1f} million parameters")


def _describe(value: Any) -> tuple[str, str]:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return " x ".join(map(str, value.shape)) or "()", str(value.dtype).removeprefix("torch.")
    if isinstance(value, list | tuple):
        return str(len(value)), f"list of {type(value[0]).__name__}" if value else "list"
    return "()", type(value).__name__


def _wait_for_the_first() -> None:
    """Let no process end before the first: torchrun stops all of them when one ends with an error."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and "MASTER_ADDR" in os.environ:
        from torch import distributed

        distributed.init_process_group("gloo", timeout=PATIENCE)
        distributed.barrier()
        distributed.destroy_process_group()
