"""Read the pickles of annotation files: values only, nothing imported, nothing run.

A pickle may name functions and call them. Here a name leads to one of a few harmless makers of values, which are
objects that a pickle cannot change, or to an error. The reading itself is the C code of the standard library, so that
a gigabyte of captions takes seconds. Small files, and those that look as if they held little but tuples in tuples, are
read by its slow Python code instead: there a pickle of a few bytes can neither ask for gigabytes nor end the process.
"""

import copyreg
import os
import pickle
import re
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, NoReturn

import numpy as np

from mmpt.utils.inert import UnsafeFileError, dotted

BUFFER = 1 << 20  # bytes read at a time
SMALL = 1 << 20  # bytes that the slow code takes for good measure; it reads some 10 MB/s
SAMPLED = 64  # blocks of BUFFER bytes of a larger file that are looked at
NESTING = 1 / 16  # the part of its bytes that begin or end tuples, from which on a file is suspicious
DEEPEST = 1000  # tuples in one another; from 100,000 on their hash overflows the stack of a thread
NUMBERS = re.compile(r"[biu][1248]|f[248]|c8|c16|[SU]\d{1,6}")  # dtypes that a numpy value may have
_VALUES = (str, bytes, bytearray, int, float, complex, type(None))  # bool is an int
_DAMAGE = (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, IndexError, KeyError)
_DAMAGE += (OverflowError, MemoryError, RecursionError, struct.error)


def read_pickle(path: str | os.PathLike[str], *, max_bytes: int | None = None) -> Any:
    """Read a pickle that holds values only.

    Args:
        path: the file; any protocol, Python 2's too.
        max_bytes: refuse a larger file.

    Returns:
        dicts, lists, tuples, sets, strings, bytes, numbers, bools and None. Numpy numbers come as Python's, numpy
        arrays of numbers as arrays, an OrderedDict or defaultdict as a dict. The byte strings of Python 2 are read as
        UTF-8; one that is not, as Latin-1.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a whole pickle, or too large.
        UnsafeFileError: it names any other class or function. Nothing of it was run. It is a ValueError.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"there is no pickle file {file.absolute()}; check the path")
    if max_bytes is not None and (size := file.stat().st_size) > max_bytes:
        raise ValueError(f"{file} has {size:,} bytes, and at most {max_bytes:,} are expected; is it the right file?")
    try:
        return _read(file, "strict")
    except UnicodeDecodeError:  # Python 2 wrote bytes that are no UTF-8: kept as surrogates, and looked at afterwards
        return _read(file, "surrogateescape")


def _read(file: Path, errors: str) -> Any:
    with file.open("rb", buffering=BUFFER) as opened:
        size = os.fstat(opened.fileno()).st_size
        careful = size <= SMALL or _is_suspicious(opened, size)
        reader = _CarefulReader(opened, errors, size) if careful else _Reader(opened, errors)
        try:
            value = reader.load()
            # Without a name and without a byte of Python 2 the value consists of builtins already: no walk.
            return _Plain().of(value) if reader.named or errors != "strict" else value
        except UnsafeFileError as error:
            raise UnsafeFileError(
                f"{file}: {error}, which is not plain data, so the file was not read and nothing of it was run; if you "
                "trust where it comes from, write its content as dicts, lists, strings and numbers with the program "
                "that made it"
            ) from error
        except _DAMAGE as error:
            if isinstance(error, UnicodeDecodeError) and errors == "strict":
                raise
            raise ValueError(
                f"{file} is not a whole pickle ({_short(error)}); fetch it again, or check that it is the right file"
            ) from error


def _short(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _is_suspicious(file: BinaryIO, size: int) -> bool:
    """Whether a file may hold little but tuples in tuples; each begins or ends with one of four bytes."""
    step = max(BUFFER, size // SAMPLED)
    looked, marks = 0, 0
    for place in range(0, size, step):
        file.seek(place)
        block = file.read(BUFFER)
        looked += len(block)
        marks += sum(map(block.count, (pickle.MARK, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3)))
    file.seek(0)
    return marks > NESTING * looked


class _Names:
    """Names lead to harmless makers or to an error."""

    named = False

    def find_class(self, module_name: str, global_name: str) -> Any:
        self.named = True
        name = dotted(module_name, global_name)
        if name not in _MAKERS:
            raise UnsafeFileError(f"it asks for {name}")
        return _MAKERS[name]

    def persistent_load(self, pid: Any) -> NoReturn:
        raise UnsafeFileError(f"it refers to the outside object {pid!r}")


class _Reader(_Names, pickle.Unpickler):
    """The standard reader."""

    def __init__(self, file: BinaryIO, errors: str) -> None:
        copyreg.clear_extension_cache()  # classes known by number come from there without being asked for by name
        super().__init__(file, encoding="utf-8", errors=errors)


class _CarefulReader(_Names, pickle._Unpickler):
    """The same in Python: what was read before lies in a dict, however large its numbers, and tuples are measured.

    Args:
        file: opened.
        errors: of texts in another encoding.
        size: of the file, in bytes.
    """

    dispatch: ClassVar[dict[int, Callable[..., None]]] = dict(pickle._Unpickler.dispatch)
    # of the class above, while it reads
    stack: list[Any]
    metastack: list[list[Any]]
    append: Callable[[Any], None]
    read: Callable[[int], bytes]

    def __init__(self, file: BinaryIO, errors: str, size: int) -> None:
        copyreg.clear_extension_cache()
        super().__init__(file, encoding="utf-8", errors=errors)
        self._size = size
        self._depths: dict[int, tuple[int, tuple[Any, ...]]] = {}  # of tuples that hold tuples, which are kept alive

    def close_tuple(self, load: Callable[..., None]) -> None:
        """Make a tuple, and see how deep it is."""
        load(self)
        made = self.stack[-1]
        below = [self._depths.get(id(item), (1, ()))[0] for item in made if isinstance(item, tuple)]
        if not below:
            return
        depth = 1 + max(below)
        if depth > DEEPEST:
            raise ValueError(f"it holds more than {DEEPEST:,} tuples in one another")
        self._depths[id(made)] = (depth, made)

    def make_instance(self, load: Callable[..., None]) -> None:
        """Read an old call of a class; without arguments before it, which a table may look like, it is none."""
        if not self.metastack:
            raise ValueError("it calls something without arguments")
        load(self)

    def make_room(self) -> None:
        """Read a bytearray, whose memory is taken before its content is looked for."""
        (length,) = struct.unpack("<Q", self.read(8))
        if length > self._size:
            raise ValueError(f"it says that {length:,} bytes follow, and has {self._size:,}")
        self.append(bytearray(self.read(length)))


def _teach(codes: Iterable[bytes], method: Callable[..., None]) -> None:
    """Put a method around what the standard library does for some codes."""
    for (code,) in codes:
        _CarefulReader.dispatch[code] = lambda reader, load=_CarefulReader.dispatch[code]: method(reader, load)


_teach((pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3), _CarefulReader.close_tuple)
_teach((pickle.INST,), _CarefulReader.make_instance)
_CarefulReader.dispatch[pickle.BYTEARRAY8[0]] = _CarefulReader.make_room


class _Maker:
    """A function that a pickle may call, but not change."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        object.__setattr__(self, "_make", make)

    def __call__(self, *args: Any) -> Any:
        return self._make(*args)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise UnsafeFileError(f"it sets the attribute {name!r} of a function")


class _Dtype:
    """Stands for a numpy dtype while a pickle is read."""

    __slots__ = ("code", "real")

    def __init__(self, code: Any, *_: Any) -> None:
        code = _ascii(code)
        if not NUMBERS.fullmatch(code):
            raise UnsafeFileError(f"it holds a numpy value of dtype {code!r}")
        self.code, self.real = code, np.dtype(f"<{code}")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if _ascii(state[1]) == ">":
            self.real = np.dtype(f">{self.code}")


class _Array:
    """Stands for a numpy array while a pickle is read."""

    __slots__ = ("real",)

    def __init__(self, *_: Any) -> None:
        self.real = np.empty(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, raw = state
        self.real = _array(raw, dtype, shape, "F" if fortran else "C")


def _array(raw: Any, dtype: _Dtype, shape: tuple[int, ...], order: Any) -> np.ndarray:
    native = dtype.real.newbyteorder("=")
    return np.frombuffer(_bytes(raw), dtype.real).astype(native).reshape(shape, order=order)


def _from_buffer(raw: Any, dtype: _Dtype, shape: tuple[int, ...], order: str) -> _Array:
    made = _Array()
    made.real = _array(raw, dtype, shape, order)
    return made


def _number(dtype: _Dtype, raw: Any) -> Any:
    return np.frombuffer(_bytes(raw), dtype.real).item()


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Stand in for the call as which protocols 0 to 2 write bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise UnsafeFileError(f"it asks for the encoding {encoding!r}")
    return text.encode("latin-1")


def _bytes(raw: Any) -> bytes:
    """Give the bytes of an array; those that Python 2 wrote were read as text."""
    return raw.encode("utf-8", "surrogateescape") if isinstance(raw, str) else bytes(raw)


def _ascii(text: Any) -> str:
    return text.decode("ascii") if isinstance(text, bytes) else str(text)


def _empty_dict(*_: Any) -> dict[Any, Any]:
    return {}


def _pairs(pairs: Any = ()) -> dict[Any, Any]:
    return dict(pairs)


def _no_bytes() -> bytes:
    return b""


def _byte_array(content: str | bytes = b"", *encoding: str) -> bytearray:
    return bytearray(_encode(content, *encoding) if isinstance(content, str) else memoryview(content))


def _never(*_: Any) -> NoReturn:
    raise UnsafeFileError("it calls a class")


_MAKERS: dict[str, Any] = {
    "builtins.set": _Maker(set),
    "builtins.frozenset": _Maker(frozenset),
    "builtins.bytearray": _Maker(_byte_array),
    "builtins.bytes": _Maker(_no_bytes),
    "builtins.complex": _Maker(complex),
    "_codecs.encode": _Maker(_encode),
    "collections.OrderedDict": _Maker(_pairs),
    "collections.defaultdict": _Maker(_empty_dict),
    "numpy.dtype": _Maker(_Dtype),
}
# Handed to the others, as a defaultdict's factory for example, or named before the class that is then refused.
for _name in ("list", "dict", "int", "float", "str", "object"):
    _MAKERS[f"builtins.{_name}"] = _Maker(_never)
_MAKERS["numpy.ndarray"] = _MAKERS["copyreg._reconstructor"] = _Maker(_never)
for _core in ("numpy.core", "numpy._core"):
    _MAKERS[f"{_core}.multiarray.scalar"] = _Maker(_number)
    _MAKERS[f"{_core}.multiarray._reconstruct"] = _Maker(_Array)
    _MAKERS[f"{_core}.numeric._frombuffer"] = _Maker(_from_buffer)


class _Plain:
    """Puts arrays and texts in the place of what stood for them, and refuses what is no value."""

    def __init__(self) -> None:
        self._made: dict[int, Any] = {}  # id of a container -> its copy, also where containers hold themselves

    def of(self, value: Any) -> Any:
        if isinstance(value, str):
            return _text(value)
        if isinstance(value, _VALUES):
            return value
        if isinstance(value, _Array):
            return value.real
        if id(value) not in self._made:
            self._copy(value)
        return self._made[id(value)]

    def _copy(self, value: Any) -> None:
        if isinstance(value, dict):
            made = self._made[id(value)] = {}
            made.update((self.of(key), self.of(item)) for key, item in value.items())
        elif isinstance(value, list):
            made = self._made[id(value)] = []
            made.extend(self.of(item) for item in value)
        elif isinstance(value, tuple | set | frozenset):
            self._made[id(value)] = type(value)(self.of(item) for item in value)
        else:
            raise UnsafeFileError("it holds a class or a function itself")


def _text(text: str) -> str:
    if text.isascii() or not any("\udc80" <= letter <= "\udcff" for letter in text):
        return text
    return text.encode("utf-8", "surrogateescape").decode("latin-1")
