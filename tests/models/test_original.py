"""Checkpoints of the original: what is read, what is refused, and that nothing in a refused file ran."""

import argparse
import contextlib
import copyreg
import functools
import importlib
import io
import json
import operator
import os
import pickle
import runpy
import subprocess
import sys
import time
import zipfile
from collections import OrderedDict, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from mmpt.models.original import PREFIX, read_original, read_state, write_original
from mmpt.utils.inert import UnsafeFileError, pickled_names

GOLDEN = Path(__file__).parents[1] / "golden"
CHECKPOINTS = GOLDEN / "01_checkpoints"
BERT = GOLDEN / "13_init_from_bert/bert-with-weights/pytorch_model.bin"
RECORDED = json.loads((CHECKPOINTS / "checkpoints.json").read_text())["checkpoints"]
CONTAINERS = {"zip": True, "legacy": False}


def weights() -> dict[str, torch.Tensor]:
    return {f"{PREFIX}a.weight": torch.arange(6.0).reshape(2, 3), f"{PREFIX}a.bias": torch.ones(2).half()}


def save(content: Any, path: Path, container: str = "zip", protocol: int = 2) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=CONTAINERS[container], pickle_protocol=protocol)
    return path


def zip_with_pickle(path: Path, pickled: bytes) -> Path:
    """Write torch's zip container around a pickle made by hand."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", "3\n")
    return path


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


# --- hostile files ------------------------------------------------------------------------------------------------


class Call:
    """Pickled as a call of `function`, which happens when the pickle is loaded freely."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> Any:
        return self.function, self.arguments

    def __call__(self) -> None:
        """Pickle insists that what it writes as a function can be called."""


def touch(path: str) -> None:
    Path(path).touch()


class ListOfOwn(list[str]):
    """A list subclass whose own methods run at loading."""

    def append(self, item: str) -> None:
        touch(item)

    def extend(self, items: Any) -> None:
        touch(next(iter(items)))


class DictOfOwn(dict[str, str]):
    """A dict subclass whose own method runs at loading."""

    def __setitem__(self, key: str, value: str) -> None:
        touch(value)


class OldStyle:
    """Written through copyreg._reconstructor by protocol 1."""


# name -> (what makes the attack from the mark's path, the callable that the refusal must name)
ATTACKS: dict[str, tuple[Any, str]] = {
    "os.system": (lambda m: Call(os.system, f"touch {m}"), ".system"),
    "eval": (lambda m: Call(eval, f"open({m!r}, 'w').close()"), "builtins.eval"),
    "exec": (lambda m: Call(exec, f"open({m!r}, 'w').close()"), "builtins.exec"),
    "open": (lambda m: Call(open, m, "w"), "open"),
    "check_call": (lambda m: Call(subprocess.check_call, ["touch", m]), "subprocess.check_call"),
    "nested getattr": (lambda m: Call(Call(getattr, Call(__import__, "os"), "system"), f"touch {m}"), "builtins."),
    "partial": (lambda m: Call(Call(functools.partial, os.system, f"touch {m}")), "functools.partial"),
    "pickle in pickle": (lambda m: Call(pickle.loads, pickle.dumps(Call(touch, m))), ".loads"),
    "map": (lambda m: Call(list, Call(map, touch, [m])), "builtins.map"),
    "unknown function": (lambda m: Call(touch, m), "test_original.touch"),
}
# named only, or harmless when called
QUIET: dict[str, tuple[Any, str]] = {
    "popen": (lambda _: Call(subprocess.Popen, ["true"]), "subprocess.Popen"),
    "import": (lambda _: Call(importlib.import_module, "this"), "importlib.import_module"),
    "runpy": (lambda _: Call(runpy.run_path, "x"), "runpy.run_path"),
    "only the name": (lambda _: [os.system], ".system"),
    "unknown class": (lambda _: Call(Call, 1), "test_original.Call"),
    "generic alias": (lambda _: list[int], "types.GenericAlias"),
    "torch.hub": (lambda _: Call(torch.hub.set_dir, "x"), "torch.hub.set_dir"),
    "getitem": (lambda _: Call(operator.getitem, {"a": 1}, "a"), "operator.getitem"),
    "attribute": (lambda _: Call(operator.attrgetter, "x"), "operator.attrgetter"),
}


@pytest.mark.parametrize("where", ["top", "cfg", "model", "optimizer"])
@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("name", ATTACKS | QUIET)
def test_a_file_that_runs_something_is_refused(tmp_path: Path, name: str, container: str, where: str) -> None:
    mark = tmp_path / "mark"
    make, culprit = (ATTACKS | QUIET)[name]
    attack = make(str(mark))
    content: Any = {
        "top": attack,
        "cfg": {"model": weights(), "cfg": {"deep": [attack]}},
        "model": {"model": {**weights(), f"{PREFIX}x": attack}},
        "optimizer": {"model": weights(), "last_optimizer_state": attack},
    }[where]
    path = save(content, tmp_path / "hostile.pt", container)
    allowed = torch.serialization.get_safe_globals()
    with pytest.raises(UnsafeFileError) as refusal:
        read_original(path)
    assert not mark.exists(), "the file's code ran"
    assert str(path) in str(refusal.value)
    assert culprit in str(refusal.value)
    assert "nothing in the file was run" in str(refusal.value)
    assert set(torch.serialization.get_safe_globals()) == set(allowed), "torch's allow-list is as before"
    if name in ATTACKS and where == "cfg":
        with contextlib.suppress(Exception):
            torch.load(path, weights_only=False)
        assert mark.exists(), "the test's attack does nothing even when loaded freely"


@pytest.mark.parametrize("protocol", range(6))
def test_a_bare_hostile_pickle_is_refused(tmp_path: Path, protocol: int) -> None:
    mark = tmp_path / "mark"
    path = tmp_path / "checkpoint_best.pt"
    path.write_bytes(pickle.dumps({"model": Call(os.system, f"touch {mark}")}, protocol=protocol))
    with pytest.raises(UnsafeFileError, match=r"\.system"):
        read_original(path)
    assert not mark.exists()
    pickle.loads(path.read_bytes())
    assert mark.exists(), "the test's attack does nothing even when loaded freely"


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("container", CONTAINERS)
def test_new_pickle_protocols_are_scanned_too(tmp_path: Path, container: str) -> None:
    mark = tmp_path / "mark"
    path = save({"model": weights(), "x": Call(os.system, f"touch {mark}")}, tmp_path / "x.pt", container, protocol=4)
    with pytest.raises(UnsafeFileError, match=r"\.system"):
        read_original(path)
    harmless = save({"model": weights()}, tmp_path / "y.pt", container, protocol=4)
    with pytest.raises(ValueError, match=r"y\.pt cannot be read .* pickled with a protocol"):
        read_original(harmless)
    assert not mark.exists()


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("made", [ListOfOwn, DictOfOwn])
def test_own_lists_and_dicts_do_not_run_their_methods(tmp_path: Path, made: Any, container: str) -> None:
    mark = tmp_path / "mark"
    own = made()
    if made is ListOfOwn:
        list.append(own, str(mark))
    else:
        dict.__setitem__(own, "key", str(mark))
    path = save({"model": weights(), "x": own}, tmp_path / "x.pt", container)
    with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
        read_original(path)
    assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists(), "the test's attack does nothing even when loaded freely"


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_class_registered_by_number_is_refused(tmp_path: Path, container: str) -> None:
    copyreg.add_extension(touch.__module__, "touch", 0xF0F0)
    try:
        path = save({"model": Call(touch, str(tmp_path / "mark"))}, tmp_path / "x.pt", container)
        with pytest.raises(UnsafeFileError, match="copyreg extension 61680"):
            read_original(path)
        assert not (tmp_path / "mark").exists()
        torch.load(path, weights_only=False)
        assert (tmp_path / "mark").exists()
    finally:
        copyreg.remove_extension(touch.__module__, "touch", 0xF0F0)


def test_old_style_instances_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsafeFileError, match=r"copyreg\._reconstructor"):
        read_original(zip_with_pickle(tmp_path / "x.pt", pickle.dumps({"model": OldStyle()}, protocol=1)))


@pytest.mark.parametrize("position", range(5))
def test_every_pickle_of_the_old_container_is_scanned(tmp_path: Path, position: int) -> None:
    mark = tmp_path / "mark"
    parts = [pickle.dumps(part, protocol=2) for part in (0x1950A86A20F9469CFC6C, 1001, {}, {"model": {}}, [])]
    parts[position] = pickle.dumps(Call(os.system, f"touch {mark}"), protocol=2)
    path = tmp_path / "x.pt"
    path.write_bytes(b"".join(parts))
    with pytest.raises(UnsafeFileError, match=r"\.system"):
        read_original(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    "name",
    [
        *("os.popen", "posix.system", "nt.system", "subprocess.run", "sys.exit", "shutil.rmtree", "socket.socket"),
        *("ctypes.CDLL", "code.interact", "pty.spawn", "webbrowser.open", "pickle.load", "functools.reduce"),
        *("__builtin__.eval", "__builtin__.apply", "commands.getoutput", "copy_reg._reconstructor", "cPickle.loads"),
        *("operator.methodcaller", "itertools.starmap", "builtins.compile", "builtins.getattr", "builtins.print"),
        *("importlib.reload", "asyncio.run", "multiprocessing.Process", "tempfile.mkdtemp", "logging.config.listen"),
    ],
)
def test_a_name_that_can_run_things_is_refused_without_a_call(tmp_path: Path, name: str) -> None:
    module, _, attribute = name.rpartition(".")
    pickled = b"\x80\x02}X\x05\x00\x00\x00modelc" + f"{module}\n{attribute}\n".encode() + b"s."
    assert len(pickled_names(io.BytesIO(pickled))) == 1
    with pytest.raises(UnsafeFileError, match="was refused: it asks for"):
        read_original(zip_with_pickle(tmp_path / "x.pt", pickled))


def test_a_build_on_a_class_is_refused(tmp_path: Path) -> None:
    """BUILD may fill an instance; on a class it would change the class."""
    pickled = b"\x80\x02}X\x05\x00\x00\x00modelcfairseq.x\nThing\n}X\x06\x00\x00\x00originK\x01sbs."
    with pytest.raises(ValueError, match="cannot be read as a checkpoint: Can only build"):
        read_original(zip_with_pickle(tmp_path / "x.pt", pickled))


def test_names_hidden_on_an_ordered_dict_are_not_called(tmp_path: Path) -> None:
    class Hidden:
        def __reduce__(self) -> Any:
            return OrderedDict, (list(weights().items()),), {"items": 1, "keys": 2, "get": 3}

    hidden = Hidden()
    path = save({"model": hidden}, tmp_path / "x.pt")
    assert list(read_original(path).state) == ["a.weight", "a.bias"]


def test_a_class_that_the_program_allowed_itself_stays_allowed(tmp_path: Path) -> None:
    path = save({"model": weights(), "args": argparse.Namespace(lr=1)}, tmp_path / "x.pt")
    with torch.serialization.safe_globals([argparse.Namespace]):
        assert read_original(path).info["args"] == {"lr": 1}
        assert argparse.Namespace in torch.serialization.get_safe_globals()
        assert type(torch.load(path)["args"]) is argparse.Namespace
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path)  # outside, torch itself refuses: no stand-in was left behind


def test_reading_in_threads_leaves_no_stand_in_behind() -> None:
    before = set(torch.serialization.get_safe_globals())
    with ThreadPoolExecutor(4) as pool:
        sizes = list(pool.map(lambda name: len(read_original(CHECKPOINTS / name).state), list(RECORDED) * 2))
    assert sizes == [RECORDED[name]["n_keys"] for name in list(RECORDED) * 2]
    assert set(torch.serialization.get_safe_globals()) == before


# --- files that are no checkpoint ---------------------------------------------------------------------------------


def test_missing_folder_empty_and_text(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.pt does not exist; `mmpt download`"):
        read_original(tmp_path / "absent.pt")
    with pytest.raises(ValueError, match="is a folder"):
        read_original(tmp_path)
    path = tmp_path / "x.pt"
    for content, message in {
        b"": "is empty",
        b"hello world, this is text\n": "not a file that torch.save wrote; fetch",
        b"class Something:\nx\n": "not a file that torch.save wrote; fetch",
        b"<!DOCTYPE html><html>404</html>": "not a file that torch.save wrote but a web page",
        b"version https://git-lfs.github.com/spec/v1\noid": "Git LFS pointer",
        b"\x10\x00\x00\x00\x00\x00\x00\x00{}": "looks like safetensors",
        b"\x80\x02": "truncated or damaged",
        b"PK\x03\x04": "truncated or damaged",
        pickle.dumps({"model": {}}, protocol=2): "truncated or damaged",
    }.items():
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message) as error:
            read_original(path)
        assert str(path) in str(error.value)


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("part", [0.001, 0.3, 0.7, 0.99])
def test_truncated(tmp_path: Path, container: str, part: float) -> None:
    whole = (CHECKPOINTS / {"zip": "joint.pt", "legacy": "actionseg.pt"}[container]).read_bytes()
    path = tmp_path / "x.pt"
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(ValueError, match=r"truncated or damaged|cannot be read as a checkpoint"):
        read_original(path)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_zip_archives_that_are_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "text")
    with pytest.raises(ValueError, match=r"holds no data\.pkl"):
        read_original(path)
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), path)
    with pytest.raises(UnsafeFileError, match="TorchScript"):
        read_original(path)


def test_a_compressed_archive_is_not_inflated(tmp_path: Path) -> None:
    save({"model": weights(), "x": "0" * 1_000_000}, tmp_path / "x.pt")
    with (
        zipfile.ZipFile(tmp_path / "x.pt") as old,
        zipfile.ZipFile(tmp_path / "y.pt", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(ValueError, match="compressed or overlapping"):
        read_original(tmp_path / "y.pt")


def test_verify_finds_one_changed_byte(tmp_path: Path) -> None:
    whole = bytearray((CHECKPOINTS / "joint.pt").read_bytes())
    whole[len(whole) // 2] ^= 1
    path = tmp_path / "x.pt"
    path.write_bytes(whole)
    with pytest.raises(ValueError, match="is damaged: the checksum of"):
        read_original(path)
    assert len(read_original(path, verify=False).state) == 62


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds a list, not a dictionary"),
        (torch.ones(2), "holds a <Tensor>, not a dictionary"),
        ({"model": {}}, "holds no tensors"),
        ({}, "holds no tensors"),
        ({"model": {"a": 1, "b": "x"}}, "a is a int, not a tensor; b is a str, not a tensor"),
        ({"epoch": 1, "a": torch.ones(1)}, "epoch is a int, not a tensor"),
        ({"model": {"mmmodel.a": torch.ones(1), "a": torch.ones(1)}}, "twice"),
        ({"model": {"a": torch.ones(2).to_sparse()}}, "sparse"),
        ({"model": {"a": torch.ones(2, device="meta")}}, "without data"),
        ({"model": {"a": torch.ones(1).expand(10**9, 10**9)}}, "more than the file holds"),
        ({"model": {f"k{i}": i for i in range(9)}}, "and 4 more"),
    ],
)
def test_not_plain_weights(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_original(save(content, tmp_path / "x.pt"))


def test_a_pickled_model_is_not_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is a <torch\.nn|holds a|cannot be read"):
        read_original(save(torch.nn.Linear(1, 1), tmp_path / "x.pt"))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_damage_is_a_value_error(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["actionseg.pt", "joint.pt", "mfmmlm.pt"]))
    whole = bytearray((CHECKPOINTS / name).read_bytes())
    size = 20_000 if name == "actionseg.pt" else len(whole)  # where the pickles are
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, size - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "x.pt"
    path.write_bytes(whole)
    with contextlib.suppress(ValueError):
        assert read_original(path).state


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
