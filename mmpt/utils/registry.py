"""Names in YAML files -> classes of this package, or of any other.

A class registers itself under its kind and name; a kind's folder is walked at its first look-up, so that adding a
file is all it takes. `package.module:Class` names a class outside the tree.
"""

import difflib
import pkgutil
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import TypeVar

T = TypeVar("T")

_CLASSES: dict[tuple[str, str], type] = {}
_FOLDERS: dict[str, str] = {  # kind -> the package that defines its classes
    "model": "mmpt.models",
    "encoder": "mmpt.models",
    "loss": "mmpt.losses",
    "metric": "mmpt.evaluators",
    "predictor": "mmpt.evaluators",
    "task": "mmpt.tasks",
    "vectorpool": "mmpt.retrieval",
    "retriever": "mmpt.retrieval",
    "backbone": "mmpt.video.backbones",
    "meta_processor": "mmpt.processors",
    "video_processor": "mmpt.processors",
    "text_processor": "mmpt.processors",
    "aligner": "mmpt.processors",
    "processor": "mmpt.processors",  # parts of the others: samplers, masks
}
_BASES: dict[str, str] = {  # kind -> the class that one from outside must inherit from
    "model": "mmpt.models.base:MMPTPreTrainedModel",
    "encoder": "torch.nn:Module",
}
_ALIASES: dict[tuple[str, str], str] = {}  # (kind, old name) -> the name it stands for
_WALKED: set[str] = set()


def register(kind: str, *names: str) -> Callable[[type[T]], type[T]]:
    """Make a class known under one or more names.

    Args:
        kind: what the class is, for example ``"model"`` or ``"aligner"``.
        names: the names YAML files use; the class's own name when none is given.

    Returns:
        A class decorator.
    """

    def add(cls: type[T]) -> type[T]:
        for name in names or (cls.__name__,):
            known = _CLASSES.setdefault((kind, name), cls)
            assert known is cls, f"{kind} {name!r} is registered twice: {known} and {cls}"
        return cls

    return add


def alias(kind: str, old: str, name: str) -> None:
    """Let a wrong name that YAML files in the world use stand for the right one, with a warning.

    Args:
        kind: what the class is.
        old: the wrong name.
        name: the registered name.
    """
    _ALIASES[kind, old] = name


def lookup(kind: str, name: str, *, where: str = "", may_import: bool = False) -> type:
    """Find the class that a name stands for.

    Args:
        kind: what the class is.
        name: its registered name, or ``package.module:Class``.
        where: the file or key that holds the name, for the error message.
        may_import: import the package of ``package.module:Class``. Importing runs code, so say it only for names that
            the user wrote, never for those of a downloaded file: without it the module must be imported already.

    Returns:
        The class.

    Raises:
        ValueError: nothing is registered under that name; the message offers the nearest one.
    """
    if ":" in name:
        if not may_import and name.partition(":")[0] not in sys.modules:
            raise ValueError(
                f"{kind} {name!r}{_place(where)} would import code from outside this package, which a weights folder "
                "may not ask for; if you trust it, import its module first"
            )
        return _import_outside(kind, name, where)
    _import_namesake(kind, name)
    if (kind, name) in _CLASSES:
        return _CLASSES[kind, name]
    known = names(kind)
    if name in known:
        return _CLASSES[kind, name]
    if right := _ALIASES.get((kind, name)):
        warnings.warn(f"{kind} {name!r}{_place(where)} is an old name for {right!r}; write that", stacklevel=2)
        return _CLASSES[kind, right]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(known)}"
    raise ValueError(f"{kind} {name!r}{_place(where)} is not registered; {hint}")


def registered(kind: str) -> list[type]:
    """List the classes of a kind that are known so far, without looking for more.

    Args:
        kind: what the classes are.

    Returns:
        The classes, sorted by name.
    """
    return sorted({cls for (k, _), cls in _CLASSES.items() if k == kind}, key=lambda cls: cls.__name__)


def names(kind: str) -> list[str]:
    """List the names of a kind.

    Args:
        kind: what the classes are.

    Returns:
        The registered names, sorted.
    """
    _walk(kind)
    return sorted(name for k, name in _CLASSES if k == kind)


def _import_namesake(kind: str, name: str) -> None:
    """Import the one module that is called as the class is, so that the backbone "grid" does not load S3D."""
    folder = _FOLDERS.get(kind)
    if folder is not None and name.isidentifier() and find_spec(f"{folder}.{name}") is not None:
        import_module(f"{folder}.{name}")


def _walk(kind: str) -> None:
    folder = _FOLDERS.get(kind)
    if folder is None or folder in _WALKED:
        return
    for module in pkgutil.iter_modules(import_module(folder).__path__, prefix=f"{folder}."):
        import_module(module.name)
    _WALKED.add(folder)


def _import_outside(kind: str, name: str, where: str) -> type:
    module, _, attribute = name.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, TypeError, ValueError) as error:  # the latter two for "" and ".relative"
        raise ValueError(
            f"{kind} {name!r}{_place(where)} cannot be imported ({error}); "
            "write package.module:Class, and make sure that the package is installed"
        ) from error
    if not isinstance(found, type):
        raise ValueError(f"{kind} {name!r}{_place(where)} is a {type(found).__name__}, not a class")
    base = _base(kind)
    if not issubclass(found, base):
        raise ValueError(
            f"{kind} {name!r}{_place(where)} is not a {kind} of this project; use a subclass of "
            f"{base.__module__}.{base.__qualname__}"
        )
    return found


def _base(kind: str) -> type:
    """The base that an outside class must inherit from; others might run anything when they are constructed."""
    module, _, attribute = _BASES.get(kind, "builtins:object").partition(":")
    return getattr(import_module(module), attribute)


def _place(where: str) -> str:
    return f" ({where})" if where else ""
