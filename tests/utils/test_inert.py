"""Pickles looked into without running them."""

import io
import pickle
import struct
from typing import Any

import pytest

from mmpt.utils.inert import Inert, InertType, UnsafeFileError, pickled_names, plain, stand_ins


class Thing:
    pass


def scan(content: Any, protocol: int) -> set[str]:
    return pickled_names(io.BytesIO(pickle.dumps(content, protocol=protocol)))


def stand_in(name: str) -> Any:
    return stand_ins([name])[name]


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_is_scanned(protocol: int) -> None:
    names = scan([Thing(), Thing(), len, "text", b"bytes", 2**70], protocol)
    assert {f"{__name__}.Thing", "builtins.len"} <= names
    assert names <= {f"{__name__}.Thing", "builtins.len", "copyreg._reconstructor", "builtins.object", "_codecs.encode"}


def test_a_name_said_once_and_recalled_is_found() -> None:
    """Protocol 4 may take both strings of a name from the memo."""
    pickled = b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x8c\x01x0h\x00h\x01\x93."
    assert pickled_names(io.BytesIO(pickled)) == {"os.system"}


def test_scanning_stops_behind_the_pickle() -> None:
    stream = io.BytesIO(pickle.dumps([1], protocol=2) + b"rest")
    assert pickled_names(stream) == set()
    assert stream.read() == b"rest"


@pytest.mark.parametrize(
    "content", [b"", b"\x80", b"\x80\x02", b"hello", b"\x80\x02c", b"\x80\x02X\xff\xff\xff\xffa", b"\xff."]
)
def test_what_is_no_pickle(content: bytes) -> None:
    with pytest.raises(ValueError, match="not a whole pickle"):
        pickled_names(io.BytesIO(content))


def test_a_stand_in_is_filled_but_not_called() -> None:
    made = stand_in("package.module.Thing")
    instance = made.__new__(made, 1, 2)
    instance.__setstate__({"a": 1})
    assert (instance.arguments, instance.state) == ((1, 2), {"a": 1})
    assert plain(instance) == {"a": 1}
    with pytest.raises(UnsafeFileError, match=r"it calls package\.module\.Thing"):
        made(1)


@pytest.mark.parametrize("name", ["fairseq.dataclass.Choices", "omegaconf.X", "hydra.core.Kind", "mmpt.tasks.Kind"])
def test_enums_of_known_packages_are_values(name: str) -> None:
    enum = stand_in(name)
    assert plain(enum("c10d")) == "c10d"
    for arguments in ((), ("a", "b"), (["a"],)):
        with pytest.raises(UnsafeFileError):
            enum(*arguments)


@pytest.mark.parametrize("name", ["fairseq.utils.import_user_module", "fairseqother.X", "torch.hub.load", "package.X"])
def test_other_calls_are_refused(name: str) -> None:
    with pytest.raises(UnsafeFileError, match="it calls"):
        stand_in(name)("x")


def test_annotations_are_values_and_other_subscripts_are_not() -> None:
    subscript = stand_in("_operator.getitem")
    assert plain(subscript(stand_in("typing.List"), stand_in("builtins.str"))) == "<typing.List>"
    with pytest.raises(UnsafeFileError, match=r"operator\.getitem"):
        subscript({"a": 1}, "a")


def test_the_first_dangerous_name_is_told() -> None:
    with pytest.raises(UnsafeFileError, match=r"it asks for posix\.system"):
        stand_ins(["zipfile.ZipFile", "posix.system", "collections.OrderedDict"])


def number(dtype: str, raw: bytes, state: Any = None) -> Inert:
    kind: InertType = stand_in("numpy.dtype")
    made = kind(dtype, False, True)
    made.__setstate__(state)
    return stand_in("numpy.core.multiarray.scalar")(made, raw)


def test_numpy_numbers() -> None:
    assert plain(number("f8", struct.pack("<d", 1.5), (3, "<", None))) == 1.5
    assert plain(number("f8", struct.pack(">d", 1.5), (3, ">", None))) == 1.5
    assert plain(number("b1", b"\x01")) is True
    assert plain(number("f8", b"short")) == "<numpy.core.multiarray.scalar>"
    assert plain(number("V8", b"12345678")) == "<numpy.core.multiarray.scalar>"


def test_plain_cuts_what_has_no_end() -> None:
    deep: Any = "bottom"
    for _ in range(500):
        deep = [deep]
    assert str(plain(deep)).count("[") < 100
    assert "..." in str(plain(deep))
    circle: dict[str, Any] = {"a": 1}
    circle["self"] = circle
    assert plain(circle) == {"a": 1, "self": "..."}
    assert plain({(1, 2): {3}, None: (4,)}) == {"[1, 2]": [3], None: [4]}
