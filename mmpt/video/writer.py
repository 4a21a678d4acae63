"""Video out: frames to an H.264 file, for clips that this package renders itself."""

import os
from collections.abc import Iterable
from fractions import Fraction

import av
import numpy as np

from mmpt.utils.files import atomic_path


def write_video(path: str | os.PathLike[str], frames: Iterable[np.ndarray], *, fps: float = 30) -> None:
    """Encode frames, one after the other.

    Args:
        path: the file to write; its ending says the container. It is whole or absent.
        frames: uint8 (height, width, 3) each, all of one size, with even height and width.
        fps: frames per second.

    Raises:
        ValueError: there are no frames.
    """
    rate = Fraction(fps).limit_denominator(1001)
    with atomic_path(path) as temporary, av.open(str(temporary), "w") as container:
        stream = None
        for array in frames:
            if stream is None:
                stream = container.add_stream("libx264", rate=rate, options={"crf": "23", "preset": "veryfast"})
                stream.height, stream.width = array.shape[:2]
                stream.pix_fmt = "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(array, format="rgb24")))
        if stream is None:
            raise ValueError(f"no frames for {path}; a video takes at least one")
        container.mux(stream.encode())
