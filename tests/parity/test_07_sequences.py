"""Sequences, masks and the flattening of clips."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file

from mmpt.config import parse_config
from mmpt.datasets import flatten_clips
from mmpt.processors.aligner import Aligner
from mmpt.processors.masking import MMAttentionMask2DProcessor, TextGenerationProcessor
from tests.parity.comparing import assert_close

COVERS = "07_processors"
FILES = ("aligner_seqs", "attention_mask_2d", "task_reshape", "aligners_simple")
SPECIAL = {"cls_token_id": 2, "sep_token_id": 3, "pad_token_id": 0}
ORDERS = {"Task": "clips", "VLMTask": "even_first", "VideoRetriTask": "cluster"}
CLIPS = {"Task": "subsampling", "VLMTask": "subsampling", "VideoRetriTask": "clip_per_video"}


class Case(NamedTuple):
    folder: Path
    file: str
    name: str

    def __str__(self) -> str:
        return f"{self.file}-{self.name}"

    @property
    def told(self) -> dict[str, Any]:
        return json.loads((self.folder / f"{self.file}.json").read_text())["cases"][self.name]

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        return load_file(self.folder / f"{self.file}.safetensors")


def list_cases(folder: Path) -> list[Case]:
    cases = []
    for file in FILES:
        told = json.loads((folder / f"{file}.json").read_text())["cases"]
        cases += [Case(folder, file, name) for name in told if file != "aligners_simple" or name.startswith("textgen")]
    return cases


def test_is_the_originals(case: Case) -> None:
    {
        "aligner_seqs": check_sequence,
        "attention_mask_2d": check_attention,
        "task_reshape": check_reshape,
        "aligners_simple": check_textgen,
    }[case.file](case)


def check_sequence(case: Case) -> None:
    told, tensors = case.told, case.tensors
    aligner = Aligner(parse_config(f"{told['config_yaml']}model:\n  model_cls: x\n").dataset, special=SPECIAL)
    if "feature" not in told:
        if "clips" in told:
            caps, cmasks = aligner._build_text_seq({"cap": told["clips"]}, told["text_clip_indexs"])
        else:
            caps, cmasks = aligner._build_text_seq(told["ids"])
        assert_close(caps, tensors[f"{case.name}/out/caps"], "caps")
        assert_close(cmasks, tensors[f"{case.name}/out/cmasks"], "cmasks")
        return
    feature = tensors[told["feature"]]
    if told["original_error"]:
        with pytest.raises(ValueError, match=f"past the end of a video of {len(feature)} seconds"):
            aligner._build_video_seq(feature.numpy(), told["video_clips"])
        return
    for given in (feature, feature.numpy()):
        vfeats, vmasks = aligner._build_video_seq(given, told["video_clips"])
        assert vfeats.dtype == torch.float32
        assert torch.equal(vfeats, tensors[f"{case.name}/out/vfeats"])
        assert_close(vmasks, tensors[f"{case.name}/out/vmasks"], "vmasks")


def check_attention(case: Case) -> None:
    place = case.name.partition("_")[0]
    vmask, cmask = (case.tensors[f"{place}/in/{name}"] for name in ("vmask", "cmask"))
    mask = MMAttentionMask2DProcessor()(vmask, cmask, case.told["mtype"])
    assert mask.dtype == torch.bool
    assert torch.equal(mask, case.tensors[f"{case.name}/out/mask"])


def check_textgen(case: Case) -> None:
    ids = torch.tensor(case.told["in"])
    inputs, labels = TextGenerationProcessor(bos_token_id=2, pad_token_id=0)(ids)
    assert inputs.tolist() == case.told["inputs"] and labels.tolist() == case.told["labels"]
    assert ids.tolist() == case.told["in"]


def check_reshape(case: Case) -> None:
    task, tensors = case.told["task"], case.tensors
    beginning = f"in/{case.told['input']}."
    batch = {name.removeprefix(beginning): value for name, value in tensors.items() if name.startswith(beginning)}
    config = parse_config(f"{case.told['config_yaml']}  bert_name: none\nmodel:\n  model_cls: x\n").dataset
    flat = flatten_clips(batch, getattr(config, CLIPS[task]), order=ORDERS[task])
    out = {name: value for name, value in tensors.items() if name.startswith(f"{case.name}/out/")}
    assert {f"{case.name}/out/{name}" for name in flat} == set(out)
    for name, value in flat.items():
        assert torch.equal(value, out[f"{case.name}/out/{name}"]), name
