"""Seeded arrays that the recorded numbers of S3D were made from; written after the formulas in 05_s3d/s3d.json."""

import math
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

WORDS = 66_249
KNOWN_WORDS = (
    *("the", "a", "an", "of", "to", "in", "and", "or", "on", "with", "for", "from", "into"),
    *("chop", "cut", "slice", "peel", "pour", "mix", "stir", "fry", "boil", "bake", "grill", "roast"),
    *("add", "put", "take", "make", "cook"),
    *("onion", "onions", "tomato", "potato", "chicken", "beef", "fish", "rice", "pasta", "bread", "butter", "oil"),
    *("salt", "pepper", "sugar", "water", "pan", "pot", "bowl", "oven", "knife"),
    *("you", "your", "how", "don't", "it's"),
)


def s3d_weights(shapes: Mapping[str, Sequence[int]], seed: int) -> dict[str, np.ndarray]:
    """Make every entry of S3D's state dict.

    Args:
        shapes: entry -> shape.
        seed: of the recorded set.

    Returns:
        entry -> float32 array (int64 zero for the counters of BatchNorm).
    """
    return {key: _weight(key, tuple(shape), seed) for key, shape in shapes.items()}


def s3d_words(seed: int) -> np.ndarray:
    """Make the array of s3d_dict.npy.

    Args:
        seed: of the recorded set.

    Returns:
        (66249,) unicode strings.
    """
    words = [f"w{index:05d}" for index in range(WORDS)]
    for place, word in enumerate(KNOWN_WORDS):
        words[100 + 37 * place + seed % 29] = word
    return np.array(words)


def s3d_video(seed: int, b: int, t: int, h: int, w: int) -> np.ndarray:
    """Make clips: slow uniform colour, a flickering 4 x 4 chequer and pixel noise.

    Args:
        seed: of the clip.
        b: clips.
        t: frames.
        h: height, divisible by 4.
        w: width, divisible by 4.

    Returns:
        (b, 3, t, h, w) float32 in [0, 1).
    """
    draw = np.random.default_rng(seed)
    colour = draw.random((b, 3, math.ceil(t / 8), 1, 1), dtype=np.float32)
    chequer = draw.random((b, 3, math.ceil(t / 2), 4, 4), dtype=np.float32) < 0.5
    noise = draw.random((b, 3, t, h, w), dtype=np.float32)
    frames = np.arange(t)
    colour = colour[:, :, frames // 8]
    chequer = chequer.astype(np.float32)[:, :, frames // 2]
    chequer = chequer[:, :, :, np.arange(h) // (h // 4)][..., np.arange(w) // (w // 4)]
    return np.ascontiguousarray(np.float32(0.5) * colour + np.float32(0.35) * chequer + np.float32(0.15) * noise)


def _weight(key: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    noise = np.random.default_rng(zlib.crc32(key.encode()) + seed).standard_normal(shape).astype(np.float32)
    kind = key.rsplit(".", 1)[1]
    if ".bn" in key:
        return _batch_norm(kind, noise)
    if key.endswith("word_embd.weight") or (kind == "bias" and "gating" not in key):
        return np.float32(0.1) * noise
    if kind == "bias":
        return np.float32(2) + np.float32(0.5) * noise
    scale = 1 / math.sqrt(math.prod(shape[1:]))
    if "gating" in key:
        return np.float32(scale) * noise
    if noise.ndim == 5:  # zero mean per filter, so that the output depends on the input
        noise = noise - noise.mean(axis=(1, 2, 3, 4), keepdims=True, dtype=np.float64).astype(np.float32)
        return np.float32(1.8 * scale) * noise
    return np.float32(1.4 * scale) * noise


def _batch_norm(kind: str, noise: np.ndarray) -> np.ndarray:
    tenth = np.float32(0.1)
    if kind == "running_var":
        return np.float32(1) + tenth * np.abs(noise)
    if kind == "weight":
        return np.float32(1) + tenth * noise
    return tenth * noise
