"""`mmpt demo`: the whole way from a video file to a score, with nothing to download."""

import argparse
import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

EXAMPLES = """example:
  mmpt demo

Renders a clip of six seconds, makes seeded random weights in the format of the
published ones, and scores the clip as `mmpt score` scores a video of yours. The
weights are random, so the scores mean nothing: it shows that everything works.
"""
SECONDS, FPS, HEIGHT, WIDTH = 6, 30, 240, 320
SENTENCES = ("a red ball rolls to the right", "a blue square sinks to the ground")
HIDDEN, LAYERS, VIDEO_LAYERS, HEADS = 192, 4, 2, 4  # a small BERT; the real one has 768, 12, 6, 12
SEED = 0
NOTE = """ What ran is
real: decoding, S3D, both towers, the score. It all lies in {home}.

For scores that mean something:
  mmpt download videoclip s3d bert
  mmpt score your-video.mp4 "what happens in it" "what does not"
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.epilog = EXAMPLES
    parser.add_argument("--home", type=Path, default=Path("runs/demo"), help="where to put it all (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Make weights and a clip, and score it.

    Returns:
        The exit code of `mmpt score`.
    """
    from rich.text import Text

    from mmpt.cli import score
    from mmpt.cli.console import err, out, quiet_transformers
    from mmpt.video.writer import write_video

    clip, plot = args.home / "clip.mp4", args.home / "clip.png"
    with err.status(Text(f"rendering {clip} and making random weights")), quiet_transformers():
        write_video(clip, render(), fps=FPS)
        config = make_weights(args.home)
    options = [["--model", str(config)], ["--plot", str(plot), "--no-cache"]]
    lines = [["score", str(clip)], *([text] for text in SENTENCES), *options]
    out.print("This runs now; it may be pasted to run it again:\n")
    out.print(command_line(args.home, lines), soft_wrap=True)
    before = os.environ.get("MMPT_HOME")
    os.environ["MMPT_HOME"] = str(args.home)  # so that random weights never lie where real ones belong
    try:
        parser = argparse.ArgumentParser()
        score.configure(parser)
        words = [word for line in lines for word in line]
        code = score.run(parser.parse_args(words[1:]))
    finally:
        os.environ.pop("MMPT_HOME")
        if before is not None:
            os.environ["MMPT_HOME"] = before
    warning = (f"The weights are random (seed {SEED}): these scores mean nothing.", "yellow")
    out.print(Text.assemble("\n", warning, NOTE.format(home=args.home)), soft_wrap=True)
    return code


def command_line(home: Path, words: list[list[str]]) -> str:
    """Write a command so that a shell takes it as it stands.

    Args:
        home: its $MMPT_HOME.
        words: its arguments, those of one line together.

    Returns:
        Several lines; the program is `mmpt` where the shell finds this one by that name.
    """
    python = Path(sys.executable)
    found = shutil.which("mmpt")
    same = found is not None and Path(found).parent == python.parent
    program = ["mmpt"] if same else [str(python), "-m", "mmpt"]
    first = f"MMPT_HOME={shlex.quote(str(home))} {shlex.join([*program, *words[0]])}"
    return " \\\n    ".join([first, *map(shlex.join, words[1:])])


def render() -> "Iterator[np.ndarray]":
    """Draw the clip: a red ball rolls to the right while a blue square sinks.

    Yields:
        uint8 (240, 320, 3) frames.
    """
    import numpy as np

    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    count = SECONDS * FPS
    for index in range(count):
        done = index / (count - 1)
        frame = np.full((HEIGHT, WIDTH, 3), 235, dtype=np.uint8)
        frame[HEIGHT * 3 // 4 :] = (150, 120, 90)
        top = int(30 + 90 * done)
        frame[top : top + 60, 210:270] = (40, 80, 200)
        ball = (rows - 150) ** 2 + (columns - (40 + 240 * done)) ** 2 < 30**2
        frame[ball] = (210, 40, 40)
        yield frame


def make_weights(home: Path) -> Path:
    """Write a YAML file, a vocabulary, a checkpoint and S3D files as the published ones lie.

    Args:
        home: the folder to take the place of the working folder.

    Returns:
        The YAML file.
    """
    import torch
    import yaml

    from mmpt.config import load_config
    from mmpt.config.load import find_project_file
    from mmpt.models.build import build_config, build_model
    from mmpt.models.checkpoints import original_state
    from mmpt.models.original import write_original

    bert = _make_bert(home / "bert")
    config = home / "demo.yaml"
    overrides = {
        "includes": [str(find_project_file("retri/videoclip/how2.yaml").resolve())],
        "dataset": {"bert_name": str(bert)},
        "model": {"num_hidden_video_layers": VIDEO_LAYERS},
    }
    config.write_text(yaml.safe_dump(overrides, sort_keys=False))
    run = load_config(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = build_model(build_config(run))
        assert run.save_path is not None
        write_original(home / run.save_path / "checkpoint_best.pt", original_state(model))
        _make_s3d(home)
    return config


def _make_bert(folder: Path) -> Path:
    from transformers import BertConfig

    words = sorted({word for sentence in SENTENCES for word in sentence.split()})
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{c}" for c in letters)]
    vocabulary += [word for word in words if word not in vocabulary]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer", "do_lower_case": true}\n')
    BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=4 * HIDDEN,
    ).save_pretrained(folder)
    return folder


def _make_s3d(home: Path) -> None:
    import numpy as np
    import torch

    from mmpt.models.pretrained import S3D_WEIGHTS, S3D_WORDS
    from mmpt.utils.files import atomic_path
    from mmpt.video.backbones.s3d import S3D, S3DConfig

    config = S3DConfig()
    with atomic_path(home / S3D_WEIGHTS) as path:
        torch.save(S3D(config).state_dict(), path)
    with atomic_path(home / S3D_WORDS) as path, path.open("wb") as file:
        np.save(file, np.array([f"w{index:05}" for index in range(config.vocab_size - 1)]))
