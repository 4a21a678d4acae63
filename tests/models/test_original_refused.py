"""Checkpoints that are refused: hostile ones, of which nothing ran, and files that are no checkpoint."""

import argparse
import contextlib
import copyreg
import functools
import importlib
import io
import operator
import os
import pickle
import runpy
import subprocess
import zipfile
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpt.models.original import PREFIX, read_original
from mmpt.utils.inert import UnsafeFileError, pickled_names
from tests.models.originals import CHECKPOINTS, CONTAINERS, RECORDED, save, weights, zip_with_pickle

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
    "unknown function": (lambda m: Call(touch, m), "test_original_refused.touch"),
}
# named only, or harmless when called
QUIET: dict[str, tuple[Any, str]] = {
    "popen": (lambda _: Call(subprocess.Popen, ["true"]), "subprocess.Popen"),
    "import": (lambda _: Call(importlib.import_module, "this"), "importlib.import_module"),
    "runpy": (lambda _: Call(runpy.run_path, "x"), "runpy.run_path"),
    "only the name": (lambda _: [os.system], ".system"),
    "unknown class": (lambda _: Call(Call, 1), "test_original_refused.Call"),
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
