"""What tests of a library ask again and again."""

from pathlib import Path

import pytest

from mmpt.search import ingest
from mmpt.search.library import VideoLibrary


def paths(library: VideoLibrary) -> list[str]:
    return [record.path for record in library.videos()]


def ids(library: VideoLibrary) -> dict[str, str]:
    return {Path(record.path).name: record.id for record in library.videos()}


def encodings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Seconds of each video that is encoded from here on."""
    found: list[int] = []
    encode = ingest.encode

    def counting(scorer, features, lengths):
        found.append(len(features))
        return encode(scorer, features, lengths)

    monkeypatch.setattr(ingest, "encode", counting)
    return found
