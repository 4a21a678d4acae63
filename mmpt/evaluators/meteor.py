"""METEOR, by the programme that defines it: it brings its own stems, synonyms and paraphrases, and needs Java."""

import importlib.util
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

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
    programme = _programme()
    assert programme is not None and why_absent() is None, "asked for only where it is there"
    lines = [
        "SCORE" + "".join(SEPARATOR + _clean(text) for text in (*truths, caption))
        for caption, truths in zip(captions, references, strict=True)
    ]
    command = ["java", MEMORY, "-jar", str(programme), "-", "-", "-stdio", "-l", "en", "-norm"]
    done = subprocess.run(command, input="\n".join([*lines, ""]), capture_output=True, text=True, encoding="utf-8")
    rows = [[float(number) for number in line.split()] for line in done.stdout.splitlines()]
    if done.returncode or len(rows) != len(captions) or any(len(row) != METEOR_COLUMNS for row in rows):
        said = (done.stderr or done.stdout).strip()[-300:]
        raise RuntimeError(
            f"METEOR stopped with exit code {done.returncode} after {len(rows)} of {len(captions)} captions: {said}"
        )
    counts = np.array(rows).reshape(len(rows), METEOR_COLUMNS)
    # a caption that is its reference, word by word, is in one piece: the programme does not count that as a chunk
    whole = (counts[:, 20] == 1) & (counts[:, [21, 22]] == counts[:, [0, 1]]).all(axis=1)
    counts[whole, 20] = 0
    return counts


def _programme() -> Path | None:
    found = importlib.util.find_spec(PACKAGE)
    places = (found.submodule_search_locations or ()) if found else ()
    files = (Path(place) / "meteor" / "meteor-1.5.jar" for place in places)
    return next((file for file in files if file.is_file()), None)


def _clean(text: str) -> str:
    return " ".join(text.replace("|||", " ").split())
