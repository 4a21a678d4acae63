"""The original's checkpoint files, read without running anything that is in them, and written so that it reads ours.

A checkpoint of the original is a pickled dictionary that holds the weights under ``model`` beside training state and
settings, the settings as dicts, argparse Namespaces or omegaconf nodes. Reading takes torch's ``weights_only`` loader,
with inert stand-ins (mmpt.utils.inert) for all classes that torch does not know.
"""

import os
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

import torch

from mmpt.utils.files import atomic_path
from mmpt.utils.inert import UnsafeFileError, pickled_names, plain, stand_ins

PREFIX = "mmmodel."  # the original's wrapper holds the model as its attribute `mmmodel`
LEGACY_PICKLES = 5  # torch's old container: magic number, protocol, system, the object, storage keys
BLOCK = 1 << 20  # bytes read at a time
_WEIGHT_KEYS = ("model", "state_dict")
_NOT_INFO = {*_WEIGHT_KEYS, "last_optimizer_state"}
_ALLOW_LIST = threading.Lock()  # torch's allow-list belongs to the whole process


@dataclass(frozen=True)
class OriginalCheckpoint:
    """What was read from one file.

    Attributes:
        state: parameter name without the wrapper's prefix -> tensor on the CPU, in the file's order and dtypes. Tied
            weights share their storage. Large files are mapped, not copied: leave the file in place while in use.
        info: the other entries as dicts, lists and scalars (``args``, ``cfg``, ``extra_state``, ...), without the
            optimizer's state, and ``num_updates`` and ``epoch`` where they are known.
        container: torch's zip format, or the one it wrote before version 1.6.
    """

    state: dict[str, torch.Tensor]
    info: dict[str, Any] = field(default_factory=dict)
    container: Literal["zip", "legacy"] = "zip"


def read_original(path: str | os.PathLike[str], *, verify: bool = True) -> OriginalCheckpoint:
    """Read a checkpoint of the original, or any other file of tensors that torch.save wrote.

    Args:
        path: a ``.pt``, ``.pth`` or ``.bin`` file: a dictionary with the weights under ``model`` or ``state_dict``, or
            the weights alone.
        verify: compare all bytes of a zip container with its checksums first, at about 3 GB a second. Without it only
            the tensors that are used are ever read.

    Returns:
        Weights and plain facts.

    Raises:
        FileNotFoundError: there is no such file.
        UnsafeFileError: the file would run code if it were loaded freely; nothing of it was run.
        ValueError: a folder, an empty, truncated or damaged file, one that is no checkpoint, or one without weights.
    """
    path = Path(path)
    container = _container(path)
    try:
        names = _zip_names(path, verify=verify) if container == "zip" else _legacy_names(path)
        tree = _load(path, names, mapped=container == "zip")
    except UnsafeFileError as error:
        raise UnsafeFileError(
            f"{path} was refused: {error}, which could run code on this machine, and weights need nothing of the kind; "
            "nothing in the file was run. Get the checkpoint from its publisher again"
        ) from error
    weights, rest = _split(tree, path)
    return OriginalCheckpoint(state=_named_tensors(weights, path), info=_facts(rest), container=container)


def read_state(path: str | os.PathLike[str], *, verify: bool = True) -> dict[str, torch.Tensor]:
    """Read only the weights of a file that torch.save wrote, for example ``pytorch_model.bin`` or an S3D ``.pth``.

    Args:
        path: the file.
        verify: as for `read_original`.

    Returns:
        Name -> tensor on the CPU, as stored.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: as for `read_original`.
    """
    return read_original(path, verify=verify).state


def write_original(
    path: str | os.PathLike[str],
    state: Mapping[str, torch.Tensor],
    *,
    info: Mapping[str, Any] | None = None,
    prefix: str = PREFIX,
) -> None:
    """Write a checkpoint that the original reads.

    Args:
        path: the file to write; whole or untouched, and the same bytes for the same input.
        state: parameter name without prefix -> tensor. Tensors that share storage stay tied.
        info: entries as in `OriginalCheckpoint.info`; settings of an old file (``args``) are written as ``cfg``.
        prefix: put before every name.

    Raises:
        ValueError: something in `state` is not a tensor.
    """
    wrong = [name for name, value in state.items() if not isinstance(value, torch.Tensor)]
    if wrong:
        raise ValueError(f"cannot write {path}: {', '.join(wrong[:5])} are not tensors; give weights only")
    known = dict(info or {})
    weights = OrderedDict((prefix + name, tensor) for name, tensor in _compact(state).items())
    tree = {
        "args": None,
        "cfg": plain(known.get("cfg") or known.get("args") or {}),
        "model": weights,
        "criterion": plain(known.get("criterion")),
        "optimizer_history": plain(known.get("optimizer_history") or [_history(known)]),
        "task_state": plain(known.get("task_state") or {}),
        "extra_state": plain(known.get("extra_state") or {"train_iterator": {"epoch": known.get("epoch") or 0}}),
        "last_optimizer_state": None,
    }
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        torch.save(tree, file)  # to an open file: given a path, torch writes its name into the archive


def _container(path: Path) -> Literal["zip", "legacy"]:
    if path.is_dir():
        raise ValueError(f"{path} is a folder, not a checkpoint file; give the .pt file inside it")
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; `mmpt download` fetches the published checkpoints")
    if not path.is_file():
        raise ValueError(f"{path} is not a regular file")
    with path.open("rb") as file:
        start = file.read(64)
    if not start:
        raise ValueError(f"{path} is empty (0 bytes); fetch it again")
    if start.startswith(b"PK"):
        return "zip"
    if start.startswith(b"\x80") or _is_pickle(path):  # a pickle of protocol 2 or later begins so
        return "legacy"
    raise ValueError(f"{path} is not a file that torch.save wrote{_guess(start)}; fetch it again")


def _is_pickle(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return bool(pickled_names(file))
    except ValueError:
        return False


def _guess(start: bytes) -> str:
    text = start.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return " but a web page"
    if text.startswith(b"version https://git-lfs"):
        return " but a Git LFS pointer, which stands for the real file"
    if b'{"__metadata__"' in text or text[8:9] == b"{":
        return " but looks like safetensors"
    return ""


def _zip_names(path: Path, *, verify: bool) -> set[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            pickles = [member for member in members if member.filename.rpartition("/")[2] == "data.pkl"]
            if any(member.filename.endswith("/constants.pkl") for member in members):
                raise UnsafeFileError("it is a TorchScript archive, which holds a program")
            if not pickles:
                raise ValueError(f"{path} is a zip archive but no checkpoint: it holds no data.pkl")
            if sum(member.file_size for member in members) > path.stat().st_size:
                raise ValueError(f"{path} is compressed or overlapping inside, which torch.save never writes")
            damaged = archive.testzip() if verify else None
            if damaged is not None:
                raise ValueError(f"{path} is damaged: the checksum of {damaged} is wrong; fetch it again")
            return set().union(*(_names_in(archive.open(member), path) for member in pickles))
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError) as error:
        raise ValueError(f"{path} is a truncated or damaged checkpoint ({error}); fetch it again") from error


def _legacy_names(path: Path) -> set[str]:
    names: set[str] = set()
    with path.open("rb") as file:
        for _ in range(LEGACY_PICKLES):
            names |= _names_in(file, path)
            stand_ins(names)  # refuse a hostile file before saying that the rest of it is not whole
    return names


def _names_in(stream: Any, path: Path) -> set[str]:
    file: BinaryIO = stream
    try:
        return pickled_names(file)
    except UnsafeFileError:
        raise
    except ValueError as error:
        raise ValueError(f"{path} is a truncated or damaged checkpoint: {error}; fetch it again") from error


def _load(path: Path, names: set[str], *, mapped: bool) -> Any:
    allowed: list[Any] = [(stand_in, name) for name, stand_in in stand_ins(names).items()]
    with _ALLOW_LIST, torch.serialization.safe_globals(allowed):
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
        except UnsafeFileError:
            raise
        except Exception as error:  # a damaged pickle can fail in any way
            reason = str(error).split("WeightsUnpickler error:")[-1].strip().split("\n")[0]
            if "Unsupported operand" in reason:
                reason = "it is damaged, or pickled with a protocol other than torch's own (2)"
            raise ValueError(f"{path} cannot be read as a checkpoint: {reason or type(error).__name__}") from error


def _split(tree: Any, path: Path) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """Part the weights from the other entries."""
    if not isinstance(tree, dict):
        raise ValueError(f"{path} holds a {_describe(tree)}, not a dictionary of tensors")
    inner = {k: v for k, v in dict.items(tree) if isinstance(k, str) and isinstance(v, dict) and _holds_tensors(v)}
    named = [key for key in _WEIGHT_KEYS if isinstance(dict.get(tree, key), dict)]
    if named or (inner and not _holds_tensors(tree)):
        if not named and len(inner) > 1:
            raise ValueError(
                f"{path} holds several dictionaries of tensors: {', '.join(map(repr, inner))}; save the one that is "
                "meant by itself, or under 'model'"
            )
        key = named[0] if named else next(iter(inner))
        left_out = {*_NOT_INFO, *inner}
        return dict.__getitem__(tree, key), {
            k: v for k, v in dict.items(tree) if isinstance(k, str) and k not in left_out
        }
    return tree, {}


def _holds_tensors(value: dict[Any, Any]) -> bool:
    return any(isinstance(item, torch.Tensor) for item in dict.values(value))


def _named_tensors(weights: dict[Any, Any], path: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = {}
    wrong: list[str] = []
    for name, value in dict.items(weights):
        problem = _problem(value)
        short = str(name).removeprefix(PREFIX)
        if problem is None and short in state:
            problem = f"stands there twice, with and without {PREFIX!r}"
        if problem is None:
            state[short] = value.detach()
        else:
            wrong.append(f"{name!s:.80} {problem}")
    if wrong:
        more = f", and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise ValueError(f"{path} does not hold plain weights: {'; '.join(wrong[:5])}{more}")
    if not state:
        raise ValueError(f"{path} holds no tensors")
    return state


def _problem(value: Any) -> str | None:
    if type(value) not in (torch.Tensor, torch.nn.Parameter):
        return f"is a {_describe(value)}, not a tensor"
    if value.layout is not torch.strided or value.device.type != "cpu" or value.is_quantized:
        return "is sparse, quantized or without data"
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        return f"claims shape {tuple(value.shape)}, more than the file holds for it"
    return None


def _describe(value: Any) -> str:
    flat = plain(value)
    return flat[:80] if isinstance(flat, str) and flat.startswith("<") else type(flat).__name__


def _facts(rest: dict[str, Any]) -> dict[str, Any]:
    info: dict[str, Any] = plain(rest)
    history, extra = info.get("optimizer_history"), info.get("extra_state")
    if isinstance(history, list) and history and isinstance(history[-1], dict):
        info["num_updates"] = history[-1].get("num_updates")
    if isinstance(extra, dict) and isinstance(extra.get("train_iterator"), dict):
        info["epoch"] = extra["train_iterator"].get("epoch")
    return info


def _history(known: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "criterion_name": "MMCriterion",
        "optimizer_name": "FP16Optimizer",
        "lr_scheduler_state": {"best": None},
        "num_updates": known.get("num_updates") or 0,
    }


def _compact(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Put tensors on the CPU without the rest of a larger storage they may be views of; keep ties."""
    done: dict[tuple[Any, ...], torch.Tensor] = {}
    compact: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        key = (tensor.device, tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride())
        if key not in done:
            done[key] = tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        compact[name] = done[key]
    return compact
