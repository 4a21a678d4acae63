"""Optional libraries: loaded where they are used, with a message that says how to get them."""

from importlib import import_module
from types import ModuleType


def require(module: str, *, extra: str) -> ModuleType:
    """Import an optional library.

    Args:
        module: dotted name of the library's module, for example ``"openvino"``.
        extra: the extra of this package that installs it.

    Returns:
        The imported module.

    Raises:
        ModuleNotFoundError: the library is not installed; the message names the command that installs it.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.split(".")[0]:
            raise
        raise ModuleNotFoundError(
            f"{module} is not installed, and this feature needs it; get it with: pip install 'mmpt[{extra}]'",
            name=module,
        ) from error
