"""Every recorded checkpoint: read, checked sum by sum, built into its model, converted and converted back."""

import json
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from transformers import AutoModel

from mmpt.config import parse_config
from mmpt.models.build import build_config, build_model
from mmpt.models.checkpoints import convert, load_folder, load_original, to_original
from mmpt.models.original import read_original

COVERS = "01_checkpoints"
SUMS = 1e-5  # relative, of sums in double precision


class Case(NamedTuple):
    folder: Path
    name: str

    def __str__(self) -> str:
        return self.name

    @property
    def path(self) -> Path:
        return self.folder / self.name

    @property
    def recorded(self) -> dict:
        return json.loads((self.folder / "checkpoints.json").read_text())["checkpoints"].get(self.name)


def list_cases(folder: Path) -> list[Case]:
    return [Case(folder, path.name) for path in sorted(folder.iterdir()) if path.name != "checkpoints.json"]


def test_tensors_are_the_recorded_ones(case: Case) -> None:
    assert case.recorded is not None, f"{case} is not described in checkpoints.json"
    checkpoint = read_original(case.path)
    keys = case.recorded["keys"]
    assert [f"mmmodel.{name}" for name in checkpoint.state] == list(keys)
    for name, tensor in checkpoint.state.items():
        entry = keys[f"mmmodel.{name}"]
        assert list(tensor.shape) == entry["shape"] and str(tensor.dtype) == f"torch.{entry['dtype']}", name
        total, size = float(tensor.double().sum()), float(tensor.double().abs().sum())
        assert total == pytest.approx(entry["sum"], abs=SUMS * max(1.0, size)), name
        assert size == pytest.approx(entry["abs_sum"], rel=SUMS), name
    assert checkpoint.info["num_updates"] == case.recorded["num_updates"]


def test_it_fills_fp32_parameters(case: Case, in_common: Path) -> None:
    model = build_model(build_config(parse_config(case.recorded["config_yaml"])))
    load_original(model, case.path)
    stored = read_original(case.path).state
    for name, parameter in model.named_parameters():
        assert parameter.dtype == torch.float32, name
        assert torch.equal(parameter, stored[name].float()), name


def test_round_trip_is_bit_equal(case: Case, in_common: Path, tmp_path: Path) -> None:
    before = read_original(case.path)
    convert(case.path, tmp_path / "folder", build_config(parse_config(case.recorded["config_yaml"])))
    to_original(tmp_path / "folder", tmp_path / "back.pt")
    after = read_original(tmp_path / "back.pt")
    assert set(before.state) == set(after.state)
    for name, tensor in before.state.items():
        assert tensor.dtype == after.state[name].dtype and torch.equal(tensor, after.state[name]), name
    assert after.info["num_updates"] == before.info["num_updates"]


def test_the_folder_loads_through_auto_model(case: Case, in_common: Path, tmp_path: Path) -> None:
    written = convert(case.path, tmp_path, build_config(parse_config(case.recorded["config_yaml"]))).float()
    auto = AutoModel.from_pretrained(tmp_path)
    ours = load_folder(tmp_path)
    assert type(auto) is type(ours) is type(written)
    assert auto.dtype == ours.dtype == torch.float32
    for name, tensor in written.state_dict().items():
        assert torch.equal(auto.state_dict()[name], tensor) and torch.equal(ours.state_dict()[name], tensor), name
