"""Checkpoints as wrappers of PyTorch leave them, and weights that are no numbers."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mmpt.cli.main import main
from mmpt.models.bert import load_bert_weights
from mmpt.models.checkpoints import convert, load_folder, load_original, to_original
from mmpt.models.original import read_original, write_original
from mmpt.training.starting import start_from_checkpoint
from mmpt.utils.statedict import unwrap
from mmpt.video.backbones.s3d import S3D, S3DConfig, load_s3d
from tests.models.test_models import tiny_config, tiny_model

CHECKPOINT = "runs/retri/videoclip/checkpoint_best.pt"
YAML = "projects/retri/videoclip/how2.yaml"
State = dict[str, torch.Tensor]

# how the name of a tensor looks in the file
WRAPPED: dict[str, Callable[[str], str]] = {
    "module.": lambda name: f"module.{name}",
    "_orig_mod.": lambda name: f"_orig_mod.{name}",
    "mmmodel._orig_mod.": lambda name: f"mmmodel._orig_mod.{name}",
    "module.mmmodel.": lambda name: f"module.mmmodel.{name}",
    "module.module.": lambda name: f"module.module.{name}",
    "_orig_mod.module.mmmodel.": lambda name: f"_orig_mod.module.mmmodel.{name}",
    "model.": lambda name: f"model.{name}",
    "student.net.": lambda name: f"student.net.{name}",
    "_forward_module.model.": lambda name: f"_forward_module.model.{name}",
    "inside": lambda name: name.replace("encoder.", "encoder._orig_mod.", 1),
    "each layer": lambda name: name.replace(".layer.0.", ".layer.0._fsdp_wrapped_module._checkpoint_wrapped_module."),
    "a tower": lambda name: name.replace("text_encoder.", "text_encoder.module."),
    "both towers": lambda name: name.replace("_encoder.", "_encoder.module.", 1),
}


@pytest.fixture(scope="module")
def state() -> State:
    return dict(tiny_model().state_dict())


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny_model()


@pytest.mark.parametrize("how", WRAPPED)
def test_what_wrapped_the_model_is_taken_off_and_told(
    tmp_path: Path, state: State, model: Any, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.pt"
    torch.save({"model": {WRAPPED[how](name): tensor for name, tensor in state.items()}}, path)
    for fill in (load_original, start_from_checkpoint):  # for an evaluation, and to go on training
        caplog.clear()
        for parameter in model.parameters():
            parameter.data = torch.zeros_like(parameter)
        with caplog.at_level(logging.WARNING):
            fill(model, path)
        assert caplog.text.count(f"{path} was saved wrapped; taken off") == 1
        assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize("how", ["mmmodel._orig_mod.", "student.net.", "both towers"])
def test_wrapped_checkpoints_are_converted(
    tmp_path: Path, state: State, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    torch.save({WRAPPED[how](name): tensor for name, tensor in state.items()}, tmp_path / "a.pt")
    with caplog.at_level(logging.WARNING):
        convert(tmp_path / "a.pt", tmp_path / "folder", tiny_config())
    assert caplog.text.count("wrapped; taken off") == 1
    stored = load_folder(tmp_path / "folder").state_dict()
    assert all(torch.equal(stored[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state},
        lambda state: {"model_state_dict": state, "epoch": 3},
        lambda state: {"module": state, "optimizer": {"state": {}, "param_groups": []}},
        lambda state: {"net": state},
    ],
)
def test_weights_are_found_under_any_one_key(tmp_path: Path, state: State, wrap) -> None:
    torch.save(wrap({f"module.{name}": tensor for name, tensor in state.items()}), tmp_path / "a.pt")
    load_original(tiny_model(), tmp_path / "a.pt")


def test_two_dictionaries_of_weights_are_a_question(tmp_path: Path, state: State) -> None:
    torch.save({"student": state, "teacher": state}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"holds several dictionaries of tensors: 'student', 'teacher'"):
        read_original(tmp_path / "a.pt")


def test_plain_names_are_left_and_nothing_is_told(state: State, caplog: pytest.LogCaptureFixture) -> None:
    assert unwrap(state, state, source="a") == state
    own = {"module.weight": 1, "module.bias": 2}  # a model that has such a part
    assert unwrap(own, own, source="a") == own
    bert = {"bert.embeddings.x": 1, "bert.encoder.y": 2}  # a prefix that all share, and that belongs to the names
    assert unwrap(bert, {"bert.embeddings.x"}, source="a") == bert
    strange = {"conv.weight": 1}
    assert unwrap(strange, state, source="a") == strange and unwrap({}, state, source="a") == {}
    assert not caplog.text


def test_a_prefix_that_some_names_lack_is_named(tmp_path: Path, state: State) -> None:
    names = {name: f"module.{name}" if name.startswith("text") else name for name in state}
    names = {name: new.replace("module.", "wrap.") for name, new in names.items()}
    torch.save({names[name]: tensor for name, tensor in state.items()}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"\d+ of the missing names are there behind 'wrap\.', which other names lack"):
        load_original(tiny_model(), tmp_path / "a.pt")


def test_two_names_that_would_be_one_are_an_error(tmp_path: Path, state: State) -> None:
    both = {**{f"_orig_mod.{name}": tensor for name, tensor in state.items()}, **state}
    torch.save(both, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"names that are one without|unexpected"):
        load_original(tiny_model(), tmp_path / "a.pt")


def test_weights_that_are_no_numbers_are_refused_unless_asked_for(
    in_tiny_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = read_original(CHECKPOINT).state
    name = "text_encoder.encoder.layer.0.output.dense.weight"
    state[name] = state[name].clone()
    state[name][0, :3] = torch.tensor([float("nan"), float("nan"), float("-inf")])
    write_original(tmp_path / "a.pt", state)
    words = ["convert", str(tmp_path / "a.pt"), str(tmp_path / "folder"), "--config", YAML]
    assert main(words) == 2
    told = capsys.readouterr().err
    assert f"in 1 of {len(state)} tensors: {name} (2 NaN and 1 infinite of" in told and "--allow-non-finite" in told
    assert not (tmp_path / "folder").exists()
    assert main([*words, "--allow-non-finite"]) == 0
    stored = load_file(tmp_path / "folder" / "model.safetensors")[name]
    assert stored.isnan().sum() == 2 and stored.isinf().sum() == 1
    with pytest.raises(ValueError, match="values that are no numbers"):
        to_original(tmp_path / "folder", tmp_path / "b.pt")


def test_a_model_of_weights_that_are_no_numbers_says_so(
    tmp_path: Path, state: State, caplog: pytest.LogCaptureFixture
) -> None:
    broken = {name: tensor.clone() for name, tensor in state.items()}
    broken["text_encoder.pooler.dense.bias"][3] = float("nan")
    write_original(tmp_path / "a.pt", broken)
    load_original(tiny_model(), tmp_path / "a.pt")
    assert "holds values that are no numbers" in caplog.text and "pooler.dense.bias (1 NaN of 32 values)" in caplog.text


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_numbers_of_any_precision_are_looked_at(tmp_path: Path, state: State, dtype: torch.dtype) -> None:
    other = {name: tensor.to(dtype) for name, tensor in state.items()}
    write_original(tmp_path / "a.pt", other)
    convert(tmp_path / "a.pt", tmp_path / "good", tiny_config())
    other["video_encoder.videomlp.linear1.bias"][0] = 1e300 if dtype == torch.float64 else float("inf")
    write_original(tmp_path / "b.pt", other)
    with pytest.raises(ValueError, match=r"linear1.bias \(1 infinite of 32 values\)"):
        convert(tmp_path / "b.pt", tmp_path / "bad", tiny_config())


def test_a_berts_weights_are_found_wrapped_and_without_heads(golden_dir: Path, tmp_path: Path) -> None:
    plain = load_bert_weights(golden_dir / "13_init_from_bert" / "bert-with-weights")
    for prefix, cut in (
        ("module.", ""),
        ("_orig_mod.module.", ""),
        ("", "bert."),
        ("module.", "bert."),
        ("net.", "bert."),
    ):
        kept = {name: tensor for name, tensor in plain.items() if name.startswith(cut)}
        folder = tmp_path / f"{prefix}{cut}x"
        folder.mkdir()
        torch.save({prefix + name.removeprefix(cut): kept[name] for name in kept}, folder / "pytorch_model.bin")
        found = load_bert_weights(folder)
        assert found.keys() == kept.keys() and all(torch.equal(found[name], kept[name]) for name in kept)


def test_wrapped_weights_of_s3d_are_read(tmp_path: Path) -> None:
    state = S3D(S3DConfig.narrow(0.05, vocab_size=20)).state_dict()
    torch.save({f"module.{name}": tensor for name, tensor in state.items()}, tmp_path / "a.pth")
    ours = load_s3d(tmp_path / "a.pth").state_dict()
    assert all(torch.equal(ours[name], tensor) for name, tensor in state.items())
