"""Every loss: its value and its gradients."""

import json
import math
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import load_file

from mmpt.losses.base import total
from mmpt.utils.registry import lookup, names

COVERS = "03_losses"
BAR = 1e-5


class Case(NamedTuple):
    folder: Path
    name: str

    def __str__(self) -> str:
        return self.name

    @property
    def recorded(self) -> dict:
        return json.loads((self.folder / "losses.json").read_text())["cases"][self.name]

    def tensors(self, side: str) -> dict[str, torch.Tensor]:
        prefix = f"{self.name}/{side}/"
        stored = load_file(self.folder / "losses.safetensors")
        return {key.removeprefix(prefix): value for key, value in stored.items() if key.startswith(prefix)}


def list_cases(folder: Path) -> list[Case]:
    return [Case(folder, name) for name in json.loads((folder / "losses.json").read_text())["cases"]]


def test_every_loss_is_recorded(golden_dir: Path) -> None:
    folder = golden_dir / COVERS
    assert {path.name for path in folder.iterdir()} == {"losses.json", "losses.safetensors"}
    recorded = {case.recorded["class"].rpartition(".")[2] for case in list_cases(folder)}
    assert recorded == set(names("loss")) - {"MILNCELoss"}, "the original has no loss for its candidates of texts"


def test_the_value_and_the_gradients_are_the_originals(case: Case) -> None:
    recorded = case.recorded
    inputs = case.tensors("in")
    wanted = {name: inputs[name].requires_grad_() for name in recorded["grad_wrt"]}
    losses = lookup("loss", recorded["class"].rpartition(".")[2])()(**inputs, video_id="of no interest to a loss")
    value = total(losses)
    value.backward()
    if math.isnan(float(recorded["loss"])):  # the original's mean over no frame; ours leaves the frames out
        assert losses["mfm"].item() == 0
        assert math.isfinite(value.item())
        assert all(tensor.grad is not None and tensor.grad.isfinite().all() for tensor in wanted.values())
        return
    assert value.item() == pytest.approx(recorded["loss"], abs=BAR)
    gradients = case.tensors("out")
    for name, tensor in wanted.items():
        assert tensor.grad is not None
        assert torch.allclose(tensor.grad, gradients[f"grad_{name}"], rtol=0, atol=BAR), name
