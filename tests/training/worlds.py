"""Small trainings: shards of a made-up HowTo100M, annotated data sets, and a BERT with two layers."""

import json
import os
import socket
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file
from transformers import BertConfig, BertModel

from mmpt.cli.main import main
from tests.conftest import ROOT
from tests.homes import make_bert
from tests.processes import fork_server, restore_signals
from tests.processors.narrated import WIDTH, write_narrated

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
}
WORDS = 620  # of the vocabulary: shards hold token ids below 600
SECONDS = (5, 16, 27, 8, 9, 30, 11, 12, 20, 7, 14)


def make_world(folder: Path, *, seconds: tuple[int, ...] = SECONDS, dropout: float = 0.1) -> Path:
    """Lay out shards of both splits and a BERT with weights."""
    keys = write_narrated(folder / "shards", seconds)
    for path in sorted((folder / "shards").glob("*train*")):
        (path.parent / path.name.replace("train", "val")).write_bytes(path.read_bytes())
    make_bert(
        folder / "bert", {**SIZES, "hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}, WORDS
    )
    torch.manual_seed(0)
    model = BertModel(BertConfig.from_pretrained(folder / "bert"))
    heads = torch.nn.Linear(SIZES["hidden_size"], SIZES["hidden_size"])
    state = {f"bert.{name}": value.clone() for name, value in model.state_dict().items()}
    state |= {f"cls.predictions.transform.dense.{name}": value for name, value in heads.state_dict().items()}
    norm = torch.nn.LayerNorm(SIZES["hidden_size"])
    state |= {f"cls.predictions.transform.LayerNorm.{name}": value for name, value in norm.state_dict().items()}
    state["cls.predictions.decoder.weight"] = state["bert.embeddings.word_embeddings.weight"].clone()
    state["cls.predictions.bias"] = torch.zeros(WORDS)
    save_file({name: value.contiguous() for name, value in state.items()}, folder / "bert" / "model.safetensors")
    (folder / "shards.json").write_text(json.dumps(keys))
    return folder


VIDEOCLIP, VLM = "retri/videoclip/how2.yaml", "mtm/vlm/how2.yaml"


def narrated_yaml(world: Path, folder: Path, project: str = VIDEOCLIP, **more: Any) -> Path:
    """Write the project's pre-training file with the paths and sizes of a world, and its run in `folder`; `more` are
    keys with __ for dots."""
    shards = world / "shards"
    values: dict[str, Any] = {
        "dataset.bert_name": str(world / "bert"),
        "dataset.max_len": 24,
        "dataset.max_video_len": 8,
        "dataset.train_path": str(shards / "train.lst"),
        "dataset.val_path": str(shards / "val.lst"),
        "dataset.vfeat_dir": str(shards),
        "dataset.tfeat_dir": f"{shards}/caption.",
        "dataset.sampled_max_len": 20,
        "fairseq.common.fp16": False,
        "fairseq.dataset.num_workers": 0,
        "fairseq.optimization.warmup_updates": 2,
        "fairseq.optimization.lr": [0.002],
        "fairseq.optimization.max_epoch": 2,
        "fairseq.checkpoint.save_dir": str(folder / "runs"),
        "fairseq.checkpoint.save_interval_updates": 0,
        "eval.save_path": str(folder / "runs"),
        "model.video_dim": WIDTH,
    }
    if "vlm" in project:
        values |= {"dataset.subsampling": 2, "fairseq.dataset.batch_size": 8}
    else:
        values |= {"dataset.sampled_video_max_len": 8, "dataset.num_video_per_batch": 2, "dataset.clip_per_video": 3}
        values |= {"num_cands": 4, "model.num_hidden_video_layers": 1}
        values |= {"per_rank": False}  # so that any number of processes plans alike
    tree = yaml.safe_load((ROOT / "projects" / project).read_text())
    for key, value in {**values, **{key.replace("__", "."): value for key, value in more.items()}}.items():
        *blocks, last = key.split(".")
        block = tree
        for name in blocks:
            block = block.setdefault(name, {})
        block[last] = value
    path = folder / f"{Path(project).parent.name}.yaml"
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    return path


def train(path: Path, *words: str) -> int:
    """Train as a user does, in this process."""
    return main(["train", str(path), "--device", "cpu", *words])


def child(words: Sequence[str], told: Path, variables: dict[str, str]) -> None:
    """Run `mmpt` in a process of its own; what it says goes to a file."""
    restore_signals()
    file = os.open(told, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.environ.update(variables)
    raise SystemExit(main(words))


def start(path: Path, told: Path, *words: str, run: Callable[..., None] = child, **variables: str) -> BaseProcess:
    """Train in a process of its own, which `run` runs."""
    words = ("train", str(path), "--device", "cpu", *words)
    process = fork_server().Process(target=run, args=(words, told, variables))
    process.start()
    return process


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def train_two(
    path: Path, told: Path, *words: str, run: Callable[..., None] = child, **variables: str
) -> list[int | None]:
    """Train with two processes that know of each other as torchrun lets them; `run` runs each.

    Returns:
        Their exit codes.
    """
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    ranks = [
        start(path, told, *words, run=run, RANK=str(rank), LOCAL_RANK=str(rank), **shared, **variables)
        for rank in range(2)
    ]
    for process in ranks:
        process.join(120)
    return [process.exitcode for process in ranks]


def curve(folder: Path, kind: str = "update", run: str = "runs") -> list[dict[str, float]]:
    """The numbers of a run's log, without what is measured in seconds."""
    lines = [json.loads(line) for line in (folder / run / "metrics.jsonl").read_text().splitlines()]
    timed = ("pairs_per_second", "waiting", "seconds")
    return [{k: v for k, v in line.items() if k not in timed} for line in lines if line["kind"] == kind]
