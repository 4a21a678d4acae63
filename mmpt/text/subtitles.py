"""Subtitle files, .srt and .vtt, -> captions.

Both are read by one rule, for files in the world keep neither format strictly: a line with `-->` begins a cue, and
what follows is its text, up to an empty line (.vtt) or to the next cue (.srt, where an empty line may be text).
"""

import html
import itertools
import re
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path

from mmpt.text.captions import Captions, check_times
from mmpt.utils.walking import walk_files

SUFFIXES = (".srt", ".vtt")
ROLLING = 0.5  # the part of the cues that begin with the line before, from which on that is taken for a carried line

_TIME = r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:[.,]\d*)?)"
TIMES = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?")
ARROW, CLOCK = re.compile(r"[-=–—]\s*>|→"), re.compile(r"\d:\d\d")  # noqa: RUF001 for times in an odd form
TAGS = re.compile(r"</?[a-zA-Z][^<>]*>|<[\d:.,]+>|\{\\[^{}]*\}")  # <c.red>, <v Ann>, <i>, <00:00:01.500>, {\an8}
INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200e\u200f\u202a\u202b\u202c\ufeff"))
_GROUPS = (  # the languages' two letters (ISO 639-1), by the first
    "a:abefkmnrsvyz b:aeghimnors c:aehorsuvy d:aevz e:elnostu f:afijory g:adlnuv h:aeiortuyz i:adegikostuw j:av "
    "k:agijklmnorsuvwy l:abginotuv m:ghiklnrsty n:abdeglnorvy o:cjmrs p:ailst q:u r:mnouw s:acdegiklmnoqrstuvw "
    "t:aeghiklnorstwy u:gkrz v:eio w:ao x:h y:io z:ahu"
)
LANGUAGES = frozenset(first + second for first, others in re.findall(r"(\w):(\w+)", _GROUPS) for second in others)
LANGUAGE = re.compile(r"([a-z]{2})(?:[-_][A-Za-z0-9]{2,8})*")  # en, en-US, pt_BR, zh-Hans, en-orig


@dataclass(frozen=True)
class Subtitles:
    """What a subtitle file says.

    Attributes:
        captions: one for each cue that is left, in the file's order.
        cues: in the file.
        carried: cues of which no line was new: on rolling subtitles the last line stays while the next appears.
    """

    captions: Captions
    cues: int
    carried: int


@dataclass
class _Cue:
    start: float
    end: float
    lines: list[str]


def read_subtitles(path: Path, *, encoding: str | None = None) -> Subtitles:
    """Read a subtitle file.

    Args:
        path: an .srt or .vtt file in UTF-8, or UTF-16 with a byte order mark.
        encoding: of a file that is neither; without it such a file is refused.

    Returns:
        Its captions, without marks of style.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is in another encoding, holds no cue, a line has times in another form, or a cue ends before it
            starts.
    """
    return parse_subtitles(_decoded(path, encoding), strict_blocks=path.suffix.lower() == ".vtt", source=str(path))


def parse_subtitles(text: str, *, strict_blocks: bool, source: str = "the text") -> Subtitles:
    """Read the text of a subtitle file.

    Args:
        text: all of it.
        strict_blocks: an empty line ends a cue, as in .vtt.
        source: named in messages.

    Returns:
        Its captions.

    Raises:
        ValueError: it holds no cue, a line has times in another form, or a cue ends before it starts.
    """
    cues = _cues(text.splitlines(), strict_blocks=strict_blocks, source=source)
    if not cues:
        raise ValueError(f"{source} holds no cue; one begins with a line such as 00:00:01.500 --> 00:00:04.000")
    try:
        check_times(_as_captions(cues))
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    kept, carried = _without_carried(cues)
    return Subtitles(_as_captions(kept), len(cues), carried)


def find_subtitles(
    folder: Path, *, language: str | None = None, videos: Container[str] = ()
) -> tuple[dict[str, Path], dict[str, str]]:
    """Look for subtitle files in a folder and the folders below it.

    Args:
        folder: where to look.
        language: to choose by, where names say one: ``"en"`` takes clip.en.vtt, else clip.en-US.vtt and the like, else
            clip.vtt.
        videos: ids of videos that there are: a file whose whole name is one of them is that video's.

    Returns:
        Video id -> its file, sorted by id; and id -> reason for videos of which several files are left.

    Raises:
        OSError: a folder cannot be read.
        ValueError: there is no such file, or none in this language.
    """
    candidates: dict[str, list[tuple[str, Path]]] = {}
    for path in _walk(folder):
        name, spoken = (path.stem, "") if path.stem in videos else video_name(path.stem)
        candidates.setdefault(name, []).append((spoken, path))
    if not candidates:
        raise ValueError(f"{folder} holds no subtitle file; they end in .srt or .vtt")
    found: dict[str, Path] = {}
    refused: dict[str, str] = {}
    for name in sorted(candidates):
        files = _in_language(candidates[name], language) if language else candidates[name]
        paths = ", ".join(str(path) for _, path in candidates[name])
        if len(files) == 1:
            found[name] = files[0][1]
        elif files:
            refused[name] = f"it has several subtitle files: {paths}; choose with --language, or take the others away"
        else:
            refused[name] = f"none of its subtitle files is in the language {language!r}: {paths}"
    return found, refused


def _walk(folder: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise error

    return sorted(path for path in walk_files(folder, refuse) if path.name.lower().endswith(SUFFIXES))


def _in_language(files: list[tuple[str, Path]], language: str) -> list[tuple[str, Path]]:
    """Take the exact language, else its regional forms, else files that say none."""
    for fits in (lambda s: s == language, lambda s: re.split("[-_]", s)[0] == language, lambda s: not s):
        if chosen := [file for file in files if fits(file[0])]:
            return chosen
    return []


def _as_captions(cues: list[_Cue]) -> Captions:
    return Captions([cue.start for cue in cues], [cue.end for cue in cues], [" ".join(cue.lines) for cue in cues])


def video_name(stem: str) -> tuple[str, str]:
    """Part the name of a subtitle file into the video's name and the language.

    Args:
        stem: the file's name without its ending, for example ``"clip.en"``.

    Returns:
        For example ``("clip", "en")``; the language is empty where the name says none.
    """
    name, dot, last = stem.rpartition(".")
    found = LANGUAGE.fullmatch(last)
    if dot and name and found and found[1] in LANGUAGES:
        return name, last
    return stem, ""


def _decoded(path: Path, encoding: str | None) -> str:
    raw = path.read_bytes()
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    else:
        encodings = ["utf-8-sig", *([encoding] if encoding else [])]
    for name in encodings:
        try:
            return raw.decode(name)
        except UnicodeDecodeError as error:
            last = error
        except LookupError as error:
            raise ValueError(f"the encoding {name!r} is not known; for example cp1252 is") from error
    raise ValueError(
        f"{path} is not in {' or '.join(encodings)} (byte {last.start:,}); save it in UTF-8, or say its encoding with "
        "--encoding, for example --encoding cp1252"
    )


def _cues(lines: Iterable[str], *, strict_blocks: bool, source: str) -> list[_Cue]:
    cues: list[_Cue] = []
    cue: _Cue | None = None
    raw: list[str] = []  # lines since the last cue began
    for number, line in enumerate(lines, 1):
        if times := TIMES.fullmatch(line):
            _close(cue, raw, next_follows=True)
            cue, raw = _Cue(_seconds(*times.groups()[:3]), _seconds(*times.groups()[3:]), []), []
            cues.append(cue)
        elif _looks_like_times(TAGS.sub("", line)):
            raise ValueError(
                f"{source}, line {number}: {line.strip()[:80]!r} looks like the times of a cue, but is none; they are "
                "written 00:00:01.500 --> 00:00:04.000"
            )
        elif not line and strict_blocks and cue is not None:
            _close(cue, raw, next_follows=False)
            cue = None
        else:
            raw.append(line)
    _close(cue, raw, next_follows=False)
    return cues


def _looks_like_times(line: str) -> bool:
    """Whether a line is meant for times: `-->` and a digit, or another arrow and a clock; `turn 90 -> 180` is text."""
    return bool(re.search(r"\d", line) if "-->" in line else ARROW.search(line) and CLOCK.search(line))


def _close(cue: _Cue | None, raw: list[str], *, next_follows: bool) -> None:
    """Give a cue its text; the number of the next cue, the last line before it, is none."""
    if cue is None:
        return
    while raw and not raw[-1].strip():
        raw.pop()
    if next_follows and raw and raw[-1].strip().isdecimal():
        raw.pop()
    cue.lines = [line for line in map(_plain, raw) if line]


def _plain(line: str) -> str:
    return " ".join(html.unescape(TAGS.sub("", line)).translate(INVISIBLE).split())


def _seconds(hours: str | None, minutes: str, seconds: str) -> float:
    return round(int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds.replace(",", ".")), 3)


def _without_carried(cues: list[_Cue]) -> tuple[list[_Cue], int]:
    """Leave out lines that only stand there because they stood there before, where that is the file's way."""
    spoken = [cue for cue in cues if cue.lines]
    repeats = sum(b.lines[0] == a.lines[-1] for a, b in itertools.pairwise(spoken))
    if len(spoken) < 3 or repeats < ROLLING * (len(spoken) - 1):
        return cues, 0
    kept: list[_Cue] = []
    shown: list[str] = []
    for cue in cues:
        new = cue.lines[_carried(shown, cue.lines) :]
        if cue.lines and not new and kept:
            kept[-1].end = max(kept[-1].end, cue.end)
        else:
            kept.append(_Cue(cue.start, cue.end, new))
        shown = cue.lines or shown
    return kept, len(cues) - len(kept)


def _carried(shown: list[str], lines: list[str]) -> int:
    """Count the lines at the top that are the last ones of what was shown before."""
    return next((count for count in range(len(lines), 0, -1) if lines[:count] == shown[-count:]), 0)
