"""Pictures out: frames to an H.264 file, for clips that this package renders itself, and one picture to a JPEG."""

import os
from collections.abc import Iterable
from fractions import Fraction

import av
import numpy as np
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorRange, Colorspace

from mmpt.utils.files import atomic_path

JPEG_QUALITY = 4  # of libav's scale from 2, the best, to 31


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


def encode_jpeg(picture: np.ndarray) -> bytes:
    """Encode a picture.

    Args:
        picture: uint8 (height, width, 3), in the order red, green, blue.

    Returns:
        A JPEG file.
    """
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
    # What reads a JPEG takes its colours to be those of BT.601 in full range.
    frame = frame.reformat(format="yuvj420p", dst_colorspace=Colorspace.ITU601, dst_color_range=ColorRange.JPEG)
    encoder = CodecContext.create("mjpeg", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.height, encoder.width, encoder.pix_fmt = *picture.shape[:2], "yuvj420p"
    encoder.time_base = Fraction(1)
    encoder.qmin = encoder.qmax = JPEG_QUALITY
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode()])
