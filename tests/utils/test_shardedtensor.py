"""Shards: what is written is read, mapped once a process, and a file that is not what it should be is an error."""

import errno
import io
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpt.utils.disk import DiskFullError
from mmpt.utils.inert import UnsafeFileError
from mmpt.utils.shardedtensor import ShardedTensor, ShardWriter, forget, open_shard, read_meta, write_meta

LENGTHS = st.lists(st.integers(0, 6), min_size=1, max_size=6)
DTYPES = st.sampled_from([np.float16, np.float32, np.int32, np.int64])


def arrays(lengths: Sequence[int] = (3, 1, 4), width: int = 8, dtype: Any = np.float16) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [(rng.standard_normal((length, width)) * 100).astype(dtype) for length in lengths]


def write(prefix: Path, content: list[np.ndarray], **options: Any) -> Path:
    with ShardWriter(prefix, **options) as writer:
        for number, array in enumerate(content):
            writer.append(array, f"v{number}")
    return prefix


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@settings(max_examples=20)
@given(lengths=LENGTHS, width=st.integers(1, 5), dtype=DTYPES)
def test_what_is_written_is_read(
    lengths: list[int], width: int, dtype: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, content = tmp_path_factory.getbasetemp(), arrays(lengths, width, dtype)
    shard = ShardedTensor.from_list(content)
    shard.save(folder / "saved")
    write(folder / "streamed", content, dtype=dtype)
    for read in (
        shard,
        ShardedTensor.load(folder / "saved"),
        ShardedTensor.load(folder / "saved", mmap=False),
        open_shard(folder / "streamed"),
        open_shard(folder / "streamed", verify=True),
    ):
        assert len(read) == len(content)
        for ours, array in zip(read, content, strict=True):
            np.testing.assert_array_equal(ours, array)
            assert ours.dtype == array.dtype
    for ending in ("_data.npy", "_starts.npy"):
        assert (folder / f"saved{ending}").read_bytes() == (folder / f"streamed{ending}").read_bytes()


@pytest.mark.parametrize("count", [1, 60, 64, 65, 100, 127, 128, 129, 200, 1000])
def test_shards_of_every_size_around_the_compared_ends(count: int, tmp_path: Path) -> None:
    """The two ends, of 65,536 bytes each, overlap, touch or lie apart, whatever the portions they came in."""
    content = arrays([1] * count, width=512)  # 1,024 bytes each
    write(tmp_path / "s", content)
    assert len(open_shard(tmp_path / "s", verify=True)) == count


def test_items_are_views_and_read_only(tmp_path: Path) -> None:
    shard = open_shard(write(tmp_path / "s", arrays()))
    assert shard[0].base is not None and not shard[0].flags.writeable
    np.testing.assert_array_equal(shard[-1], shard[2])
    for index in (3, -4):
        with pytest.raises(IndexError, match=r"item -?\d of a shard with 3 items"):
            shard[index]


def test_a_map_is_opened_once_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "s", arrays())
    monkeypatch.chdir(tmp_path)
    first = open_shard("s")
    assert open_shard(tmp_path / "s") is first
    assert open_shard(str(tmp_path / "s")) is first
    write(tmp_path / "s", arrays([2, 2]))
    assert len(open_shard("s")) == 2  # written anew, opened anew
    np.testing.assert_array_equal(first[0], arrays()[0])  # and what is in use stays what it was


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_map_serves_forked_processes(tmp_path: Path) -> None:
    shard = open_shard(write(tmp_path / "s", arrays()))
    child = os.fork()
    if not child:
        same = open_shard(tmp_path / "s") is shard and np.array_equal(shard[2], arrays()[2])
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_more_shards_than_open_files(tmp_path: Path) -> None:
    """A process opens as few files at a time as its system allows, and reads all shards."""
    for number in range(120):
        ShardedTensor.from_list(arrays()).save(tmp_path / f"s_{number}")
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))\n"
        "from mmpt.utils.shardedtensor import open_shard\n"
        f"print(sum(len(open_shard(f'{tmp_path}/s_{{n % 120}}')) for n in range(240)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "720\n"


def test_arrays_that_do_not_fit_are_told(tmp_path: Path) -> None:
    for content in ([], [np.zeros((1, 2)), np.zeros((1, 3))], [np.zeros((1, 2)), np.zeros((1, 2), np.float32)]):
        with pytest.raises(ValueError, match="one width and one dtype"):
            ShardedTensor.from_list(content)
    with pytest.raises(ValueError, match=r"\(1, 3\) does not fit into .*s, whose rows have \(2,\)"):
        write(tmp_path / "s", [np.zeros((1, 2)), np.zeros((1, 3))])
    with pytest.raises(ValueError, match="needs an array, or row_shape"):
        write(tmp_path / "s", [])
    with pytest.raises(ValueError, match="1 of 2 arrays have an id"), ShardWriter(tmp_path / "s") as writer:
        writer.append(np.zeros((1, 2)), "a")
        writer.append(np.zeros((1, 2)))
    assert names(tmp_path) == set()
    assert len(open_shard(write(tmp_path / "s", [], row_shape=(4,)))) == 0


def break_data(prefix: Path, change: Any) -> None:
    path = Path(f"{prefix}_data.npy")
    path.write_bytes(change(path.read_bytes()))
    forget()


@pytest.mark.parametrize("indexed", [True, False])
def test_a_file_that_is_cut_off_or_too_long_is_named(indexed: bool, tmp_path: Path) -> None:
    prefix = write(tmp_path / "s", arrays())
    if not indexed:
        (tmp_path / "s_index.json").unlink()
    whole = (tmp_path / "s_data.npy").read_bytes()
    for change, word in ((whole[:-1], "cut off"), (whole[:140], "cut off"), (whole + b"x", "longer than it should be")):
        break_data(prefix, lambda _, change=change: change)
        with pytest.raises(ValueError, match=rf"s_data\.npy is {word}"):
            open_shard(prefix)
    for change in (b"", b"\x93NUMPY", b"no array"):
        break_data(prefix, lambda _, change=change: change)
        with pytest.raises(ValueError, match=r"s_data\.npy is not a numpy file"):
            open_shard(prefix)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    for ending in ("_data.npy", "_starts.npy"):
        prefix = write(tmp_path / "s", arrays())
        Path(f"{prefix}{ending}").unlink()
        forget()
        with pytest.raises(FileNotFoundError, match=rf"there is no .*s{ending}"):
            open_shard(prefix)


@pytest.mark.parametrize(
    ("starts", "told"),
    [
        (np.array([0, 4, 3, 8]), "item 1 ends before it begins"),
        (np.array([0, 3, 4, 9]), "to the 8 rows"),
        (np.array([0, 3, 4, 7]), "to the 8 rows"),
        (np.array([1, 3, 4, 8]), "go from 1 to 8"),
        (np.array([0.0, 3, 4, 8]), "these are float64"),
        (np.zeros((0,), np.int64), r"of shape \(0,\)"),
        (np.array([[0, 8]]), r"of shape \(1, 2\)"),
    ],
)
def test_starts_that_do_not_belong_to_the_rows_are_named(starts: np.ndarray, told: str, tmp_path: Path) -> None:
    ShardedTensor.from_list(arrays()).save(tmp_path / "s")
    np.save(tmp_path / "s_starts.npy", starts)
    with pytest.raises(ValueError, match=rf"s_starts\.npy does not belong to s_data\.npy: .*{told}"):
        open_shard(tmp_path / "s")


def test_starts_of_other_integers_are_read(tmp_path: Path) -> None:
    ShardedTensor.from_list(arrays()).save(tmp_path / "s")
    np.save(tmp_path / "s_starts.npy", np.array([0, 3, 4, 8], np.uint32))
    np.testing.assert_array_equal(open_shard(tmp_path / "s")[2], arrays()[2])


@settings(max_examples=20)
@given(first=LENGTHS, second=LENGTHS, seed=st.integers(0, 9))
def test_files_of_two_shards_are_never_taken_for_one(
    first: list[int], second: list[int], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp()
    one, other = write(folder / "one", arrays(first)), write(folder / "other", arrays(second, dtype=np.float32))
    rows = np.random.default_rng(seed).standard_normal((sum(first), 8)).astype(np.float16)
    for ending, content in (
        ("_data.npy", Path(f"{other}_data.npy").read_bytes()),
        ("_starts.npy", Path(f"{other}_starts.npy").read_bytes()),
        ("_data.npy", npy(rows)),
    ):
        path = Path(f"{one}{ending}")
        before = path.read_bytes()
        path.write_bytes(content)
        forget()
        if content != before:
            with pytest.raises(ValueError, match=r"one_(data|starts)\.npy"):
                open_shard(one)
        path.write_bytes(before)


def npy(array: np.ndarray) -> bytes:
    made = io.BytesIO()
    np.save(made, array)
    return made.getvalue()


def test_a_damaged_number_is_found_by_verifying_and_its_item_named(tmp_path: Path) -> None:
    content = arrays([40, 60, 100], width=512)
    prefix = write(tmp_path / "s", content)
    place = 128 + 1024 * 70  # in the second array, between the ends that are always compared
    break_data(prefix, lambda raw: raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
    assert len(open_shard(prefix)) == 3
    with pytest.raises(ValueError, match=r"s_data\.npy is damaged: the checksum of item 1 \(v1\)"):
        open_shard(prefix, verify=True)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is damaged"),
        ("{", "is damaged"),
        ("[]", "is not an index of the format"),
        ('{"format": "mmpt-shard-9"}', "is not an index of the format"),
        ('{"format": "mmpt-shard-1", "items": 3}', "is incomplete"),
    ],
)
def test_a_damaged_index_is_named(content: str, told: str, tmp_path: Path) -> None:
    prefix = write(tmp_path / "s", arrays())
    (tmp_path / "s_index.json").write_text(content)
    forget()
    with pytest.raises(ValueError, match=rf"s_index\.json {told}"):
        open_shard(prefix)


def test_without_an_index_nothing_can_be_verified(tmp_path: Path) -> None:
    ShardedTensor.from_list(arrays()).save(tmp_path / "s")
    with pytest.raises(ValueError, match=r"s_data\.npy has no s_index\.json beside it"):
        open_shard(tmp_path / "s", verify=True)


def test_the_index_says_what_the_rows_are(tmp_path: Path) -> None:
    write(tmp_path / "s", arrays(), about={"backbone": "grid"}, inputs="abc")
    index = json.loads((tmp_path / "s_index.json").read_text())
    assert index["about"] == {"backbone": "grid"}
    assert (index["items"], index["shape"], index["dtype"], index["ids"]) == (3, [8, 8], "<f2", ["v0", "v1", "v2"])


@pytest.mark.parametrize("failing", ["write", "fsync"])
def test_a_full_disk_leaves_what_was_there(failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = write(tmp_path / "s", arrays())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def no_space(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    told = r"no room for .*s_data\.npy .*bytes free; nothing half-written is left"
    with pytest.raises(DiskFullError, match=told), ShardWriter(prefix) as writer:
        writer.append(arrays()[0])
        if failing == "fsync":
            monkeypatch.setattr(os, "fsync", no_space)
        else:
            monkeypatch.setattr(writer, "_file", _Full(writer._file))
            writer.append(arrays()[1])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


class _Full:
    """A file on a disk that is full."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, raw: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def test_a_really_full_file_system(tmp_path: Path) -> None:
    """The limit on a file's size stands for a full disk: the system itself refuses, wherever the bytes are written."""
    write(tmp_path / "s", arrays())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    code = (
        "import resource, signal, numpy as np\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "from mmpt.utils.shardedtensor import ShardWriter\n"
        f"with ShardWriter({str(tmp_path / 's')!r}) as writer:\n"
        "    for _ in range(99): writer.append(np.ones((10, 512), np.float16))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "DiskFullError: no room for" in done.stderr, done.stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_exception_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), ShardWriter(tmp_path / "s") as writer:
        writer.append(arrays()[0])
        raise KeyboardInterrupt
    assert names(tmp_path) == set()


def test_lists_of_shards(tmp_path: Path) -> None:
    meta = {0: ["a", "b"], 1: ["c"], 300: []}
    write_meta(tmp_path / "train_meta.pkl", meta)
    assert read_meta(tmp_path / "train_meta.pkl") == meta
    assert pickle.loads((tmp_path / "train_meta.pkl").read_bytes()) == meta  # as the original reads it


@pytest.mark.parametrize("content", [["a"], {"0": ["a"]}, {0: "abc"}, {0: [1]}, {0: None}])
def test_another_pickle_is_no_list_of_shards(content: Any, tmp_path: Path) -> None:
    (tmp_path / "train_meta.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=r"train_meta\.pkl is not a shard list"):
        read_meta(tmp_path / "train_meta.pkl")


def test_a_list_of_shards_runs_nothing(tmp_path: Path) -> None:
    (tmp_path / "train_meta.pkl").write_bytes(pickle.dumps({0: [Path("a")]}))
    with pytest.raises(UnsafeFileError, match=r"train_meta\.pkl: it asks for pathlib"):
        read_meta(tmp_path / "train_meta.pkl")
