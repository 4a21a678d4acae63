"""Small real things to search: a model over grid features, and rendered videos with subtitles."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import yaml

from mmpt.config import load_config
from mmpt.models.build import build_config, build_model
from mmpt.text.tokenizer import load_tokenizer
from mmpt.video.writer import write_video
from tests.conftest import ROOT
from tests.homes import TINY, make_bert

FPS = 10
SECONDS = {"kitchen/pancake.mp4": 20, "kitchen/soup.mp4": 11, "garden/dog.mp4": 3}  # each is its own colours
SUBTITLES = {
    "kitchen/pancake.en.srt": ["Pour the batter into the pan.", "Now flip the pancake.", "It is golden on both sides."],
    "kitchen/soup.srt": ["Cut the carrots.", "Boil the water for the soup."],
}
CUE = 4  # seconds of each caption


def make_grid_model(folder: Path, *, seed: int = 0, max_video_len: int = 32) -> Path:
    """Write a tiny VideoCLIP over grid features, with seeded random weights, as `mmpt convert` writes models.

    Returns:
        The folder, which `mmpt.load` takes.
    """
    bert = make_bert(folder / "bert", TINY, 200)
    settings = {
        "includes": [str(ROOT / "projects" / "retri" / "videoclip" / "how2.yaml")],
        "dataset": {"bert_name": str(bert), "backbone": "grid", "max_len": 64 + max_video_len}
        | {"max_video_len": max_video_len},
        "model": {"num_hidden_video_layers": 2},
    }
    (folder / "grid.yaml").write_text(yaml.safe_dump(settings))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_model(build_config(load_config(folder / "grid.yaml")))
    target = folder / "model"
    model.save_pretrained(target)
    load_tokenizer(str(bert)).save_pretrained(target)
    return target


def make_videos(folder: Path) -> Path:
    """Render the videos of SECONDS, with the subtitle files of SUBTITLES beside them.

    Returns:
        The folder.
    """
    for number, (name, seconds) in enumerate(SECONDS.items()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_video(folder / name, frames(seconds, seed=number), fps=FPS)
    for name, lines in SUBTITLES.items():
        (folder / name).write_text(subtitles(lines), encoding="utf-8")
    return folder


def frames(seconds: int, *, seed: int) -> Iterator[np.ndarray]:
    """Draw a video whose ground changes every two seconds, with a bar that moves over it; each seed has its own."""
    draws = np.random.default_rng(seed)
    grounds = draws.integers(0, 256, (seconds // 2 + 1, 3), dtype=np.uint8)
    for index in range(seconds * FPS):
        frame = np.empty((96, 128, 3), dtype=np.uint8)
        frame[:] = grounds[index // (2 * FPS)]
        left = (3 * index) % 108
        frame[30:60, left : left + 20] = 255 - grounds[index // (2 * FPS)]
        yield frame


def subtitles(lines: list[str]) -> str:
    """Write an .srt file's text, one caption every CUE seconds."""
    cues = []
    for number, line in enumerate(lines):
        begin, end = number * CUE, (number + 1) * CUE - 1
        cues.append(f"{number + 1}\n00:00:{begin:02},000 --> 00:00:{end:02},500\n{line}\n")
    return "\n".join(cues)
