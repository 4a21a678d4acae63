"""Whether what a YAML file names is there: classes, keys of its data set, files. All of it is told at once.

The functions fit `load_config(..., checks=...)`: they take the plain values of a file and say where a key is written.
"""

import contextlib
import glob
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from mmpt.config.schema import DatasetConfig
from mmpt.config.typed import Absent, Where, fill, nearest
from mmpt.config.vocabulary import DATASET_KEYS
from mmpt.utils.places import locate
from mmpt.utils.registry import lookup

CLASSES = {  # dotted key -> the kind of class that it names
    "dataset.meta_processor": "meta_processor",
    "dataset.video_processor": "video_processor",
    "dataset.text_processor": "text_processor",
    "dataset.aligner": "aligner",
    "model.model_cls": "model",
    "model.mm_encoder_cls": "encoder",
    "model.video_encoder_cls": "encoder",
    "model.text_encoder_cls": "encoder",
    "loss.loss_cls": "loss",
    "task": "task",
    "predictor": "predictor",
    "metric": "metric",
    "vectorpool_cls": "vectorpool",
    "retriever_cls": "retriever",
    "retri_aligner_cls": "aligner",
}
PATH_ENDINGS = ("_path", "_dir", "_annotation")  # of the keys of a `dataset:` block that name files
NO_PATHS = {entry.name for entry in fields(DatasetConfig)}  # but for those endings
OTHER_SPLITS = {"train": ("test_path",), "valid": ("test_path",), "test": ("train_path", "val_path")}


def check_names(raw: Mapping[str, Any], where: Where) -> Iterator[str]:
    """Look up every class that a file names, and every key of its data set.

    Args:
        raw: the file's values.
        where: says where a key is written.

    Yields:
        What resolves to nothing.
    """
    chosen: list[type | None] = []
    for key, kind in CLASSES.items():
        name = _value(raw, key)
        if not isinstance(name, str):
            continue  # not given, or of a wrong type, which the schema tells
        try:
            place = ", ".join([key, *([where(key)[2:-1]] if where(key) else [])])
            found = lookup(kind, name, where=place, may_import=True)
        except ValueError as error:
            yield str(error)
            found = None
        if key.startswith("dataset."):
            chosen.append(found)
    if isinstance(dataset := raw.get("dataset"), Mapping):
        yield from _check_keys(dataset, chosen, where)


def check_files(raw: Mapping[str, Any], where: Where) -> Iterator[str]:
    """Look for every file that a run reads.

    Args:
        raw: the file's values.
        where: says where a key is written.

    Yields:
        What is not there.
    """
    dataset = raw.get("dataset")
    if not isinstance(dataset, Mapping):
        return
    split = dataset.get("split", "train")
    unread = OTHER_SPLITS.get(split, ()) if isinstance(split, str) else ()
    paths = {f"dataset.{key}": path for key, path in data_paths(dataset) if key not in unread}
    start = "fairseq.common_eval.path" if split == "test" else "fairseq.checkpoint.restore_file"
    if isinstance(checkpoint := _value(raw, start), str) and "/" in checkpoint:
        paths[start] = checkpoint  # a bare name is the run's own last checkpoint, which may be still to come
    for key, path in paths.items():
        found = is_there(locate(path)) if key == "dataset.tfeat_dir" else locate(path).exists()
        if not found:
            yield Absent(f"{key} is {path}, and nothing is at {locate(path).absolute()}{where(key)}")


def data_paths(dataset: Mapping[Any, Any]) -> Iterator[tuple[str, str]]:
    """List the keys of a `dataset:` block that name files, folders or the beginning of files' names.

    Args:
        dataset: the block.

    Yields:
        Key and path, where the key ends as those of paths do, or the value has a slash and nothing declares the key.
    """
    for key, value in dataset.items():
        name = str(key)
        if not isinstance(value, str):
            continue
        if name.endswith(PATH_ENDINGS) or ("/" in value and name not in NO_PATHS | _declared(dataset)):
            yield name, value


def is_there(path: Path) -> bool:
    """Say whether a file or folder is there, or files whose names begin so, as those of text shards do.

    Args:
        path: what is looked for.

    Returns:
        Whether it is.
    """
    return path.exists() or (path.parent.is_dir() and any(path.parent.glob(f"{glob.escape(path.name)}*")))


def _declared(dataset: Mapping[Any, Any]) -> set[str]:
    """The keys that the classes of a data set declare; those that are not found are told elsewhere."""
    found: set[str] = set()
    for key, kind in CLASSES.items():
        block, _, role = key.partition(".")
        name = dataset.get(role) if block == "dataset" else None
        with contextlib.suppress(ValueError), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an old name is told where the class is made
            options = getattr(lookup(kind, name, may_import=True), "Options", None) if isinstance(name, str) else None
            found |= {entry.name for entry in fields(options)} if options is not None else set()
    return found


def _check_keys(dataset: Mapping[Any, Any], chosen: list[type | None], where: Where) -> Iterator[str]:
    """Tell keys that none of the chosen classes reads, and values of theirs that have the wrong type."""
    known = {entry.name for entry in fields(DatasetConfig) if entry.name != "extra"} | set(DATASET_KEYS)
    problems: list[str] = []
    for options in {getattr(cls, "Options", None): None for cls in chosen if cls is not None}:
        if options is None:
            continue
        own = {entry.name for entry in fields(options)}
        known |= own
        fill(options, {key: dataset[key] for key in dataset if key in own}, "dataset", problems, where=where)
    yield from problems
    unknown = [key for key in dataset if key not in known]
    if unknown and any(cls and not cls.__module__.startswith("mmpt.") for cls in chosen):
        listed = ", ".join(f"dataset.{key}{where(f'dataset.{key}')}" for key in unknown)
        warnings.warn(f"only classes from outside this package may read {listed}", stacklevel=2)
        return
    for key in unknown:
        hint = nearest(key, sorted(known))
        if None not in chosen or "did you mean" in hint:  # a class that is not found may be what reads the others
            yield f"dataset.{key} is not known{hint}{where(f'dataset.{key}')}"


def _value(raw: Mapping[str, Any], key: str) -> Any:
    value: Any = raw
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
