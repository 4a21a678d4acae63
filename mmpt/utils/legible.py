"""Text from anywhere, shown where a terminal would obey some of it."""

import re
from collections.abc import Iterable

DIRECTIONS = "\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069"  # what turns the direction of writing
CONTROLS = re.compile(f"[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u2028\\u2029{DIRECTIONS}]")
LINE_ENDS = str.maketrans({"\n": "\\n", "\t": "\\t"})


def legible(text: object) -> str:
    r"""Write what a terminal would obey, and the bytes of a file's name that are no letters, as codes: \x1b, \udcXX.

    Names of files and captions come from anywhere, and could otherwise colour the terminal, rename its window, or turn
    the words beside them around.

    Args:
        text: what is to be shown, for example a path.

    Returns:
        The same where it is proper Unicode without control characters; ends of lines and tabs stay.
    """
    return CONTROLS.sub(_code, str(text)).encode("utf-8", "backslashreplace").decode("utf-8")


def one_line(text: object) -> str:
    r"""The same, and ends of lines and tabs are codes too: \n, \t."""
    return legible(text).translate(LINE_ENDS)


def is_unicode(text: str) -> bool:
    """True if a text has no surrogates, as which Python keeps bytes that are not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def undirected(text: str) -> str:
    """Leave out what turns the direction of writing: captions in Hebrew or Arabic often have it around every line."""
    return re.sub(f"[{DIRECTIONS}]", "", text)


def message(text: str, names: Iterable[str] = ()) -> str:
    """Make a text fit to be a message: its lines after the first are indented, so that none looks like another message.

    Args:
        text: what is to be told.
        names: what stands in it on one line each, such as the words of a command.
    """
    for name in sorted(names, key=len, reverse=True):
        text = text.replace(name, one_line(name))
    return re.sub(r"\n(?=[^\s])", "\n  ", legible(text))


def _code(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
