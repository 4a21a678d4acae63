"""Which tensor of BERT each parameter starts from."""

import json
import re
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from mmpt.config import parse_config
from mmpt.models.bert import load_bert_weights
from mmpt.models.build import build_config, build_model, init_from_bert
from mmpt.models.original import read_state

COVERS = "13_init_from_bert"
FROM = re.compile(r"from (\S+)")
CONSTANT = re.compile(r"constant (\S+)")
NORMAL = re.compile(r"random normal std=(\S+) mean=(\S+)")


class Case(NamedTuple):
    folder: Path
    name: str

    def __str__(self) -> str:
        return self.name

    @property
    def recorded(self) -> dict:
        return json.loads((self.folder / "init.json").read_text())["models"][self.name]


def list_cases(folder: Path) -> list[Case]:
    return [Case(folder, name) for name in json.loads((folder / "init.json").read_text())["models"]]


def test_every_file_belongs_to_a_case(golden_dir: Path) -> None:
    assert {path.name for path in (golden_dir / COVERS).iterdir()} == {"init.json", "bert-with-weights"}


def test_parameters_start_where_the_original_starts_them(case: Case, in_common: Path) -> None:
    torch.manual_seed(0)
    source = case.folder / "bert-with-weights"
    stored = read_state(source / "pytorch_model.bin")
    model = build_model(build_config(parse_config(case.recorded["config_yaml"])))
    init_from_bert(model, load_bert_weights(source))
    state = model.state_dict()
    buffers = {name for name, how in case.recorded["parameters"].items() if how.startswith("buffer arange")}
    assert set(state) == set(case.recorded["parameters"]) - buffers
    for name, how in case.recorded["parameters"].items():
        if name in buffers:
            continue
        if taken := FROM.fullmatch(how):
            assert torch.equal(state[name], stored[taken[1]].float()), f"{name}: {how}"
        elif constant := CONSTANT.fullmatch(how):
            assert torch.equal(state[name], torch.full_like(state[name], float(constant[1]))), f"{name}: {how}"
        elif normal := NORMAL.fullmatch(how):
            spread = float(normal[1])
            assert float(state[name].std()) == pytest.approx(spread, rel=0.1), f"{name}: {how}"
            assert abs(float(state[name].mean())) < 6 * spread / state[name].numel() ** 0.5, f"{name}: {how}"
        else:
            pytest.fail(f"{name} starts as {how!r}, which this suite does not know")


def test_ties_are_the_originals(case: Case, in_common: Path) -> None:
    model = build_model(build_config(parse_config(case.recorded["config_yaml"])))
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for name, other in case.recorded["tied"].items():
        assert parameters[name] is parameters[other]
