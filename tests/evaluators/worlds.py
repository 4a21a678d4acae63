"""Working folders for evaluations: the shipped YAML files, a small random model, annotations and features.

Everything lies where the YAML files say. Annotations are the published ones, or small ones in the same formats.
"""

import csv
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BertConfig

from mmpt.config import load_config
from mmpt.models.build import build_config, build_model
from mmpt.models.checkpoints import original_state
from mmpt.models.original import write_original
from tests.conftest import ROOT, SHARED
from tests.homes import make_bert

SIZES: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 12, "num_attention_heads": 2, "intermediate_size": 48}
WIDTH = 512
BERT = Path("pretrained_models/bert-base-uncased")
RETRIEVAL = "projects/retri/videoclip/test_vtt_zs.yaml"
REAL = {  # where the YAML files look for them -> name in the shared folder
    "data/msrvtt/MSRVTT_JSFUSION_test.csv": "msrvtt_jsfusion_test.csv",
    "data/youcook/youcook_validation.csv": "youcook_validation.csv",
    "data/didemo/test_data.json": "didemo_test_data.json",
    "data/hmdb51/hmdb51.csv": "hmdb51.csv",
}


def make_world(folder: Path) -> Path:
    """Lay out the YAML files, and a BERT folder of a made-up vocabulary."""
    shutil.copytree(ROOT / "projects", folder / "projects")
    make_bert(folder / BERT, SIZES, words=120)
    return folder


def make_real_world(folder: Path) -> Path:
    """The same with the published vocabulary and annotations, for those who have them."""
    make_world(folder)
    shutil.copy(SHARED / "data" / "bert-base-uncased" / "vocab.txt", folder / BERT / "vocab.txt")
    BertConfig(vocab_size=30_522, **SIZES).save_pretrained(folder / BERT)
    for place, name in REAL.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).symlink_to(SHARED / "data" / "annotations" / name)
    return folder


def make_checkpoint(yaml: str, *overrides: str, seed: int = 0, name: str | None = None) -> Path:
    """Write random weights where a YAML file looks for them, or beside that. Stands in the world's folder."""
    run = load_config(Path(yaml), overrides)
    assert run.checkpoint.path is not None
    path = Path(run.checkpoint.path)
    path = path if name is None else path.with_name(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    write_original(path, original_state(build_model(build_config(run, bert_name=str(BERT)))))
    return path


def make_features(
    folder: str, videos: Iterable[str], *, width: int = WIDTH, seconds: tuple[int, int] = (3, 44), seed: int = 0
) -> list[str]:
    """Write random features of unit length, so many seconds of each video; its names, each once."""
    rng = np.random.default_rng(seed)
    Path(folder).mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(videos))
    for name in names:
        vectors = rng.normal(size=(int(rng.integers(seconds[0], seconds[1] + 1)), width))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        np.save(Path(folder) / f"{name}.npy", vectors.astype(np.float16))
    return names


def make_msrvtt(count: int = 12) -> list[str]:
    """Annotations, features and weights of a small retrieval task; ids of the videos."""
    texts = ["a dog runs", "two boys arm wrestle", "the woman flips a pancake", "pour the water into the pot"]
    lines = [f"video{number},{texts[number % 4]} w{number}" for number in range(count)]
    _write("data/msrvtt/MSRVTT_JSFUSION_test.csv", "\n".join(["video_id,sentence", *lines, ""]))
    make_checkpoint(RETRIEVAL)
    return make_features("data/feat/feat_vtt_s3d", (f"video{number}" for number in range(count)))


def make_qa(count: int = 12) -> None:
    """Questions of the retrieval task's videos, with five sentences each."""
    rows = [
        "\t".join([f"msr{n}", *(f"the dog w{(n + choice) % 7}" for choice in range(5)), str(n % 5)])
        for n in range(count)
    ]
    _write("data/msrvtt-qa/MSR_MC_test.csv", "\n".join(["vid_key\ta1\ta2\ta3\ta4\ta5\tanswer", *rows, ""]))


def make_didemo(count: int = 9) -> None:
    """Three sentences for each of a few videos."""
    entries = [
        {"video": f"v{number // 3}.mov", "description": f"the dog w{number}", "times": [[0, number % 3], [1, 1]] * 2}
        for number in range(count)
    ]
    _write("data/didemo/test_data.json", json.dumps(entries))
    make_features("data/feat/feat_didemo_s3d", (entry["video"] for entry in entries))


def make_hmdb51() -> None:
    """Twelve clips of four actions, in the test parts of one, two or three splits."""
    actions = ("flip_pancake", "arm_wrestle", "pour", "run")
    rows = [f"c{n}.avi,{actions[n % 4]}_test,{2 if n < 8 else 1},{2 if n % 2 else 0},{1 + n % 2}" for n in range(12)]
    _write("data/hmdb51/hmdb51.csv", "\n".join(["video_id,label,split1,split2,split3", *rows, ""]))
    make_features("data/feat/feat_hmdb51_s3d", (f"c{number}.avi" for number in range(12)))


def make_coin(count: int = 6, texts: tuple[str, ...] = ("pour water", "flip", "pour water", "run")) -> None:
    """Videos with two steps each; the texts of labels from 1 on, of which some may be the same."""
    videos = {}
    for number in range(count):
        labels = [1 + (number + step) % len(texts) for step in (0, 1)]
        steps = [
            {"id": label, "segment": [2.0 * step, 2.0 * step + 1.5], "label": texts[label - 1]}
            for step, label in enumerate(labels)
        ]
        videos[f"v{number}"] = {"subset": "testing", "annotation": steps}
    _write("data/coin/COIN.json", json.dumps({"database": videos}))
    make_features("data/feat/feat_coin_s3d", videos)


def listed(path: str, column: str = "video_id") -> list[str]:
    """The videos of an annotation file, each once."""
    with open(path, encoding="utf-8") as file:
        rows = json.load(file) if path.endswith(".json") else list(csv.DictReader(file))
    return list(dict.fromkeys(row[column] for row in rows))


def _write(path: str, text: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
