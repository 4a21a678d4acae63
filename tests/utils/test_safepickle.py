"""Pickles of annotation files: every value comes through, and nothing that they name is run."""

import collections
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpt.utils.inert import UnsafeFileError
from mmpt.utils.safepickle import read_pickle

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
KEYS = st.integers() | st.text()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner) | st.tuples(inner, inner) | st.sets(KEYS),
    max_leaves=20,
)


class Foreign:
    """A class of somebody's own."""


class Runs:
    """Runs a command when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def store(path: Path, content: Any, protocol: int = 4) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, protocol=protocol))
    return path


@given(value=VALUES, protocol=st.sampled_from(list(PROTOCOLS)))
def test_every_plain_value_comes_through(value: Any, protocol: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "value.pkl"
    assert read_pickle(store(path, pickle.dumps(value, protocol=protocol))) == value


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_types_are_kept(protocol: int, tmp_path: Path) -> None:
    value = [(1,), {2}, frozenset([3]), b"\xff", b"", bytearray(b"4"), bytearray(), True, None, 1.5, 2**80, 1 + 2j]
    read = read_pickle(store(tmp_path / "value.pkl", value, protocol))
    assert read == value
    assert [type(item) for item in read] == [type(item) for item in value]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_dicts_of_other_kinds_come_as_dicts(protocol: int, tmp_path: Path) -> None:
    value = [collections.OrderedDict(b=1, a=2), collections.defaultdict(list, {"k": [3]})]
    read = read_pickle(store(tmp_path / "value.pkl", value, protocol))
    assert read == [{"b": 1, "a": 2}, {"k": [3]}]
    assert [type(item) for item in read] == [dict, dict]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_numpy_values_come_as_numbers_and_arrays(protocol: int, tmp_path: Path) -> None:
    value = {
        "numbers": [np.float64(1.5), np.float32(0.5), np.int64(-3), np.bool_(True), np.str_("é")],
        "rows": np.arange(6).reshape(2, 3),
        "columns": np.asfortranarray(np.arange(6, dtype=np.float16).reshape(2, 3)),
        "foreign order": np.arange(3, dtype=">i4"),
        "words": np.array(["a", "bc"]),
        "nothing": np.zeros((0, 3), np.float32),
    }
    read = read_pickle(store(tmp_path / "value.pkl", value, protocol))
    assert read.pop("numbers") == [1.5, 0.5, -3, True, "é"]
    for name, array in read.items():
        assert type(array) is np.ndarray
        np.testing.assert_array_equal(array, value[name])
        assert array.dtype == value[name].dtype.newbyteorder("=")


def test_shared_and_circular_values(tmp_path: Path) -> None:
    shared: list[int] = [1]
    circle: dict[str, Any] = {"set": {1}}  # protocol 2 asks for the class set, so that the result is walked
    circle["self"] = circle
    read = read_pickle(store(tmp_path / "value.pkl", [shared, shared, circle], 2))
    assert read[0] == [1] and read[0] is read[1]
    assert read[2]["self"] is read[2]


def test_python_2_wrote_bytes(tmp_path: Path) -> None:
    """Strings in UTF-8, in Latin-1 and in ASCII, and an array, as protocol 2 of Python 2 has them."""
    texts = [b"\xc3\xa9t\xc3\xa9", b"\xe9t\xe9", b"summer"]
    pickled = b"\x80\x02](" + b"".join(b"U" + bytes([len(text)]) + text for text in texts) + b"e."
    assert read_pickle(store(tmp_path / "texts.pkl", pickled)) == ["été", "été", "summer"]
    array = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02\x85"
        b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x08"
        + np.array([1.5, -2.25], "<f4").tobytes()
        + b"tb."
    )
    np.testing.assert_array_equal(read_pickle(store(tmp_path / "array.pkl", array)), np.array([1.5, -2.25], "f4"))
    named = b"\x80\x02c__builtin__\nset\n]K\x01a\x85R."
    assert read_pickle(store(tmp_path / "named.pkl", named)) == {1}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_foreign_class_is_named_and_nothing_runs(protocol: int, tmp_path: Path) -> None:
    witness = tmp_path / "it-ran"
    for content, name in ((Runs(witness), "posix.system"), (Foreign(), "Foreign"), ({"a": [len]}, "builtins.len")):
        path = store(tmp_path / "bad.pkl", content, protocol)
        with pytest.raises(UnsafeFileError, match=name) as caught:
            read_pickle(path)
        assert str(path) in str(caught.value) and "nothing of it was run" in str(caught.value)
    assert not witness.exists()


def test_nothing_is_imported(tmp_path: Path) -> None:
    path = store(tmp_path / "bad.pkl", b"cthis\nd\n.")  # `import this` prints a poem
    code = (
        f"import sys\nfrom mmpt.utils.safepickle import read_pickle\ntry:\n    read_pickle({str(path)!r})\n"
        "except ValueError:\n    print('this' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(np.array([{}], object)),
        pickle.dumps(np.zeros(2, [("a", "f4")])),
        pickle.dumps(np.array("2020", "M8[Y]")),
        pickle.dumps(set, protocol=4),
        pickle.dumps(np.dtype("f4")),
        b"c__builtin__\nset\n(dS'_make'\nNsb.",  # sets an attribute of what it may call
        b"c__builtin__\nset\n(N(dS'_make'\nNstb.",
        b"c__builtin__\nlist\n)R.",
        b"cbuiltins\nset.__init__\n.",
        b"\x80\x04\x8c\x08builtins\x8c\x0cset.__init__\x93.",
        b"(S'os'\nios\nsystem\n.",  # INST
        b"\x80\x02Va\nQ.",  # refers to an object outside
        b"\x80\x02\x82\x01.",  # a class by number
        b"c_codecs\nencode\n(Va\nVrot13\ntR.",
        b"c__builtin__\nbytes\n(I99999999999\ntR.",  # would fill the memory
    ],
)
def test_what_is_no_plain_value_is_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"bad\.pkl"):
        read_pickle(store(tmp_path / "bad.pkl", content))


def test_a_class_known_by_number_is_not_taken_from_the_process(tmp_path: Path) -> None:
    import copyreg

    copyreg.add_extension("os", "system", 77)
    try:
        assert pickle.loads(b"\x80\x02\x82\x4d.") is os.system  # now it lies in the process's own store
        with pytest.raises(UnsafeFileError, match=r"os\.system"):
            read_pickle(store(tmp_path / "bad.pkl", b"\x80\x02\x82\x4d."))
    finally:
        copyreg.remove_extension("os", "system", 77)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"\x80\x04", b"id,text\n1,a\n", pickle.dumps(list(range(999)))[:500], b"\x93NUMPY"),
        b"\x80\x04\x8c\x02\xff\xfe.",  # text that is no UTF-8
    ],
)
def test_a_cut_off_or_other_file_is_told(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"bad\.pkl is not a whole pickle"):
        read_pickle(store(tmp_path / "bad.pkl", content))


def test_an_absent_and_a_large_file_are_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no pickle file .*absent\.pkl"):
        read_pickle(tmp_path / "absent.pkl")
    path = store(tmp_path / "large.pkl", list(range(1000)))
    assert read_pickle(path, max_bytes=path.stat().st_size) == list(range(1000))
    with pytest.raises(ValueError, match=r"large\.pkl has .* at most 100 are expected"):
        read_pickle(path, max_bytes=100)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pickle_cut_off_anywhere_is_told(protocol: int, tmp_path: Path) -> None:
    whole = pickle.dumps({"a": [1, 2.5, "é", b"\xff", (None,)], "b": np.arange(3), "c": {4}}, protocol=protocol)
    for length in range(len(whole)):
        with pytest.raises(ValueError, match=r"cut\.pkl"):
            read_pickle(store(tmp_path / "cut.pkl", whole[:length]))


NESTED = {
    "tuples of one": b"\x80\x02})" + b"\x85" * 3_000_000 + b"Ns.",
    "tuples of two": b"\x80\x02})" + b"N\x86" * 1_500_000 + b"Ns.",
    "marked tuples": b"\x80\x02}" + b"(" * 1_500_000 + b"t" * 1_500_000 + b"Ns.",
    "kept tuples": b"\x80\x04})" + b"\x85\x94" * 1_500_000 + b"Ns.",
    "a small file": b"\x80\x02})" + b"\x85" * 300_000 + b"Ns.",
    "a padded small file": b"\x80\x02})" + b"\x85q\x00h\x00N00h\x00" * 90_000 + b"Ns.",
}
READ = """
import resource, sys
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
from mmpt.utils.safepickle import read_pickle
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    try:
        read_pickle(path)
    except ValueError as error:
        print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def read_elsewhere(*paths: Path) -> tuple[list[str], int]:
    """In a process of its own; gives what was told, and the kilobytes that it took."""
    command = [sys.executable, "-c", READ, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    *told, memory = done.stdout.splitlines()
    return told, int(memory)


def test_tuples_in_tuples_without_end_do_not_end_the_process(tmp_path: Path) -> None:
    paths = [store(tmp_path / f"{name}.pkl", content) for name, content in NESTED.items()]
    told, _ = read_elsewhere(*paths)
    assert len(told) == len(paths)
    assert all("more than 1,000 tuples in one another" in line for line in told)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"\x80\x02Nr\xff\xff\xff\x0f.", None),
        (b"\x80\x02Np268435455\n.", None),
        (b"\x80\x05\x96\x00\x00\x00\x00\x01\x00\x00\x00.", "4,294,967,296 bytes follow"),
    ],
    ids=["memo", "memo in digits", "bytearray"],
)
def test_a_few_bytes_take_no_gigabytes(content: bytes, message: str | None, tmp_path: Path) -> None:
    told, memory = read_elsewhere(store(tmp_path / "value.pkl", content))
    assert memory < 100_000 and len(told) == bool(message) and (message or "") in "".join(told)


def test_many_tuples_that_are_not_deep_come_through(tmp_path: Path) -> None:
    """They look suspicious, and are read with care."""
    value = {(number, (number,)): [(number % 7, None)] for number in range(70_000)}
    path = store(tmp_path / "value.pkl", value, 2)
    assert path.stat().st_size > 1 << 20 and read_pickle(path) == value


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_large_file_comes_through_as_a_small_one(protocol: int, tmp_path: Path) -> None:
    value = {f"video{number}": "a long caption " * 20 + str(number) for number in range(10_000)}
    value["array"] = np.arange(5).tolist()  # pyright: ignore
    assert read_pickle(store(tmp_path / "value.pkl", value, protocol)) == value
