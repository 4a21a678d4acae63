"""Captions: every recorded search, token by token, and the scores of all its beams."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file

from mmpt.config import parse_config
from mmpt.models.build import build_config, build_model
from mmpt.models.captioning import read_decoding
from mmpt.models.checkpoints import load_original
from mmpt.models.generation import PROMPT, Rules
from mmpt.text.tokenizer import load_tokenizer
from tests.parity.comparing import ABSOLUTE

COVERS = "04_nlg"


class Case(NamedTuple):
    folder: Path
    file: str
    name: str

    def __str__(self) -> str:
        return f"{self.file.removeprefix('generate_')}-{self.name}"

    def read(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        about = json.loads((self.folder / f"{self.file}.json").read_text())
        inputs = load_file(self.folder / about["inputs"])
        recorded = about["cases"][self.name]
        return {**recorded, "checkpoint": about["checkpoint"]}, {k.removeprefix("in/"): v for k, v in inputs.items()}

    def model(self, recorded: dict[str, Any]) -> Any:
        model = build_model(build_config(parse_config(recorded["config_yaml"])))
        load_original(model, self.folder / recorded["checkpoint"])
        return model.eval()


def list_cases(folder: Path) -> list[Case]:
    files = sorted(path for path in folder.glob("generate_*.json"))
    return [Case(folder, path.stem, name) for path in files for name in json.loads(path.read_text())["cases"]]


def test_every_file_belongs_to_a_case(golden_dir: Path) -> None:
    folder = golden_dir / COVERS
    known = set()
    for path in folder.glob("generate_*.json"):
        inputs = Path(json.loads(path.read_text())["inputs"])
        known |= {path.name, inputs.name, inputs.with_suffix(".json").name}
    assert {path.name for path in folder.iterdir()} == known


@pytest.mark.parametrize("trim", [True, False])
def test_tokens_and_texts(case: Case, in_common: Path, trim: bool) -> None:
    recorded, inputs = case.read()
    if not recorded["same_tokens_when_all_weights_get_1e-5_relative_noise"]:
        pytest.skip("roundings decide between two words of this case")
    model = case.model(recorded)
    model.trim_padding = trim
    before = {name: tensor.clone() for name, tensor in inputs.items()}
    tokens = model.generate(inputs["vfeats"], inputs["vmasks"], **recorded["gen_param"])
    assert tokens.tolist() == recorded["token_ids"]
    # the case's own max_length stands where neither configuration nor caller says one
    assert torch.equal(
        tokens,
        model.generate(
            inputs["vfeats"], inputs["vmasks"], **{**recorded["gen_param"], "max_length": recorded["max_length"]}
        ),
    )
    assert load_tokenizer("tiny-bert").batch_decode(tokens, skip_special_tokens=True) == recorded["decoded"]
    assert all(torch.equal(inputs[name], tensor) for name, tensor in before.items())


def test_a_video_alone_gets_the_same_captions(case: Case, in_common: Path) -> None:
    recorded, inputs = case.read()
    model, decoding = case.model(recorded), read_decoding(recorded["gen_param"])
    batched = model.captions(inputs["vfeats"], inputs["vmasks"], decoding)
    for row, captions in enumerate(batched):
        (alone,) = model.captions(inputs["vfeats"][row : row + 1], inputs["vmasks"][row : row + 1], decoding)
        assert [caption.tokens for caption in alone] == [caption.tokens for caption in captions]


def test_scores_of_all_beams(case: Case, in_common: Path) -> None:
    recorded, inputs = case.read()
    if "final_beams_score_tokens" not in recorded:
        return check_margins(case.model(recorded), recorded, inputs)
    param = recorded["gen_param"]
    decoding = read_decoding({**param, "num_return_sequences": param["num_beams"]})
    found = case.model(recorded).captions(inputs["vfeats"], inputs["vmasks"], decoding)
    for captions, beams in zip(found, recorded["final_beams_score_tokens"], strict=True):
        assert [caption.tokens for caption in captions] == [tokens for _, tokens in beams]
        assert [caption.score for caption in captions] == pytest.approx([score for score, _ in beams], abs=ABSOLUTE)


def check_margins(model: Any, recorded: dict[str, Any], inputs: dict[str, torch.Tensor]) -> None:
    """By how much the likeliest word leads at each step, by the plain forward pass over the recorded text."""
    tokens = torch.tensor(recorded["token_ids"])
    places = inputs["vmasks"].shape[1] + tokens.shape[1]
    masks = inputs["attention_mask"][:, :places, :places]
    with torch.no_grad():
        real = torch.ones_like(tokens, dtype=torch.bool)
        logits = model(tokens, real, inputs["vfeats"], inputs["vmasks"], attention_mask=masks).logits  # (B, T, words)
    end = model.config.sep_token_id
    rules = Rules(read_decoding(recorded["gen_param"]), (0, 0, 0), end, 0, tokens.device)
    for step, expected in enumerate(recorded["greedy_top1_minus_top2_per_step"], PROMPT):
        open_ = (tokens[:, PROMPT:step] != end).all(dim=1)  # texts that are not complete
        best = rules.constrain(logits[:, step - 1], tokens[:, :step]).topk(2, dim=1).values  # (B, 2)
        assert torch.allclose((best[:, 0] - best[:, 1])[open_], torch.tensor(expected)[open_], atol=1e-4)
