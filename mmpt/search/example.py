"""A part of a video as a query: what looks like it?"""

import math
import os
from dataclasses import replace

import numpy as np

from mmpt.models.scorer import Scorer
from mmpt.search.copies import holds
from mmpt.search.library import VideoLibrary
from mmpt.search.records import VideoRecord
from mmpt.search.sources import absolute
from mmpt.utils.names import normal_name
from mmpt.video.features import Progress


def example_vector(
    library: VideoLibrary,
    video: str | os.PathLike[str],
    start: float = 0.0,
    end: float | None = None,
    *,
    on_progress: Progress | None = None,
) -> np.ndarray:
    """Encode a part of a video, to search for what looks like it.

    What all windows of the library have in common is taken out of the vector: it would favour long vectors, whatever
    they show.

    Args:
        library: where it is going to be looked for.
        video: a file, or the id of a video of the library. Of the library's own videos nothing is decoded.
        start: where the part begins, in seconds.
        end: where it ends; by default the video's end.
        on_progress: called with the number of seconds whose features are computed so far.

    Returns:
        float32 (D,), for `mmpt.search.query.Query.vector`.

    Raises:
        FileNotFoundError: there is no such file nor id, or the video network's weights are missing.
        ValueError: the part is empty or lies behind the end, or the file is no readable video.
    """
    record = _record(library, video)
    if record is not None:
        tokens = library.store.tokens(record.id)
        low, high = _seconds(video, len(tokens), start, end)
        return tokens[low:high].astype(np.float32).mean(axis=0) - library.matrix.snapshot().mean
    path = absolute(video)
    if not path.is_file():
        raise FileNotFoundError(
            f"{os.fspath(video)!r} is neither a file nor the id of a video of the library at {library.address}; "
            "mmpt library stats --videos lists the ids"
        )
    vector = encode_part(library.scorer, path, start, end, on_progress=on_progress)
    return vector - library.matrix.snapshot().mean


def encode_part(
    scorer: Scorer,
    video: str | os.PathLike[str],
    start: float = 0.0,
    end: float | None = None,
    *,
    on_progress: Progress | None = None,
) -> np.ndarray:
    """Encode a part of a file; for the rest see `example_vector`.

    Args:
        scorer: the model.
        video: the file.
        start: in seconds.
        end: in seconds.
        on_progress: as for `example_vector`.

    Returns:
        float32 (D,): of a part longer than the model takes at once, the mean of its windows by their lengths.

    Raises:
        FileNotFoundError: as for `example_vector`.
        ValueError: likewise.
    """
    features = scorer.features(video, on_progress=on_progress)
    low, high = _seconds(video, len(features.array), start, end)
    encoded = scorer.encode_video(replace(features, array=features.array[low:high]))
    lengths = [last - first for first, last in encoded.windows]
    return np.average(encoded.vectors.numpy(), axis=0, weights=lengths).astype(np.float32)


def _record(library: VideoLibrary, video: str | os.PathLike[str]) -> VideoRecord | None:
    """The library's record of a video, where it has one that is not out of date."""
    records = library.store.videos()
    if os.fspath(video) in records:
        return records[os.fspath(video)]
    path = absolute(video)
    name = normal_name(str(path))
    found = next((r for r in records.values() if name in map(normal_name, r.paths)), None)
    if found is None or not path.is_file() or path.stat().st_mtime == found.modified:
        return found
    return found if holds(str(path), found.id) else None


def _seconds(video: str | os.PathLike[str], length: int, start: float, end: float | None) -> tuple[int, int]:
    """The whole seconds that a part touches."""
    until = float(length) if end is None else min(end, float(length))
    if not (math.isfinite(start) and 0 <= start < until):
        told = "its end" if end is None else f"{end:g} s"
        raise ValueError(
            f"the part of {os.fspath(video)} from {start:g} s to {told} is empty; the video has {length} s: give a "
            "beginning before its end, as in clip.mp4@3-8"
        )
    return math.floor(start), math.ceil(until)
