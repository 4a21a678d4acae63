"""Videos of random vectors, for stores that no model needs."""

from typing import Any

import numpy as np

from mmpt.search.records import Caption, VideoRecord
from mmpt.search.store_tables import Entry


def random_entry(number: int, *, dim: int = 8, windows: int = 3, captions: int = 2) -> Entry:
    """Make a video of random vectors; the same number makes the same one."""
    draws = np.random.default_rng(number)
    seconds = windows + 2
    record = VideoRecord(
        id=f"{number:016x}",
        path=f"/videos/{number:05}.mp4",
        modified=float(number),
        added=1e9 + number,
        seconds=seconds,
        windows=windows,
        captions=captions,
    )
    return Entry(
        record=record,
        windows=np.array([[start, start + 2] for start in range(windows)], np.int32),
        vectors=draws.normal(size=(windows, dim)).astype(np.float16),
        tokens=draws.normal(size=(seconds, dim)).astype(np.float16),
        captions=[Caption(float(place), place + 1.0, f"word{number} part{place} pancake") for place in range(captions)],
    )


def about_store(dim: int = 8) -> dict[str, Any]:
    """What a store of such videos is made with."""
    model = {"name": "random", "sha256": "0" * 64}
    return {"model": model, "backbone": "grid", "version": "grid-1", "l2_normalized": True, "dim": dim, "windows": [4]}
