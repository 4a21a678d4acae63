"""Look into a pickle without running it: which names it asks for, and inert stand-ins for them.

A pickle is a small program: it names functions and classes, and calls them. Nothing here imports a named module.
Each name gets a stand-in of our own that can be made and filled with attributes, because data classes need that, but
that refuses to be called, because that is how a pickle runs code.
"""

import argparse
import pickletools
import struct
import sys
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any, BinaryIO

MAX_DEPTH = 64  # levels of nesting that `plain` follows
MAX_NODES = 200_000  # values that `plain` looks at; real configurations have a few hundred

# Standard modules whose classes only hold data. Every other standard module is refused by name.
_DATA_MODULES = {"_codecs", "argparse", "collections", "datetime", "decimal", "enum", "fractions", "pathlib", "types"}
_DATA_MODULES |= {"typing", "uuid", "dataclasses"}
_PLAIN_TYPES = {"bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "object"}
_PLAIN_TYPES |= {"range", "set", "slice", "str", "tuple", "type", "NoneType"}
# Classes that pickle writes as a call with plain arguments, although the result is only a value.
_VALUE_PACKAGES = ("fairseq.", "hydra.", "mmpt.", "omegaconf.")  # their enums
_VALUE_NAMES = {"numpy.dtype"} | {f"pathlib.{name}" for name in ("Path", "PosixPath", "PurePosixPath", "WindowsPath")}
for _core in ("numpy.core", "numpy._core"):
    _VALUE_NAMES |= {f"{_core}.multiarray.scalar", f"{_core}.multiarray._reconstruct"}
_SCALARS = (str, int, float, bool, bytes, type(None))
_TEXT_OPCODES = {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING"}


class UnsafeFileError(ValueError):
    """A file asks for something that would run code; nothing of it was run."""


class InertType(type):
    """The type of stand-ins; calling one is refused, so a pickle's REDUCE cannot get anywhere."""

    origin: str

    def __call__(cls, *args: Any, **kwargs: Any) -> "Inert":
        if not _is_value(cls.origin, args) or kwargs:
            raise UnsafeFileError(f"it calls {cls.origin}")
        return super().__call__(*args)


class Inert(metaclass=InertType):
    """What stands for an instance of a class that is not imported: its arguments and its state, nothing else."""

    __slots__ = ("arguments", "state")
    origin = ""
    arguments: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any) -> "Inert":
        made = object.__new__(cls)
        made.arguments = args
        made.state = None
        return made

    def __setstate__(self, state: Any) -> None:
        self.state = state


def pickled_names(stream: BinaryIO) -> set[str]:
    """List what one pickle asks to import, without importing it.

    Args:
        stream: positioned at the pickle's first byte; afterwards it stands behind its last.

    Returns:
        Dotted names, in Python 3's spelling.

    Raises:
        ValueError: the bytes are not a pickle, or end before it does.
        UnsafeFileError: it refers to a class by number (a copyreg extension), so its name cannot be known.
    """
    found: set[str] = set()
    texts = ["?", "?"]  # the last two strings, from which STACK_GLOBAL takes its name
    memo: dict[int, str] = {}
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            if opcode.name in _TEXT_OPCODES:
                texts = [texts[-1], _text(argument)]
            elif opcode.name == "MEMOIZE":
                memo[len(memo)] = texts[-1]
            elif opcode.name in ("PUT", "BINPUT", "LONG_BINPUT"):
                memo[int(argument or 0)] = texts[-1]
            elif opcode.name in ("GET", "BINGET", "LONG_BINGET"):
                texts = [texts[-1], memo.get(int(argument or 0), "?")]
            elif opcode.name in ("GLOBAL", "INST"):
                found.add(dotted(*_text(argument).split(" ", 1)))
            elif opcode.name == "STACK_GLOBAL":
                found.add(dotted(*texts))
            elif opcode.name in ("EXT1", "EXT2", "EXT4"):
                raise UnsafeFileError(f"it calls copyreg extension {argument}")
    except UnsafeFileError:
        raise
    except (ValueError, EOFError, OverflowError, MemoryError, struct.error, IndexError, TypeError) as error:
        raise ValueError(f"not a whole pickle ({error})") from error
    return found


def stand_ins(names: Iterable[str]) -> dict[str, Any]:
    """Make a stand-in for every name.

    Args:
        names: dotted names, as `pickled_names` gives them.

    Returns:
        name -> an `InertType`, or a harmless function of this module.

    Raises:
        UnsafeFileError: some name belongs to a module that can run things; the message gives the first such name.
    """
    names = sorted(names)
    for name in names:
        if not _is_data(name):
            raise UnsafeFileError(f"it asks for {name}")
    return {name: _HARMLESS.get(name) or _inert_class(name) for name in names}


def plain(value: Any) -> Any:
    """Turn what came out of a pickle into dicts, lists and scalars.

    Args:
        value: any mixture of builtins and stand-ins. Namespaces and data classes become dicts, omegaconf nodes what
            they hold, enums their value, numpy scalars numbers, anything else a short text.

    Returns:
        Builtins only. Circular, very deep or very large parts are cut and replaced by ``"..."``.
    """
    return _Flattener().flatten(value, 0)


class _Flattener:
    def __init__(self) -> None:
        self.left = MAX_NODES
        self.open: set[int] = set()  # ids of the containers around the current value

    def flatten(self, value: Any, depth: int) -> Any:
        self.left -= 1
        if isinstance(value, _SCALARS) and type(value) in _SCALARS:
            return value
        if depth > MAX_DEPTH or self.left <= 0 or id(value) in self.open:
            return "..."
        self.open.add(id(value))
        try:
            return self._container(value, depth + 1)
        finally:
            self.open.discard(id(value))

    def _container(self, value: Any, depth: int) -> Any:
        if isinstance(value, dict):
            # dict's own method: an instance attribute of a pickled OrderedDict may hide the name
            return {self._key(k, depth): self.flatten(v, depth) for k, v in dict.items(value)}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.flatten(item, depth) for item in value]
        if isinstance(value, argparse.Namespace):  # a program that allowed this class by itself gets the real one
            return self.flatten(vars(value), depth)
        if isinstance(value, InertType):
            return value.origin
        if isinstance(value, Inert):
            return self._stand_in(value, depth)
        return f"<{type(value).__name__}>"

    def _key(self, key: Any, depth: int) -> Any:
        flat = self.flatten(key, depth)
        return str(flat) if isinstance(flat, dict | list) else flat

    def _stand_in(self, value: Inert, depth: int) -> Any:
        state = value.state[0] if isinstance(value.state, tuple) and value.state else value.state
        if isinstance(state, dict):
            for inside in ("_content", "_val"):  # omegaconf's containers and nodes
                if inside in state and value.origin.startswith("omegaconf."):
                    return self.flatten(state[inside], depth)
            return self.flatten(state, depth)
        if value.origin.endswith(".multiarray.scalar"):
            return _number(value)
        if value.origin.startswith("pathlib."):
            return str(PurePosixPath(*(str(part) for part in value.arguments)))
        if len(value.arguments) == 1 and isinstance(value.arguments[0], _SCALARS):
            return value.arguments[0]
        return f"<{value.origin}>"


def _number(scalar: Inert) -> Any:
    """Give the Python number of a pickled numpy scalar: (dtype stand-in, bytes)."""
    formats = {"f8": "d", "f4": "f", "f2": "e", "i8": "q", "i4": "i", "i2": "h", "u1": "B", "b1": "?"}
    dtype, raw = (*scalar.arguments, None, None)[:2]
    code = dtype.arguments[0] if isinstance(dtype, Inert) and dtype.arguments else None
    if not isinstance(raw, bytes) or not isinstance(code, str) or code not in formats:
        return f"<{scalar.origin}>"
    big = isinstance(dtype, Inert) and isinstance(dtype.state, tuple) and ">" in dtype.state[:2]
    form = f"{'>' if big else '<'}{formats[code]}"
    return struct.unpack(form, raw)[0] if struct.calcsize(form) == len(raw) else f"<{scalar.origin}>"


def _empty_dict(*_: Any) -> dict[Any, Any]:
    """Stand in for defaultdict(factory): a dict, without the factory."""
    return {}


def _subscript(generic: Any, parameters: Any) -> Inert:
    """Stand in for operator.getitem where pickle uses it for annotations such as typing.List[str]."""
    if not isinstance(generic, InertType) or not generic.origin.startswith(("typing.", "builtins.")):
        raise UnsafeFileError("it calls operator.getitem")
    return Inert.__new__(_inert_class(generic.origin), parameters)


_HARMLESS: Mapping[str, Callable[..., Any]] = {
    "collections.defaultdict": _empty_dict,
    "operator.getitem": _subscript,
    "_operator.getitem": _subscript,
}


def _inert_class(origin: str) -> type[Inert]:
    return InertType("Inert", (Inert,), {"origin": origin, "__slots__": ()})


def _is_data(name: str) -> bool:
    module, _, attribute = name.rpartition(".")
    top = name.split(".", 1)[0]
    if name in _HARMLESS:
        return True
    if top == "builtins":
        return module == top and attribute in _PLAIN_TYPES
    return top in _DATA_MODULES or top not in sys.stdlib_module_names


def _is_value(name: str, arguments: tuple[Any, ...]) -> bool:
    if name in _VALUE_NAMES:
        return True
    is_class = name.rpartition(".")[2][:1].isupper()
    is_scalar = len(arguments) == 1 and isinstance(arguments[0], _SCALARS)
    return name.startswith(_VALUE_PACKAGES) and is_class and is_scalar


def dotted(module: str, name: str = "?") -> str:
    """Give a name as Python 3 spells it, as torch's loader does: the modules of Python 2 were called otherwise.

    Args:
        module: as the pickle spells it.
        name: of the class or function.

    Returns:
        module.name.
    """
    module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
    return f"{module}.{name}"


def _text(argument: Any) -> str:
    return argument.decode("latin-1") if isinstance(argument, bytes) else str(argument)
