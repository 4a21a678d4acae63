"""Subtitle files, .srt and .vtt, -> captions.

Both are read by one rule, for files in the world keep neither format strictly: a line with `-->` begins a cue, and
what follows is its text, up to an empty line (.vtt) or to the next cue (.srt, where an empty line may be text).
"""

import hashlib
import html
import itertools
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from mmpt.text.captions import LATEST, Captions, check_times
from mmpt.text.languages import language_code, may_be_a_word, subtags
from mmpt.utils.names import normal_name
from mmpt.utils.walking import walk_files

SUFFIXES = (".srt", ".vtt")
MAX_FILE_BYTES = 64 << 20  # a day of speech takes about 2 MB
ROLLING = 0.5  # the part of the cues that begin with lines of the one before, from which on these are taken for carried

STRETCH = 4  # cues in a row that repeat lines of the one before above new ones, whatever the other cues do

LINE_END = re.compile(r"\r\n|\n|\r")  # and no other: str.splitlines ends lines at U+2028, U+0085 and more
_TIME = r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:[.,]\d*)?)"
TIMES = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s(.*))?", re.DOTALL)
SETTINGS = re.compile(r"(?:align|line|position|size|vertical|region)\s*:.*|(?:\w+:\S+(?:\s+|$))+", re.I | re.S)
# times in an odd form
ARROW, CLOCK = re.compile(r"[-=\u2010-\u2015\u2212]\s*>|\u2192"), re.compile(r"\d:\d\d")
LETTER = re.compile(r"[^\W\d_]")
_WORDS = "font|span|div|br|em|strong|lang|ruby|rt|rp|tt|sub|sup|big|small|strike|del|ins|center"
# <c.red>, <v Ann>, <i>, <font color=red>, <00:00:01.500>, {\\an8}; "a<b and c>d" is none: a tag of one letter takes no
# words, but for the name of a voice
TAGS = re.compile(
    rf"</(?:[abcipsuv]|{_WORDS})\s*>"
    rf"|<(?P<word>{_WORDS})\b[^<>\n]*>"
    r"|<(?P<letter>[abcipsu])(?:\.[^\s<>]*)?(?:[ \t]+[\w:-]+[ \t]*=[^<>\n]*)?[ \t]*/?>"
    r"|<(?P<voice>v)(?:\.[^\s<>]*)?(?:[ \t][^<>\n]*)?>"
    r"|<\d+(?::\d\d){1,2}(?:[.,]\d*)?>"
    r"|\{\\[^{}\n]*\}",
    re.IGNORECASE,
)
CLOSING = re.compile(r"</([abcipsuv])\s*>", re.IGNORECASE)
INVISIBLE = dict.fromkeys(map(ord, "\0\u200b\u200e\u200f\u202a\u202b\u202c\ufeff"))
NO_TEXT = re.compile(r"(?:WEBVTT|NOTE|STYLE|REGION)(?:\s|$)")  # begins a block without text in a .vtt file
BYTE_ORDER_MARKS = {  # the longer first: that of UTF-32 begins with that of UTF-16
    b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16",
}  # fmt: skip
WIDE = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
SEPARATORS = " ._-(["  # that may stand between a video's name and what a subtitle file's name says besides
PARTIAL = 3
ENDINGS = {"avi", "flac", "m4a", "m4v", "mkv", "mov", "mp3", "mp4", "ogg", "wav", "webm"}  # clip.mp4.srt, from Whisper
KINDS = {  # what a name says besides the language; of several files the one of the lowest number is taken
    **dict.fromkeys(("captions", "default", "full", "orig", "original", "subs", "subtitles", *ENDINGS), 0),
    **dict.fromkeys(("cc", "closedcaptions", "hi", "sdh"), 1),  # with sounds, for those who do not hear them
    **dict.fromkeys(("asr", "auto", "autogen", "generated", "translated"), 2),
    **dict.fromkeys(("commentary", "forced", "foreign", "signs", "songs"), PARTIAL),  # not all that is said
}
ALONE = ENDINGS | {"cc", "default", "forced", "sdh"}  # of these, without a language, at the end of any name


@dataclass(frozen=True)
class Subtitles:
    """What a subtitle file says.

    Attributes:
        captions: one for each cue that is left, in the file's order.
        cues: in the file.
        carried: cues of which no line was new: on rolling subtitles the last lines stay while the next appears.
        stray: a sentence about lines that stand in no cue and are left out; empty where there are none.
        digest: SHA-256 of the file, in hexadecimal digits; empty of a text.
    """

    captions: Captions
    cues: int
    carried: int
    stray: str = ""
    digest: str = ""


class SubtitleFile(NamedTuple):
    """A subtitle file of a video, and what its name says.

    Attributes:
        path: the file.
        language: as the name has it, such as "en-US"; empty where it has none.
        kind: of KINDS; 0 where the name says nothing.
    """

    path: Path
    language: str = ""
    kind: int = 0


@dataclass
class _Cue:
    start: float
    end: float
    lines: list[str] = field(default_factory=list)  # as they are in the file, then as text
    ended: bool = False  # by an empty line


def read_subtitles(path: Path, *, encoding: str | None = None) -> Subtitles:
    """Read a subtitle file.

    Args:
        path: an .srt or .vtt file in UTF-8, UTF-16 or UTF-32.
        encoding: of a file that is in none of them; without it such a file is refused.

    Returns:
        Its captions, without marks of style.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a file or too large, is in another encoding, holds no cue, a line has times in another
            form or that no video has, or a cue ends before it starts.
    """
    if path.exists() and not path.is_file():  # a pipe, which would be waited for
        raise ValueError(f"{path} is not a file")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(
            f"{path} takes {path.stat().st_size:,} bytes, and subtitle files take {MAX_FILE_BYTES:,} at most"
        )
    raw = path.read_bytes()
    text = _decoded(raw, path, encoding)
    strict = path.suffix.lower() == ".vtt" or text.startswith("WEBVTT")
    return replace(
        parse_subtitles(text, strict_blocks=strict, source=str(path)), digest=hashlib.sha256(raw).hexdigest()
    )


def parse_subtitles(text: str, *, strict_blocks: bool, source: str = "the text") -> Subtitles:
    """Read the text of a subtitle file.

    Args:
        text: all of it.
        strict_blocks: an empty line ends a cue, as in .vtt.
        source: named in messages.

    Returns:
        Its captions.

    Raises:
        ValueError: it holds no cue, a line has times in another form or that no video has, or a cue ends before it
            starts.
    """
    cues, stray = _cues(LINE_END.split(text), strict_blocks=strict_blocks, source=source)
    if not cues:
        raise ValueError(f"{source} holds no cue; one begins with a line such as 00:00:01.500 --> 00:00:04.000")
    for cue in cues:
        cue.lines = _plain(cue.lines)
    try:
        check_times(_as_captions(cues))
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    kept, carried = _without_carried(cues)
    return Subtitles(_as_captions(kept), len(cues), carried, _tell_stray(stray, source, strict_blocks))


def find_subtitles(
    folder: Path, *, language: str | None = None, videos: Collection[str] = ()
) -> tuple[dict[str, Path], dict[str, str]]:
    """Look for subtitle files in a folder and the folders below it.

    Args:
        folder: where to look.
        language: to choose by, where names say one, as `best_files` does.
        videos: ids of videos that there are. A file is of the one of the longest name that its own begins with; of the
            others the name alone must say which part of it is the video's.

    Returns:
        Video id -> its file, sorted by id; and id -> reason for videos of which several files are left, or whose name
        only begins the name of a file.

    Raises:
        OSError: a folder cannot be read.
        ValueError: there is no such file, or none in this language.
    """
    known: dict[str, list[str]] = {}
    for video in videos:
        known.setdefault(normal_name(video), []).append(video)
    candidates: dict[str, list[SubtitleFile]] = {}
    unclear: dict[str, list[Path]] = {}
    for path in _walk(folder):
        owner = next((beginning for beginning in beginnings(path) if beginning in known), None)
        if owner is None:
            name, file = _guessed(path)
        else:
            name = next((video for video in known[owner] if path.stem.startswith(video)), known[owner][0])
            file = file_of(path, owner)
        if file is not None:
            candidates.setdefault(name, []).append(file)
        else:
            unclear.setdefault(name, []).append(path)
    if not candidates and not unclear:
        raise ValueError(f"{folder} holds no subtitle file; they end in .srt or .vtt")
    found: dict[str, Path] = {}
    refused = {name: unclear_reason(name, paths) for name, paths in unclear.items() if name not in candidates}
    for name in sorted(candidates):
        paths = ", ".join(str(file.path) for file in candidates[name])
        files = best_files(candidates[name], language or "")
        alike = [file for file in candidates[name] if files and _level(file) == _level(files[0])]
        if len(files) == 1 and (language or len({language_code(file.language) for file in alike}) == 1):
            found[name] = files[0].path
        elif files:
            refused[name] = f"it has several subtitle files: {paths}; choose with --language, or take the others away"
        else:
            refused[name] = f"none of its subtitle files is in the language {language!r}: {paths}"
    return found, refused


def best_files(files: Collection[SubtitleFile], language: str) -> list[SubtitleFile]:
    """Choose among the subtitle files of one video.

    Those that hold all that is said come first; then those of the language that is asked for, or else those that name
    none. Where none is asked for, those that name none come first, and the others go by their language. Of these, the
    words alone come before those with sounds, and these before automatic ones; then the exact tag, then the language
    alone, then its regional forms.

    Args:
        files: to choose from.
        language: that is asked for, for example ``"en"``; empty for any.

    Returns:
        The best, in order of their names; several where nothing tells them apart, none where all are in others.
    """
    ranked = sorted((rank, file.path, file) for file in files if (rank := file_rank(file, language)) is not None)
    return [file for rank, _, file in ranked if rank == ranked[0][0]]


def beginnings(path: Path) -> Iterator[str]:
    """The names that a video may have whose subtitle file this is: the whole name, then ever shorter beginnings.

    Each also with a dot, for videos whose names end in one: programs take it for the dot of the ending.
    """
    name = normal_name(path.stem)
    for place in range(len(name), 0, -1):
        if place == len(name) or name[place] in SEPARATORS:
            yield name[:place]
            yield f"{name[:place]}."


def file_of(path: Path, video: str) -> SubtitleFile | None:
    """The subtitle file, as its name after the video's says; None if that is not understood."""
    rest = normal_name(path.stem)[len(video) :]
    return _read_rest(path, rest) if rest else SubtitleFile(path)


def unclear_reason(video: str, paths: Iterable[Path]) -> str:
    """The message about files that may be a video's but are not used."""
    named = ", ".join(map(str, paths))
    return (
        f"the name of {named} begins with the video's, but the rest is not a known language, so it is left out; if "
        f"it is the video's, rename it to {video}.en.srt or the like"
    )


def video_name(stem: str) -> tuple[str, str]:
    """Part the name of a subtitle file into the video's name and the language.

    Args:
        stem: the file's name without its ending, for example ``"clip.en"``.

    Returns:
        For example ``("clip", "en")``; the language is empty where the name says none.
    """
    name, file = _guessed(Path(f"{stem}.srt"))
    return name, file.language


def _guessed(path: Path) -> tuple[str, SubtitleFile]:
    """Split a file's name into video and language if its video is not known."""
    name = normal_name(path.stem)
    for found in re.finditer(r"(?<=.)\.(?=\S+$)", name):
        file = _read_rest(path, name[found.start() :])
        words = name[found.end() :].lower().split(".")
        if file and (ALONE.issuperset(words) or (file.language and not may_be_a_word(file.language))):
            return name[: found.start()], file
    return name, SubtitleFile(path)


def _read_rest(path: Path, rest: str) -> SubtitleFile | None:
    """Understand what stands behind the video's name: a language and KINDS, such as ".en.sdh", ".forced", "_en[cc]"."""
    language, kind = "", 0
    for token in re.split(r"[.\s()\[\]]+", rest.lstrip(SEPARATORS).rstrip(" )]")):
        word = token.lower()
        if word in KINDS and (language or word != "hi"):  # alone, hi is Hindi
            kind = max(kind, KINDS[word])
        elif not language and language_code(token):
            language = token
            kind = max(kind, *(KINDS.get(part, 0) for part in ("", *subtags(token))))
        elif not (language and re.fullmatch(r"\d{1,2}", token)):  # clip.en.2
            return None
    return SubtitleFile(path, language, kind)


def file_rank(file: SubtitleFile, wanted: str) -> tuple[bool | int | str, ...] | None:
    """The place of a file among a video's; smaller is better, None is not to be taken."""
    code, tag, asked = (language_code(file.language), *(t.lower().replace("_", "-") for t in (file.language, wanted)))
    partial, named = _level(file)
    if not wanted:
        return partial, named, file.kind, False, code, bool(subtags(tag))
    if named and code != (language_code(asked) or asked):
        return None
    return partial, not named, file.kind, tag != asked, "", bool(subtags(tag))


def _level(file: SubtitleFile) -> tuple[bool, bool]:
    """Two flags: the file holds only part of the speech, and its name has a language."""
    return file.kind == PARTIAL, bool(file.language)


def _walk(folder: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise error

    return sorted(path for path in walk_files(folder, refuse) if path.name.lower().endswith(SUFFIXES))


def _as_captions(cues: list[_Cue]) -> Captions:
    return Captions([cue.start for cue in cues], [cue.end for cue in cues], [" ".join(cue.lines) for cue in cues])


def _decoded(raw: bytes, path: Path, encoding: str | None) -> str:
    marked = next((name for mark, name in BYTE_ORDER_MARKS.items() if raw.startswith(mark)), None)
    if marked is None and b"\0" in raw and b"-->" not in raw:  # two or four bytes a character, and no mark
        for name in WIDE:
            text = raw.decode(name, errors="ignore")
            if "-->" in text:
                marked = name
                break
    encodings = [marked] if marked else ["utf-8", *([encoding] if encoding else [])]
    for name in encodings:
        try:
            return raw.decode(name).lstrip("\ufeff")
        except UnicodeDecodeError as error:
            last = error
        except LookupError as error:
            raise ValueError(f"the encoding {name!r} is not known; for example cp1252 is") from error
    raise ValueError(
        f"{path} is not in {' or '.join(encodings)} (byte {last.start:,}); save it in UTF-8, or say its encoding with "
        "--encoding, for example --encoding cp1252"
    )


def _cues(lines: Iterable[str], *, strict_blocks: bool, source: str) -> tuple[list[_Cue], list[tuple[int, str]]]:
    """Split lines into cues; return these, and the lines outside all cues with their numbers."""
    cues: list[_Cue] = []
    head: list[str] = []  # before the first cue
    outside: list[tuple[int, str]] = []  # of cues, since the last one ended
    stray: list[tuple[int, str]] = []
    for number, line in enumerate(lines, 1):
        if times := TIMES.fullmatch(line):
            head = head if cues else [before for _, before in outside]
            stray += _stray(outside, strict_blocks=strict_blocks, before_cue=True)
            outside = []
            cues.append(_cue(times, f"{source}, line {number}: {line.strip()[:80]!r}"))
        elif _looks_like_times(TAGS.sub("", line)):
            raise ValueError(
                f"{source}, line {number}: {line.strip()[:80]!r} looks like the times of a cue, but is none; they are "
                "written 00:00:01.500 --> 00:00:04.000"
            )
        elif not cues or cues[-1].ended:
            outside.append((number, line))
        elif strict_blocks and not line:
            cues[-1].ended = True
        else:
            cues[-1].lines.append(line)
    _drop_numbers(head, cues)
    return cues, stray + _stray(outside, strict_blocks=strict_blocks, before_cue=False)


def _cue(times: re.Match[str], where: str) -> _Cue:
    start, end = (_seconds(*times.groups()[first : first + 3]) for first in (0, 3))
    if max(start, end) > LATEST:
        raise ValueError(f"{where} is a time after {LATEST:,.0f} seconds, later than any video; mend the line")
    rest = (times[7] or "").strip()
    return _Cue(start, end, [rest] if rest and not SETTINGS.fullmatch(rest) else [])


def _seconds(hours: str | None, minutes: str, seconds: str) -> float:
    return round(float(hours or 0) * 3600 + int(minutes) * 60 + float(seconds.replace(",", ".")), 3)


def _looks_like_times(line: str) -> bool:
    """True if a line is meant as times; the words of `while (x --> 0)` and `from 0:30 -> 1:00` show that it is not."""
    arrow = ARROW.search(line)
    if arrow is None:
        return False
    if "-->" in line:
        return bool(CLOCK.search(line) or (re.search(r"\d", line) and not LETTER.search(line)))
    return bool(CLOCK.search(line) and not LETTER.search(line, 0, arrow.start()))


def _stray(outside: list[tuple[int, str]], *, strict_blocks: bool, before_cue: bool) -> list[tuple[int, str]]:
    """Of the lines between two cues those that are neither a header, a note nor the name of the next cue."""
    found = []
    for empty, group in itertools.groupby(outside, lambda entry: not entry[1].strip()):
        block = [] if empty else list(group)
        if block and not NO_TEXT.match(block[0][1]):
            found += block
    if before_cue and found and (found[-1] == outside[-1] if strict_blocks else _is_number(found[-1][1])):
        found.pop()
    return found


def _tell_stray(stray: list[tuple[int, str]], source: str, strict_blocks: bool) -> str:
    if not stray:
        return ""
    number, line = stray[0]
    count = "1 line is" if len(stray) == 1 else f"{len(stray):,} lines are"
    why = ", for an empty line ends a cue in .vtt" if strict_blocks else ""
    return f"{source}: {count} in no cue and left out{why}; the first is line {number:,}, {line.strip()[:60]!r}"


def _drop_numbers(head: list[str], cues: list[_Cue]) -> None:
    """Take the numbers of cues out of the text of the cue before; where a file's cues have none, a number is said."""
    first = _last_number(head)
    spaced = first is not None and first.apart
    found = [(cue, _last_number(cue.lines)) for cue in cues[:-1] if not cue.ended]
    numbered = sum(number is not None and not number.apart and number.place > 0 for _, number in found)
    if first is None and (not numbered or 2 * numbered < len(found)):
        return
    expected = first.following if first is not None else ""
    for cue, number in found:
        if number is None:
            continue
        said_before = any(line.strip() for line in cue.lines[: number.place])
        if not number.apart or spaced or (number.text == expected and said_before):
            del cue.lines[number.place :]
            expected = number.following


class _Number(NamedTuple):
    """A number that is the last line with text.

    Attributes:
        place: of the line.
        text: the number.
        apart: whether empty lines follow.
    """

    place: int
    text: str
    apart: bool

    @property
    def following(self) -> str:
        """The next number; empty where it is too large to be a cue's."""
        return str(int(self.text) + 1) if len(self.text) < 10 else ""


def _last_number(lines: list[str]) -> _Number | None:
    place = next((place for place in range(len(lines) - 1, -1, -1) if lines[place].strip()), None)
    if place is None or not _is_number(lines[place]):
        return None
    return _Number(place, lines[place].translate(INVISIBLE).strip(), place < len(lines) - 1)


def _is_number(line: str) -> bool:
    return line.translate(INVISIBLE).strip().isdecimal()


def _plain(lines: list[str]) -> list[str]:
    """The text of a cue, without marks of style, entities and empty lines."""
    text = "\n".join(lines)
    closed = {name.lower() for name in CLOSING.findall(text)}

    def drop(tag: re.Match[str]) -> str:
        name = (tag["letter"] or tag["voice"] or "").lower()
        if name and name not in closed and text[max(tag.start() - 1, 0) : tag.start()].isalnum():  # "a<b>c"
            return tag[0]
        return "\n" if (tag["word"] or "").lower() == "br" else ""

    plain = (_unescaped(line).translate(INVISIBLE) for line in TAGS.sub(drop, text).split("\n"))
    return [words for line in plain if (words := " ".join(line.split()))]


def _unescaped(line: str) -> str:
    try:
        return html.unescape(line)
    except ValueError:  # &#, and thousands of digits
        return line


def _without_carried(cues: list[_Cue]) -> tuple[list[_Cue], int]:
    """Leave out lines that only stand there because they stood there before, where that is the file's way."""
    rolling = _rolling(cues)
    kept: list[_Cue] = []
    shown: list[str] = []
    for cue in cues:
        count, grown = _carried(shown, cue.lines) if id(cue) in rolling else (0, False)
        if grown and kept[-1].lines:
            kept[-1].lines[-1] = cue.lines[count]
            kept[-1].end = max(kept[-1].end, cue.start)
            count += 1
        new = cue.lines[count:]
        if cue.lines and not new and kept:
            kept[-1].end = max(kept[-1].end, cue.end)
        else:
            kept.append(_Cue(cue.start, cue.end, new))
        shown = cue.lines or shown
    return kept, len(cues) - len(kept)


def _rolling(cues: list[_Cue]) -> set[int]:
    """The cues whose upper lines may be carried, by identity: in all of a file, or in stretches, as of live news."""
    spoken = [cue for cue in cues if cue.lines]
    pairs = [(b, _carried(a.lines, b.lines)) for a, b in itertools.pairwise(spoken)]
    if len(pairs) > 1 and sum(any(carried) for _, carried in pairs) >= ROLLING * len(pairs):
        return {id(cue) for cue, _ in pairs}
    found: set[int] = set()
    for rolls, stretch in itertools.groupby(pairs, lambda pair: 0 < pair[1][0] < len(pair[0].lines)):
        rows = [id(cue) for cue, _ in stretch]
        found.update(rows if rolls and len(rows) >= STRETCH else ())
    return found


def _carried(shown: list[str], lines: list[str]) -> tuple[int, bool]:
    """Count the lines at the top that are the last ones of what was shown before; and say whether the next one grew.

    One grows where words appear one by one below other lines: of "a b c d" and "b c d e" the count is 3, of "a b c" and
    "a b cd" it is 2, and "c" grew.
    """
    for count in range(min(len(shown), len(lines)), 0, -1):
        if lines[:count] == shown[-count:]:
            return count, False
        if count > 1 and lines[: count - 1] == shown[-count:-1] and lines[count - 1].startswith(shown[-1]):
            return count - 1, True
    return 0, False
