"""State dicts as files hold them: damaged files, names behind what wrapped the model, values that are no numbers."""

import json
import logging
import os
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open

Value = TypeVar("Value")

logger = logging.getLogger(__name__)

# Modules that PyTorch puts around others: torch.compile, FSDP, activation checkpointing, Lightning Fabric.
WRAPPERS = frozenset({"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"})
PARALLEL = "module"  # DataParallel and DistributedDataParallel; an ordinary word, so taken off only where it helps
MAX_CONFIG_BYTES = 1 << 20  # of a config.json; ours have 2 kB
SHOWN = 5  # tensors listed in a message


def unwrap(state: Mapping[str, Value], known: Collection[str], *, source: str) -> dict[str, Value]:
    """Take off the names what wrapped the model when it was saved, and log it.

    Args:
        state: name -> tensor.
        known: names of the bare model's tensors, or some of them.
        source: what messages call the state dict.

    Returns:
        The same tensors. A prefix that all names share is taken off when the rest begins as `known` does, whatever it
        is; PyTorch's own wrappers are taken out wherever they stand. Names that fit already are as they were.

    Raises:
        ValueError: two names are one without their wrappers.
    """
    best, most = {name: name for name in state}, sum(name in known for name in state)
    for wrappers in (WRAPPERS, WRAPPERS | {PARALLEL}):
        bare = {name: [part for part in name.split(".") if part not in wrappers] for name in state}
        for cut in range(_shared(list(bare.values())) + 1):
            names = {name: ".".join(parts[cut:]) for name, parts in bare.items()}
            if (count := sum(name in known for name in names.values())) > most:
                best, most = names, count
    return _renamed(state, best, source)


def prefix_hint(missing: Collection[str], unexpected: Collection[str]) -> str:
    """A sentence about a prefix that only some names have, behind which missing names stand; else empty."""
    found: Counter[str] = Counter()
    for name in unexpected:
        parts = name.split(".")
        cut = next((i for i in range(1, len(parts)) if ".".join(parts[i:]) in missing), None)
        if cut is not None:
            found[".".join(parts[:cut]) + "."] += 1
    if not found:
        return ""
    prefix, count = found.most_common(1)[0]
    return f"{count} of the missing names are there behind {prefix!r}, which other names lack, so that it was left"


def find_non_finite(state: Mapping[str, torch.Tensor]) -> list[str]:
    """List the tensors that hold NaN or infinity as float32, each with how many of its values."""
    found = []
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            continue
        values = tensor if tensor.dtype in (torch.float32, torch.bfloat16) else tensor.float()
        if not torch.isfinite(values).all():
            nans, infinite = int(values.isnan().sum()), int(values.isinf().sum())
            counts = [f"{count:,} {what}" for count, what in ((nans, "NaN"), (infinite, "infinite")) if count]
            found.append(f"{name} ({' and '.join(counts)} of {values.numel():,} values)")
    return found


def read_json_object(path: Path) -> dict[str, Any]:
    """Read a small JSON file that holds one object.

    Raises:
        ValueError: it holds something else, or is too large to be a configuration.
    """
    if (size := path.stat().st_size) > MAX_CONFIG_BYTES:
        raise ValueError(f"{path} has {size:,} bytes, and at most {MAX_CONFIG_BYTES:,} are expected of a configuration")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not the configuration of a model: {str(error)[:160]}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} is not the configuration of a model: it holds a {type(values).__name__}")
    return values


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Read the header of a safetensors file: name -> shape. A file that is cut off or damaged is refused."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, ValueError) as error:
        raise damaged(path, error) from error


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read a safetensors file: name -> tensor, mapped into memory where the platform can."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise damaged(path, error) from error


def damaged(path: str | os.PathLike[str], error: Exception) -> ValueError:
    """The error for a safetensors file that cannot be read."""
    name = os.fspath(path)
    return ValueError(f"{name} cannot be read: cut off or damaged ({str(error)[:160]}); get or write it again")


def listed(names: Collection[str], shown: int = SHOWN) -> str:
    """Join names, the first few of many."""
    rest = f" and {len(names) - shown:,} more" if len(names) > shown else ""
    return f"{', '.join(list(names)[:shown])}{rest}"


def _shared(names: list[list[str]]) -> int:
    """How many parts all names begin with, at least one of each left."""
    first, last = min(names, default=[]), max(names, default=[])
    count = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return max(0, min(count, min(map(len, names), default=0) - 1))


def _renamed(state: Mapping[str, Value], names: Mapping[str, str], source: str) -> dict[str, Value]:
    twice = [name for name, count in Counter(names.values()).items() if count > 1]
    if twice:
        raise ValueError(f"{source} has names that are one without what wrapped the model: {listed(twice)}")
    off = Counter(_taken_off(name, bare) for name, bare in names.items() if name != bare)
    if off:
        told = ", ".join(f"{part!r} ({count:,} names)" for part, count in off.most_common(SHOWN))
        logger.warning("%s was saved wrapped; taken off the names of its tensors: %s", source, told)
    return {names[name]: value for name, value in state.items()}


def _taken_off(name: str, bare: str) -> str:
    """The part that was removed from a name: its prefix, or the wrappers inside it."""
    if name.endswith(f".{bare}"):
        return name.removesuffix(bare)
    kept = bare.split(".")
    return ".".join(part for part in name.split(".") if part not in kept)
