"""A narrow S3D that learns from a toy world's narration, or from nothing: what `benchmarks.toy_s3d` compares.

Both read one second at a time, 8 frames of 64 x 64 pixels: the world's own rate, and half of its size.
"""

import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mmpt.cli.progress import count_bar
from mmpt.losses.base import total
from mmpt.losses.contrastive import MILNCELoss
from mmpt.text.captionfiles import read_entries
from mmpt.text.captions import parse_captions
from mmpt.utils.seeding import generator
from mmpt.utils.tables import read_lines
from mmpt.video.backbones.s3d import S3D, S3DConfig
from mmpt.video.backbones.s3d_layers import BYTE
from mmpt.video.backbones.s3d_model import WORD
from mmpt.video.reader import read_frames

WIDTH = 1 / 4  # of the published channels
FPS, SIZE = 8, 64
TEXT = {"word_dim": 64, "text_hidden_dim": 256}
STEPS = 240  # of the pre-training; about 90 seconds of a core
PAIRS = 32  # clips of a step, each of another video
CLIP = 2  # seconds; as the network pools over time, it then reads single ones
CANDIDATES = 4  # captions of a clip: those nearest to it
RATE, WARMUP = 3e-3, 10  # of Adam, in steps; then it falls to zero along a cosine
CALIBRATION = 16  # batches that BatchNorms take their statistics from


@dataclass(frozen=True)
class Narrated:
    """A training video in memory.

    Attributes:
        frames: (T, SIZE, SIZE, 3) uint8, FPS of them a second.
        texts: its captions.
        times: float (captions,), the middle of each, in seconds.
    """

    frames: np.ndarray
    texts: list[str]
    times: np.ndarray


def read_training(world: Path) -> list[Narrated]:
    """Read the videos that a world trains on, with their clean captions.

    Args:
        world: its folder.

    Returns:
        Those with a caption, in the list's order; about 4 MB each.
    """
    wanted = [line for _, line in read_lines(world / "how2/how2_s3d_train.lst")]
    captions = {entry.video_id: entry.value for entry in read_entries(world / "how2/raw_caption_dedup.pkl")}
    found = []
    with count_bar("reading videos", len(wanted)) as advance:
        for number, name in enumerate(wanted, 1):
            said = parse_captions(captions[name], backwards=True)
            middles = [(start + end) / 2 for start, end in zip(said.start, said.end, strict=True)]
            kept = [(text, time) for text, time in zip(said.text, middles, strict=True) if text and text.strip()]
            if kept:
                frames = np.concatenate(list(read_frames(world / "videos" / f"{name}.mp4", FPS, SIZE)))
                found.append(Narrated(frames, [text for text, _ in kept], np.array([time for _, time in kept])))
            advance(number)
    return found


def fresh(videos: Sequence[Narrated], seed: int) -> S3D:
    """Make a narrow network with random weights, and the captions' words as its vocabulary.

    Args:
        videos: what is said.
        seed: of its weights.

    Returns:
        The network; its BatchNorms have seen nothing.
    """
    words = sorted({word for video in videos for text in video.texts for word in WORD.findall(text.lower())})
    config = S3DConfig.narrow(WIDTH, fps=FPS, size=SIZE, vocab_size=len(words) + 1, **TEXT)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = S3D(config, words)
    for layer in model.modules():
        if isinstance(layer, nn.Conv3d):  # which takes two thirds of the time then
            layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last_3d)
    return model


def pretrain(model: S3D, videos: Sequence[Narrated], seed: int, steps: int = STEPS) -> list[float]:
    """Teach a network which captions are said near a clip, any one of which may be right (MIL-NCE).

    Args:
        model: changed in place.
        videos: what to learn from.
        seed: of what is drawn.
        steps: how many.

    Returns:
        The loss of each step.
    """
    loss_of, losses = MILNCELoss(), []
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
    model.train()
    with count_bar("pre-training S3D", steps) as advance:
        for step in range(steps):
            clips, texts = _pairs(videos, generator(seed, step))
            pooled_text = model.encode_words(texts)  # (PAIRS * CANDIDATES, 512)
            loss = total(loss_of(pooled_video=model.get_video_features(clips), pooled_text=pooled_text))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            advance(step + 1)
    return losses


@torch.no_grad()
def calibrate(model: S3D, videos: Sequence[Narrated], seed: int) -> S3D:
    """Take BatchNorm's statistics from seconds of training videos, as extraction reads them.

    Args:
        model: changed in place.
        videos: what seconds are drawn from.
        seed: of what is drawn.

    Returns:
        The model, in eval mode.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm3d)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    model.train()
    for batch in range(CALIBRATION):
        draw = generator(seed, batch)
        parts = draw.integers(len(videos), size=PAIRS).tolist()
        model(_as_clips([_cut(videos[part], draw.uniform(0, len(videos[part].frames) / FPS), 1) for part in parts]))
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
    return model.eval()


def save(model: S3D, folder: Path) -> None:
    """Write a network's folder, whole or not at all.

    Args:
        model: to write.
        folder: where; there is none yet.
    """
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    model.save_pretrained(part)
    os.replace(part, folder)


def _rate(step: int, steps: int) -> float:
    return min(1.0, (step + 1) / WARMUP) * (1 + math.cos(math.pi * step / steps)) / 2


def _pairs(videos: Sequence[Narrated], draw: np.random.Generator) -> tuple[Tensor, list[str]]:
    """Draw clips around captions, each of another video as far as there are so many, and the captions near them."""
    clips, texts = [], []
    for place in np.resize(draw.permutation(len(videos)), PAIRS).tolist():
        video = videos[place]
        moment = draw.choice(video.times)
        clips.append(_cut(video, moment, CLIP))
        nearest = np.argsort(np.abs(video.times - moment), kind="stable")
        texts += [video.texts[index] for index in np.resize(nearest[:CANDIDATES], CANDIDATES).tolist()]
    return _as_clips(clips), texts


def _cut(video: Narrated, moment: float, seconds: int) -> np.ndarray:
    """The frames around a moment, (seconds * FPS, SIZE, SIZE, 3); of a video that is shorter, again from its start."""
    count = seconds * FPS
    first = int(np.clip(round((moment - seconds / 2) * FPS), 0, max(0, len(video.frames) - count)))
    part = video.frames[first : first + count]
    return part if len(part) == count else np.resize(part, (count, *part.shape[1:]))


def _as_clips(parts: Sequence[np.ndarray]) -> Tensor:
    """(B, 3, T, SIZE, SIZE) float in 0..1, colours last in memory."""
    return torch.from_numpy(np.stack(parts)).permute(0, 4, 1, 2, 3).float() / BYTE
