"""The state that a training goes on from: one file, whole or untouched, that holds tensors and plain values only.

The file is what counts after a crash: it is written last, and holds the weights too, so that no other file needs to
fit it. What was done after it is done again, with the same result.
"""

import errno
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from mmpt.training.fsdp import divided_like, part_of
from mmpt.training.optim import MovingAverage
from mmpt.utils.disk import disk_full_told
from mmpt.utils.files import atomic_path

STATE = "training_state.safetensors"
FORMAT = 2
HINT = "the checkpoint before it is untouched; make room, then give the same command again"
SYSTEM_ERROR = re.compile(r"os error (\d+)")


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        epoch: passes that are done.
        batch: batches of the pass that are done, of all processes.
        updates: steps of the optimizer.
        metric: what measures which checkpoint is best.
        best: its best value so far.
        worse: validations since.
        sums: parts of the loss in the pass so far, each added up over its updates.
        counted: how many updates of the pass that is.
        statistics: what is told of the pass's clusters.
        written: names of the checkpoints that it wrote and did not delete again.
    """

    epoch: int = 0
    batch: int = 0
    updates: int = 0
    metric: str = ""
    best: float | None = None
    worse: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    counted: int = 0
    statistics: dict[str, float] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class State:
    """What a state file holds.

    Attributes:
        progress: how far the training is.
        told: what it was told: dotted key -> value, to compare with what it is told now.
        tensors: weights, moments of the optimizer, averages, clusters.
        scaler: the scale of fp16's gradients.
    """

    progress: Progress
    told: dict[str, Any]
    tensors: dict[str, torch.Tensor]
    scaler: dict[str, Any]


def write_state(path: Path, state: State) -> None:
    """Write the state.

    Args:
        path: the file.
        state: what to go on from.

    Raises:
        DiskFullError: there is no room; the file is as it was.
    """
    values = {
        "format": FORMAT,
        "progress": asdict(state.progress),
        "told": state.told,
        "scaler": state.scaler,
    }
    with disk_full_told(path, HINT), atomic_path(path) as temporary:
        mode = temporary.stat().st_mode
        try:
            save_file(state.tensors, temporary, metadata={"training": json.dumps(values)})
        except SafetensorError as error:
            found = SYSTEM_ERROR.search(str(error))
            raise OSError(int(found[1]) if found else errno.EIO, str(error)) from error
        temporary.chmod(mode)  # safetensors makes its file readable by its owner alone


def read_state(path: Path) -> State:
    """Read the state.

    Args:
        path: the file.

    Returns:
        What it holds, on the CPU.

    Raises:
        ValueError: the file is damaged, or of another version.
    """
    try:
        with safe_open(path, framework="pt") as file:
            values = json.loads((file.metadata() or {})["training"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        if values["format"] != FORMAT:
            raise ValueError(f"it has the format {values['format']}, not {FORMAT}")
        return State(Progress(**values["progress"]), values["told"], tensors, values["scaler"])
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is no state that a training of this version can go on from ({error}); --restart begins anew"
        ) from error


def pack(
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None,
    average: MovingAverage | None,
    clusters: Sequence[Sequence[int]] | None,
) -> dict[str, torch.Tensor]:
    """Collect the tensors of a state.

    Args:
        model: its parameters are taken, each once.
        optimizer: of exactly these parameters; None leaves its moments out.
        average: of the weights.
        clusters: indices of the videos of each batch.

    Returns:
        Name -> tensor.
    """
    tensors = {f"model.{name}": value.detach() for name, value in model.named_parameters()}
    if optimizer is not None:
        for name, value in model.named_parameters():
            tensors |= {f"optimizer.{key}.{name}": moment for key, moment in optimizer.state[value].items()}
    if average is not None:
        tensors |= {f"average.{name}": value for name, value in average.weights.items()}
    if clusters is not None:
        tensors["clusters.sizes"] = torch.tensor([len(cluster) for cluster in clusters])
        tensors["clusters.videos"] = torch.tensor([video for cluster in clusters for video in cluster])
    return tensors


@torch.no_grad()
def unpack(tensors: Mapping[str, torch.Tensor], model: nn.Module) -> list[list[int]] | None:
    """Put the weights of a state where they belong.

    Args:
        tensors: what `pack` gave, whole.
        model: changed in place.

    Returns:
        The clusters, where there are some.

    Raises:
        ValueError: the tensors are those of another model.
    """
    own = dict(model.named_parameters())
    stored = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
    wrong = sorted(own.keys() ^ stored.keys()) or sorted(n for n in own if own[n].shape != stored[n].shape)
    if wrong:
        raise ValueError(f"the state is that of another model: {', '.join(wrong[:5])} differ; --restart begins anew")
    for name, value in own.items():
        value.copy_(stored[name])
    if "clusters.sizes" not in tensors:
        return None
    parts = tensors["clusters.videos"].split(tensors["clusters.sizes"].tolist())
    return [part.tolist() for part in parts]


def unpack_moments(
    tensors: Mapping[str, torch.Tensor],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: MovingAverage | None,
) -> None:
    """Put the moments of a state, and its average, where they belong.

    Args:
        tensors: what `pack` gave, whole.
        model: which has the state's weights, whole or divided.
        optimizer: of the model; changed in place.
        average: changed in place; one that the state does not have begins with the model's weights.
    """
    moments = {}
    for place, (name, value) in enumerate(model.named_parameters()):
        if f"optimizer.step.{name}" in tensors:
            first, second = (
                divided_like(tensors[f"optimizer.{key}.{name}"], value) for key in ("exp_avg", "exp_avg_sq")
            )
            step = tensors[f"optimizer.step.{name}"]
            moments[place] = {"step": step, "exp_avg": first, "exp_avg_sq": second}
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    for name, value in () if average is None else average.weights.items():
        if f"average.{name}" in tensors:
            part_of(value).copy_(part_of(divided_like(tensors[f"average.{name}"], value)))


def changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Compare what a training was told with what it is told now.

    Args:
        before: dotted key -> value, as a state file holds it.
        now: likewise, as it is now.

    Returns:
        A line for each key that differs.
    """
    now = json.loads(json.dumps(now))  # tuples become lists, as in the file
    return [
        f"{key} was {before.get(key)!r}, and is {now.get(key)!r} now"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]
