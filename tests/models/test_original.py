"""Checkpoints of the original: what is read, what becomes of values of unknown classes, and what is written."""

import argparse
import importlib
import json
import sys
import time
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from mmpt.models.original import PREFIX, read_original, read_state, write_original
from tests.models.originals import CHECKPOINTS, CONTAINERS, GOLDEN, RECORDED, save, weights

BERT = GOLDEN / "13_init_from_bert/bert-with-weights/pytorch_model.bin"


# --- the original's own files -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECORDED)
def test_every_recorded_checkpoint_is_read(name: str) -> None:
    recorded = RECORDED[name]
    checkpoint = read_original(CHECKPOINTS / name)
    assert [PREFIX + key for key in checkpoint.state] == list(recorded["keys"])
    assert checkpoint.container == ("legacy" if "legacy" in recorded["container"] else "zip")
    for key, tensor in checkpoint.state.items():
        expected = recorded["keys"][PREFIX + key]
        assert list(tensor.shape) == expected["shape"], key
        assert str(tensor.dtype) == f"torch.{expected['dtype']}", key
        assert tensor.double().sum().item() == pytest.approx(expected["sum"], abs=1e-6), key
        assert tensor.double().abs().sum().item() == pytest.approx(expected["abs_sum"], abs=1e-6), key


@pytest.mark.parametrize("name", RECORDED)
def test_facts_are_plain_and_complete(name: str) -> None:
    info = read_original(CHECKPOINTS / name).info
    assert info["num_updates"] == RECORDED[name]["num_updates"]
    assert info["epoch"] == 12
    assert info["extra_state"]["val_loss"] == 1.234
    assert json.loads(json.dumps(info)) == info, "only dicts with text keys, lists and scalars"
    settings_ = info["cfg"]["task"] if info.get("cfg") else info["args"]
    assert settings_["taskconfig"] == "projects/retri/videoclip/how2.yaml"
    assert set(info) >= set(RECORDED[name]["top_level_keys"]) - {"model", "last_optimizer_state"}


def test_omegaconf_nodes_become_what_they_hold() -> None:
    cfg = read_original(CHECKPOINTS / "mfmmlm.pt").info["cfg"]
    assert cfg == read_original(CHECKPOINTS / "joint.pt").info["cfg"], "the same settings, once pickled as DictConfig"


def test_tied_weights_share_their_storage() -> None:
    state = read_original(CHECKPOINTS / "mfmmlm.pt").state
    words = state["mm_encoder.bert.embeddings.word_embeddings.weight"]
    assert words.data_ptr() == state["mm_encoder.cls.predictions.decoder.weight"].data_ptr()


def test_weights_of_a_hub_model_are_read() -> None:
    state = read_state(BERT)
    assert state["bert.embeddings.word_embeddings.weight"].shape == (600, 48)
    assert torch.equal(state["cls.predictions.bias"], torch.load(BERT, weights_only=True)["cls.predictions.bias"])


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("wrap", [lambda w: w, lambda w: {"model": w}, lambda w: {"state_dict": w, "epoch": 3}])
def test_wrapped_and_plain_state_dicts(tmp_path: Path, container: str, wrap: Any) -> None:
    checkpoint = read_original(save(wrap(OrderedDict(weights())), tmp_path / "x.pt", container))
    assert list(checkpoint.state) == ["a.weight", "a.bias"]
    assert torch.equal(checkpoint.state["a.weight"], torch.arange(6.0).reshape(2, 3))
    assert checkpoint.state["a.bias"].dtype == torch.float16


# --- values of unknown classes that real files hold ---------------------------------------------------------------


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a module as fairseq's; importing it once more would leave a mark."""
    folder = tmp_path / "foreign"
    package = folder / "fairseq"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "constants.py").write_text(
        "import enum, os\n"
        "open(os.environ['MARK_IMPORT'], 'w').close()\n"
        "class Choices(str, enum.Enum):\n    ddp = 'c10d'\n"
        "class Settings:\n"
        "    def __init__(self): self.lr = 5e-5\n"
        "    def __setstate__(self, state): open(os.environ['MARK_STATE'], 'w').close()\n"
        "class Made:\n"
        "    def __new__(cls, *a): open(os.environ['MARK_NEW'], 'w').close(); return object.__new__(cls)\n"
        "    def __getnewargs__(self): return (1,)\n"
    )
    for name in ("IMPORT", "STATE", "NEW"):
        monkeypatch.setenv(f"MARK_{name}", str(tmp_path / f"mark_{name}"))
    monkeypatch.syspath_prepend(folder)
    saved = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "fairseq"}
    for name in saved:
        monkeypatch.delitem(sys.modules, name)
    module = importlib.import_module("fairseq.constants")
    yield module
    for name in ("fairseq.constants", "fairseq"):
        sys.modules.pop(name, None)


def forget(tmp_path: Path) -> None:
    """Make the foreign module one that is not imported yet, and remove its marks."""
    for name in ("fairseq.constants", "fairseq"):
        sys.modules.pop(name, None)
    for mark in tmp_path.glob("mark_*"):
        mark.unlink()


@pytest.mark.parametrize("container", CONTAINERS)
def test_unknown_data_classes_are_inert(tmp_path: Path, foreign: Any, container: str) -> None:
    content = {
        "model": weights(),
        "cfg": {"enum": foreign.Choices.ddp, "settings": foreign.Settings(), "made": foreign.Made()},
    }
    path = save(content, tmp_path / "x.pt", container)
    forget(tmp_path)
    cfg = read_original(path).info["cfg"]
    assert cfg["enum"] == "c10d"
    assert cfg["settings"] == {"lr": 5e-5}
    assert not list(tmp_path.glob("mark_*")), "the named module was imported, or its classes were run"
    assert "fairseq" not in sys.modules
    torch.load(path, weights_only=False)
    assert len(list(tmp_path.glob("mark_*"))) == 3, "the same file leaves all marks when loaded freely"


def test_real_omegaconf_with_types_is_read(tmp_path: Path) -> None:
    cfg = OmegaConf.create({"a": {"b": [1, 2.5, None, "x"]}, "missing": "???", "link": "${a.b}"})
    info = read_original(save({"model": weights(), "cfg": cfg}, tmp_path / "x.pt")).info
    assert info["cfg"] == {"a": {"b": [1, 2.5, None, "x"]}, "missing": "???", "link": "${a.b}"}


def test_annotations_paths_numpy_numbers_and_defaultdicts(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    counts: defaultdict[str, int] = defaultdict(int, a=1)
    content = {
        "model": weights(),
        "types": [list[int], dict, float],
        "path": Path("a/b"),
        "best": numpy.float64(1.25),
        "step": numpy.int32(-7),
        "flag": numpy.bool_(True),
        "array": numpy.arange(3),
        "counts": counts,
        "namespace": argparse.Namespace(x=argparse.Namespace(y=(1, 2))),
    }
    del content["types"][0]  # list[int] is written through types.GenericAlias, a call: see the refusals
    info = read_original(save(content, tmp_path / "x.pt")).info
    assert info["types"] == ["builtins.dict", "builtins.float"]
    assert info["path"] == "a/b"
    assert (info["best"], info["step"], info["flag"]) == (1.25, -7, True)
    assert isinstance(info["array"], str)
    assert info["counts"] == {"a": 1}
    assert info["namespace"] == {"x": {"y": [1, 2]}}


def test_circular_and_shared_values_end(tmp_path: Path) -> None:
    circle: list[Any] = [1]
    circle.append(circle)
    doubled: Any = ["x"]
    for _ in range(60):  # 2 ** 60 values when written out
        doubled = [doubled, doubled]
    path = save({"model": weights(), "circle": circle, "doubled": doubled}, tmp_path / "x.pt")
    start = time.perf_counter()
    info = read_original(path).info
    assert info["circle"] == [1, "..."]
    assert time.perf_counter() - start < 20


# --- writing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECORDED)
def test_round_trip_is_bit_equal(tmp_path: Path, name: str) -> None:
    first = read_original(CHECKPOINTS / name)
    write_original(tmp_path / "x.pt", first.state, info=first.info)
    second = read_original(tmp_path / "x.pt")
    assert list(second.state) == list(first.state)
    for key, tensor in first.state.items():
        assert second.state[key].dtype == tensor.dtype, key
        assert torch.equal(second.state[key], tensor), key
    assert second.info["num_updates"] == first.info["num_updates"]
    assert second.info["epoch"] == first.info["epoch"]
    assert second.info["cfg"] == (first.info.get("cfg") or first.info["args"])
    groups = [storages(checkpoint.state) for checkpoint in (first, second)]
    assert groups[0] == groups[1], "tied weights stay tied"


def storages(state: dict[str, torch.Tensor]) -> list[list[str]]:
    groups: dict[int, list[str]] = {}
    for name, tensor in state.items():
        groups.setdefault(tensor.data_ptr(), []).append(name)
    return list(groups.values())


def test_written_file_is_as_the_original_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    write_original(path, {"a.weight": torch.ones(2, 3)}, info={"num_updates": 7, "epoch": 3})
    tree = torch.load(path, weights_only=True)  # builtins and tensors only
    assert list(tree) == RECORDED["joint.pt"]["top_level_keys"]
    assert list(tree["model"]) == ["mmmodel.a.weight"]
    assert tree["optimizer_history"][-1]["num_updates"] == 7
    assert tree["extra_state"]["train_iterator"]["epoch"] == 3


def test_written_bytes_depend_on_content_only(tmp_path: Path) -> None:
    state = read_original(CHECKPOINTS / "joint.pt").state
    for name in ("x.pt", "other name.bin"):
        write_original(tmp_path / name, state)
    assert (tmp_path / "x.pt").read_bytes() == (tmp_path / "other name.bin").read_bytes()


def test_views_are_written_without_the_rest_of_their_storage(tmp_path: Path) -> None:
    large = torch.arange(1_000_000.0)
    write_original(tmp_path / "x.pt", {"part": large[10:12], "turned": torch.arange(6.0).reshape(2, 3).T})
    assert (tmp_path / "x.pt").stat().st_size < 10_000
    state = read_state(tmp_path / "x.pt")
    assert state["part"].tolist() == [10, 11]
    assert torch.equal(state["turned"], torch.arange(6.0).reshape(2, 3).T)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="a are not tensors"):
        write_original(path, {"a": 1})  # type: ignore[dict-item]
    with pytest.raises(RuntimeError):
        write_original(path, {"a": torch.ones(2, device="meta")})
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
