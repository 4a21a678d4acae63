"""Caption files of any size, read and written entry by entry: raw_caption.json, raw_caption*.pkl.

What is read is not parsed here: an entry's captions stay the JSON text that they are, for `parse_captions`.
"""

import contextlib
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from json import JSONDecodeError, JSONDecoder
from pathlib import Path
from typing import IO, Any, NoReturn

from mmpt.text.picklestream import PickleWriter, StringDict
from mmpt.utils.files import atomic_path
from mmpt.utils.safepickle import read_pickle

BLOCK = 1 << 20  # characters read at a time
LARGEST = 1 << 28  # characters of one video's captions; more is a damaged file
NEAR_END = 12  # characters; the longest word that JSON can break off in, "-Infinity", and a \\uXXXX
SPACE = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True)
class Entry:
    """One video of a caption file.

    Attributes:
        video_id: the video.
        value: its captions: JSON text, or a mapping where the file holds one.
        done: the part of the file that is read, from 0 to 1.
    """

    video_id: str
    value: Any
    done: float


def read_entries(path: Path) -> Iterator[Entry]:
    """Read a caption file from its first video to its last.

    A .json file, and a pickle whose values are texts, are read in constant memory; another pickle is read whole.

    Args:
        path: a .json or .pkl file: video id -> captions, or the JSON text of captions.

    Yields:
        The entries in the file's order. An id that stands there twice comes twice.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is neither, or damaged; the message says where.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no caption file {path}; it takes raw_caption.json or raw_caption.pkl")
    if path.suffix == ".json":
        yield from _json_entries(path)
    elif path.suffix in (".pkl", ".pickle"):
        yield from _pickle_entries(path)
    else:
        raise ValueError(f"{path} ends in {path.suffix or 'nothing'!r}; caption files end in .json or .pkl")


@contextlib.contextmanager
def write_entries(path: Path) -> Iterator[Callable[[str, str], None]]:
    """Write a caption file, whole or not at all, in constant memory.

    Args:
        path: .pkl: a dict of id -> JSON text, as the original's files; .json: an object of id -> captions, one line a
            video.

    Yields:
        A function that takes the next video's id and the JSON text of its captions.

    Raises:
        ValueError: the ending is another.
        OSError: it cannot be written; a file that was there before is as it was.
    """
    check_target(path)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        if path.suffix == ".pkl":
            with PickleWriter(file) as writer:
                yield writer.add
            return
        count = 0

        def add(video_id: str, captions: str) -> None:
            nonlocal count
            file.write(f"{',' if count else '{'}\n{json.dumps(video_id)}: {captions}".encode())
            count += 1

        yield add
        file.write(b"\n}\n" if count else b"{}\n")


def check_target(path: Path) -> None:
    """Refuse a name that says no format.

    Args:
        path: of a caption file to write.

    Raises:
        ValueError: it ends neither in .pkl nor in .json.
    """
    if path.suffix not in (".pkl", ".json"):
        raise ValueError(f"captions are written to a .pkl or .json file, and {path} is neither")


def _pickle_entries(path: Path) -> Iterator[Entry]:
    texts = StringDict.scan(path)
    if texts is not None:
        with texts:
            for number, video_id in enumerate(texts, 1):
                yield Entry(video_id, texts[video_id], number / len(texts))
        return
    loaded = read_pickle(path)
    if not isinstance(loaded, Mapping):
        raise ValueError(f"{path} holds a {type(loaded).__name__}; a caption file holds a dict of id -> captions")
    for number, (video_id, value) in enumerate(loaded.items(), 1):
        if not isinstance(video_id, str):
            raise ValueError(f"{path} has the key {video_id!r}, a {type(video_id).__name__}; keys are video ids, texts")
        yield Entry(video_id, value, number / len(loaded))


def _json_entries(path: Path) -> Iterator[Entry]:
    size = max(path.stat().st_size, 1)
    with path.open("rb") as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as file:
        window = _Window(file, path)
        window.expect("{")
        separator = "}" if window.peek() == "}" else ""
        while separator != "}":
            video_id, _ = window.value()
            if not isinstance(video_id, str):
                window.fail("a video id in quotes is expected here")
            window.expect(":")
            value, text = window.value()
            yield Entry(video_id, value if isinstance(value, str) else text, raw.tell() / size)
            separator = window.expect(",}")
            window.last = video_id
        if separator and window.peek() == "}":  # of an empty object
            window.expect("}")
        if window.peek():
            window.fail("the file goes on behind its end")


class _Window:
    """A stretch of a JSON text that moves along a file.

    Args:
        file: the text.
        path: named in messages.
    """

    def __init__(self, file: IO[str], path: Path) -> None:
        self._file = file
        self._path = path
        self._decode = JSONDecoder().raw_decode
        self._text = ""
        self._at = 0
        self._passed = 0  # characters before the window
        self.last = ""  # the last video that was whole

    def peek(self) -> str:
        """Give the next character that is no space; nothing at the end."""
        while True:
            self._at = SPACE.match(self._text, self._at).end()  # pyright: ignore[reportOptionalMemberAccess]
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def expect(self, allowed: str) -> str:
        """Take one of some characters."""
        found = self.peek()
        if not found or found not in allowed:
            self.fail(f"{' or '.join(allowed)} is expected here, and {found or 'the end of the file'!r} stands there")
        self._at += 1
        return found

    def value(self) -> tuple[Any, str]:
        """Take a value; gives it, and its text."""
        self.peek()
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except RecursionError:
                self.fail("it is nested too deeply")
            except JSONDecodeError as error:
                broken_off = error.msg.startswith("Unterminated") or error.pos > len(self._text) - NEAR_END
                if broken_off and len(self._text) - self._at < LARGEST and self._more():
                    continue
                self._at = error.pos
                self.fail(error.msg)
            else:
                text = self._text[self._at : end]
                self._at = end
                return value, text

    def fail(self, reason: str) -> NoReturn:
        """Say where the file is wrong."""
        behind = f", after the video {self.last!r}" if self.last else ""
        raise ValueError(f"{self._path} is damaged at character {self._passed + self._at:,}{behind}: {reason}")

    def _more(self) -> bool:
        try:
            block = self._file.read(max(BLOCK, len(self._text) - self._at))
        except UnicodeDecodeError as error:
            raise ValueError(f"{self._path} is not in UTF-8 ({error})") from error
        self._passed += self._at
        self._text, self._at = self._text[self._at :] + block, 0
        return bool(block)
