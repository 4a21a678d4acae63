"""METEOR, by the programme that defines it: it brings its own stems, synonyms and paraphrases, and needs Java."""

import atexit
import functools
import importlib.util
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np

from mmpt.evaluators.caption_statistics import METEOR_COLUMNS

PACKAGE = "pycocoevalcap"  # carries the programme
SEPARATOR = " ||| "
MEMORY = "-Xmx2G"  # of Java; the table of paraphrases takes most of it


def why_absent() -> str | None:
    """Say why METEOR cannot be computed.

    Returns:
        What is missing and how to get it; None where nothing is.
    """
    if shutil.which("java") is None:
        return "Java is not installed: install a Java runtime, for example `apt-get install default-jre-headless`"
    if _programme() is None:
        return f"{PACKAGE} is not installed: get it with `pip install 'mmpt[caption]'`"
    return None


def meteor_counts(captions: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """Count what METEOR is made of; see `caption_statistics.meteor`.

    Args:
        captions: N captions, their words separated by spaces.
        references: theirs.

    Returns:
        float (N, 23), against the reference that fits best.

    Raises:
        RuntimeError: the programme fails.
    """
    assert why_absent() is None, "asked for only where it is there"
    rows = [
        _ask("SCORE" + "".join(SEPARATOR + _clean(text) for text in (*truths, caption)))
        for caption, truths in zip(captions, references, strict=True)
    ]
    counts = np.array(rows).reshape(len(rows), METEOR_COLUMNS)
    # a caption that is its reference, word by word, is in one piece: the programme does not count that as a chunk
    whole = (counts[:, 20] == 1) & (counts[:, [21, 22]] == counts[:, [0, 1]]).all(axis=1)
    counts[whole, 20] = 0
    return counts


def _ask(line: str) -> list[float]:
    running, errors = _running()
    assert running.stdin is not None and running.stdout is not None, "both are pipes"
    try:
        running.stdin.write(line + "\n")
        running.stdin.flush()
        answer = running.stdout.readline()
    except BrokenPipeError:
        answer = ""
    try:
        row = [float(number) for number in answer.split()]
    except ValueError:
        row = []
    if len(row) == METEOR_COLUMNS:
        return row
    _stop()
    errors.seek(0)
    said = " ".join((answer + errors.read()).split())[-300:]
    raise RuntimeError(
        f"the METEOR programme stopped at {line[:100]!r} ({said or 'it said nothing'}); see that "
        f"`java {MEMORY} -version` works and that there is enough memory"
    )


@functools.cache
def _running() -> tuple[subprocess.Popen[str], IO[str]]:
    """The programme, started once a process, since it reads its tables for seconds; and the file of its complaints."""
    errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - lives as long as it
    command = ["java", MEMORY, "-jar", str(_programme()), "-", "-", "-stdio", "-l", "en", "-norm"]
    started = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, encoding="utf-8"
    )
    return started, errors


@atexit.register
def _stop() -> None:
    """End the programme if it runs; the next question starts it again."""
    if _running.cache_info().currsize:
        running, _ = _running()
        running.kill()
        running.wait()
        _running.cache_clear()


def _programme() -> Path | None:
    found = importlib.util.find_spec(PACKAGE)
    places = (found.submodule_search_locations or ()) if found else ()
    files = (Path(place) / "meteor" / "meteor-1.5.jar" for place in places)
    return next((file for file in files if file.is_file()), None)


def _clean(text: str) -> str:
    return " ".join(text.replace("|||", " ").split())
