"""Every recorded forward and backward pass, through both kinds of attention, padding trimmed or not, batched or not.

A case's model class says which of the checkers below runs; every recorded tensor must be claimed by it.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from mmpt.config import parse_config
from mmpt.models.build import build_config, build_model
from mmpt.models.checkpoints import load_original
from mmpt.models.heads import LocalisationModel, SegmentationModel
from mmpt.models.video_bert import TokenSequence, layer_states, used_length
from mmpt.models.videoclip import TwoPassModel
from mmpt.models.vlm import MaskedModel, OneEncoderModel
from tests.parity.comparing import assert_close

COVERS = "02_models"
GRADIENT = 5e-5  # relative to a gradient's own size, summed over thousands of numbers
Tensors = dict[str, torch.Tensor]


class Case(NamedTuple):
    folder: Path
    name: str
    attention: str
    trim: bool

    def __str__(self) -> str:
        return f"{self.name}-{self.attention}-{'trimmed' if self.trim else 'padded'}"

    def recorded(self) -> tuple[dict[str, Any], Tensors]:
        about = json.loads((self.folder / f"{self.name}.json").read_text())
        return about, load_file(self.folder / about["file"]) if "file" in about else {}

    def inputs(self, about: dict[str, Any], tensors: Tensors) -> Tensors:
        """What the model was given, under the names of its arguments."""
        file = load_file(self.folder / about["inputs"].split()[0])
        own = {key: tensor for key, tensor in tensors.items() if key.startswith("in/")}
        file = {key.removeprefix("in/"): tensor for key, tensor in {**file, **own}.items()}
        if "loc.caps" in file:
            part = "loc" if "ActionLocalization" in about["config_yaml"] else "seg"
            return {
                **{name: file[f"{part}.{name}"] for name in ("caps", "cmasks")},
                **{name: file[f"seg.{name}"] for name in ("vfeats", "vmasks")},
            }
        used = about.get("inputs_used", ["caps", "cmasks", "vfeats", "vmasks"])
        if "grads" in about and "train_path" in about["config_yaml"]:
            used = {
                "caps": "masked_caps",
                **{n: n for n in ("cmasks", "vfeats", "vmasks", "video_label", "text_label")},
            }
        inputs = {name: file[used[name] if isinstance(used, dict) else name] for name in used}
        return {**inputs, **{name.removeprefix("in/"): tensor for name, tensor in own.items()}}

    def model(self, about: dict[str, Any]) -> Any:
        model = build_model(build_config(parse_config(about["config_yaml"])))
        load_original(model, self.folder / about["checkpoint"])
        model.set_attn_implementation(self.attention)
        model.trim_padding = self.trim
        return model.eval()


def list_cases(folder: Path) -> list[Case]:
    names = sorted(path.stem for path in folder.glob("*.json") if not path.stem.startswith("inputs_"))
    return [Case(folder, name, kind, trim) for name in names for kind in ("sdpa", "eager") for trim in (True, False)]


def test_every_file_belongs_to_a_case(golden_dir: Path) -> None:
    folder = golden_dir / COVERS
    files = {path.name for path in folder.iterdir()}
    known = set()
    for about in folder.glob("*.json"):
        known |= {about.name, json.loads(about.read_text()).get("file", about.name)}
    assert files == known


def test_outputs(case: Case, in_common: Path) -> None:
    about, tensors = case.recorded()
    if "grads" in about:
        return check_gradients(case, about)
    model, inputs = case.model(about), case.inputs(about, tensors)
    # "_as_returned" is what a fault of the original made of one sample; "_intended" beside it is what it meant.
    recorded = {
        key.removeprefix("out/"): tensor
        for key, tensor in tensors.items()
        if key.startswith("out/") and not key.endswith("_as_returned")
    }
    before = {name: tensor.clone() for name, tensor in inputs.items()}
    with torch.no_grad():
        actual = outputs(model, inputs, training="train_path" in about["config_yaml"])
        assert set(recorded) <= set(actual), f"nobody checks {sorted(set(recorded) - set(actual))}"
        for name, tensor in recorded.items():
            compare(name, actual[name], tensor, model, inputs)
        one_by_one(model, inputs, model(**inputs))
    if not recorded:  # the original raised an error here: ours gives an answer
        assert about["original_error"] and actual
    for name, tensor in before.items():
        assert torch.equal(inputs[name], tensor), f"the caller's {name} were changed"


def outputs(model: Any, inputs: Tensors, *, training: bool) -> dict[str, torch.Tensor]:
    """All that this kind of model lets one see, under the recorded names."""
    result = {name: tensor for name, tensor in model(**inputs).items() if tensor is not None}
    assert all(torch.isfinite(tensor).all() for tensor in result.values())
    if isinstance(model, (LocalisationModel, SegmentationModel)):
        return result
    result |= losses(result, inputs)
    trimmed: Tensors = dict(zip(("caps", "cmasks", "vfeats", "vmasks"), model._trim(*_batch(inputs)), strict=True))
    if isinstance(model, TwoPassModel):
        return result | two_passes(model, inputs, trimmed)
    assert isinstance(model, OneEncoderModel)
    # The original's evaluation runs the video half and the text half on their own once any layer keeps them apart.
    halves = bool(model.config.num_iso_layer) and not training and not isinstance(model, MaskedModel)
    seen = one_encoder(model, inputs, trimmed, halves=halves)
    for kind in ("pooled_video", "pooled_text"):
        if kind in result:
            seen[f"{kind}_intended"] = result[kind]
    return result | seen


def two_passes(model: TwoPassModel, inputs: Tensors, trimmed: Tensors) -> dict[str, torch.Tensor]:
    video, text = model.video_sequence(*_order(trimmed)), model.text_sequence(trimmed["caps"], trimmed["cmasks"])
    names = ("video_encoder", "text_encoder")
    if not hasattr(model, "text_encoder"):
        names = ("mm_encoder_video_pass", "mm_encoder_text_pass")
    result = {}
    for name, bert, sequence in ((names[0], model.video_tower.bert, video), (names[1], model.text_bert, text)):
        result |= encoder_outputs(name, bert, layer_states(bert, sequence))
    result["forward_video_hidden"], result["forward_text_hidden"] = result[f"{names[0]}.0"], result[f"{names[1]}.0"]
    videos = model.get_video_features(inputs["vfeats"], inputs["vmasks"])
    result["scores"] = model.get_text_features(inputs["caps"], inputs["cmasks"]) @ videos.T
    return result


def one_encoder(model: OneEncoderModel, inputs: Tensors, trimmed: Tensors, *, halves: bool) -> dict[str, torch.Tensor]:
    vfeats, bert = trimmed["vfeats"], model.mm_encoder.bert
    if "video_label" in inputs:
        masked = inputs["video_label"][:, : vfeats.shape[1]]
        vfeats = vfeats.masked_fill(masked[..., None], 0.0)
    video_tokens = model.mm_encoder.videomlp(vfeats)
    sequence = model.sequence(trimmed["caps"], trimmed["cmasks"], video_tokens, trimmed["vmasks"])
    if "attention_mask" in inputs:
        walk = layer_states(bert, sequence, attention_mask=inputs["attention_mask"])
    elif halves:
        split = vfeats.shape[1] + 2
        parts = [model.states(part) for part in (places(sequence, 0, split), places(sequence, split, None))]
        walk = (torch.cat(states, dim=1) for states in zip(*parts, strict=True))
    else:
        walk = model.states(sequence)
    seen = encoder_outputs("mm_encoder", bert, walk)
    seen |= {
        "mm_encoder.last_hidden": seen["mm_encoder.0"],
        "mm_encoder.pooler": seen["mm_encoder.1"],
        "mm_encoder.hidden_states": seen["mm_encoder.2"],
        "token_type_ids": sequence.types.expand(sequence.real.shape),
        "attention_mask": masks(model, sequence),
        "vfeats_after": vfeats,
    }
    return seen


def places(sequence: TokenSequence, begin: int, end: int | None) -> TokenSequence:
    """A stretch of a sequence."""
    return TokenSequence(
        tokens=sequence.tokens[:, begin:end],
        real=sequence.real[:, begin:end],
        positions=sequence.positions[begin:end],
        types=sequence.types[begin:end],
        groups=sequence.groups[begin:end],
    )


def encoder_outputs(name: str, bert: Any, walk: Any) -> dict[str, torch.Tensor]:
    states = list(walk)
    return {f"{name}.0": states[-1], f"{name}.1": bert.pooler(states[-1]), f"{name}.2": torch.stack(states)}


def masks(model: OneEncoderModel, sequence: TokenSequence) -> torch.Tensor:
    """Which place sees which: by layer with isolation, (B, L, S, S), else one row for all places, (B, S)."""
    layers, isolated = model.config.bert_config.num_hidden_layers, model.config.num_iso_layer
    if not isolated:
        return sequence.real
    by_layer = [sequence.isolated_mask() if layer < isolated else sequence.full_mask() for layer in range(layers)]
    return torch.cat(by_layer, dim=1)


def losses(result: dict[str, torch.Tensor], inputs: Tensors) -> dict[str, torch.Tensor]:
    """The papers' losses, written out: cross entropy over candidates, the target of a frame being the first."""
    if "pooled_video" in result:
        scores = result["pooled_video"] @ result["pooled_text"].T
        target = torch.arange(len(scores))
        return {"loss": (F.cross_entropy(scores, target) + F.cross_entropy(scores.T, target))[None]}
    logits = result.get("text_logits", result.get("logits"))
    assert logits is not None
    words = inputs["text_label"][inputs["text_label"] != -100]
    if "video_logits" not in result:
        return {"loss": F.cross_entropy(logits, words)[None]}
    frames = torch.zeros(len(result["video_logits"]), dtype=torch.long)
    width = result["video_logits"].shape[1] - logits.shape[1]
    if width != 1:  # words and frames apart
        return {"loss": (F.cross_entropy(result["video_logits"], frames) + F.cross_entropy(logits, words))[None]}
    logits = F.pad(logits, (0, 1))  # one vocabulary: a word has no target frame, and the original scores it 0
    return {"loss": F.cross_entropy(torch.cat([result["video_logits"], logits]), torch.cat([frames, words]))[None]}


def compare(name: str, actual: torch.Tensor, recorded: torch.Tensor, model: Any, inputs: Tensors) -> None:
    """Compare where both are: trimming leaves out places behind the longest row."""
    for axis in range(recorded.ndim):
        if actual.shape[axis] != recorded.shape[axis]:
            assert model.trim_padding, name
            kept = kept_places(recorded.shape[axis], inputs)
            recorded = recorded.index_select(axis, kept[kept < recorded.shape[axis]])
    assert_close(actual, recorded, name)


def kept_places(length: int, inputs: Tensors) -> torch.Tensor:
    """The places of a padded sequence that trimming keeps."""
    seconds, video = inputs["vmasks"].shape[1], used_length(inputs["vmasks"])
    words, text = inputs["caps"].shape[1], used_length(inputs["cmasks"])
    if length == words - 1:  # [CLS] text [SEP]
        return torch.arange(text - 1)
    if length == seconds:  # the seconds alone
        return torch.arange(video)
    return torch.cat([torch.arange(video + 1), torch.arange(seconds + 1, seconds + text)])


def one_by_one(model: Any, inputs: Tensors, batched: dict[str, torch.Tensor]) -> None:
    """A row alone gives what it gives within the batch."""
    if "video_logits" in batched:
        return masked_one_by_one(model, inputs, batched)
    if isinstance(model, (LocalisationModel, SegmentationModel)):  # recorded with one video: give it three
        three = model(**{name: torch.cat([tensor] * 3) for name, tensor in inputs.items()})
        assert_close(three["logits"], torch.cat([batched["logits"]] * 3), "three videos at once")
        return None
    rows = [model(**{name: tensor[i : i + 1] for name, tensor in inputs.items()}) for i in range(len(inputs["caps"]))]
    for name, tensor in batched.items():
        assert_close(torch.cat([row[name] for row in rows]), tensor, f"{name}, one row at a time")


def masked_one_by_one(model: Any, inputs: Tensors, batched: dict[str, torch.Tensor]) -> None:
    """As `one_by_one`, where frames of the other rows are candidates too."""
    real = (inputs["vmasks"] & ~inputs["video_label"]).sum(dim=1).tolist()
    frames, words = inputs["video_label"].sum(dim=1).tolist(), (inputs["text_label"] != -100).sum(dim=1).tolist()
    vocabulary = model.config.bert_config.vocab_size
    for i in range(len(inputs["caps"])):
        alone = model(**{name: tensor[i : i + 1] for name, tensor in inputs.items()})
        begin, end = sum(real[:i]), sum(real[: i + 1])
        for name, counts, others in (("video_logits", frames, 1), ("text_logits", words, vocabulary)):
            rows = batched[name][sum(counts[:i]) : sum(counts[: i + 1])]
            columns = torch.cat(
                [rows[:, :others], rows[:, others + begin : others + end], rows[:, others + sum(real) :]], 1
            )
            width = alone[name].shape[1]
            assert_close(alone[name], columns[:, :width], f"{name} of row {i} alone")


def check_gradients(case: Case, about: dict[str, Any]) -> None:
    model, inputs = case.model(about), case.inputs(about, {})
    loss = losses(dict(model(**inputs).items()), inputs)["loss"]
    loss.backward()
    assert loss.item() == pytest.approx(about["loss"], rel=1e-5)
    actual = {name: p.grad.double() for name, p in model.named_parameters() if p.grad is not None}
    recorded = about["grads"]
    assert set(actual) == set(recorded)
    largest = max(entry["l2"] for entry in recorded.values())
    measures: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "l2": torch.linalg.vector_norm,
        "sum": torch.sum,
        "abs_sum": lambda gradient: gradient.abs().sum(),
    }
    for name, entry in recorded.items():
        for measure, compute in measures.items():
            size = max(entry["abs_sum" if measure != "l2" else "l2"], 1e-2 * largest)
            assert float(compute(actual[name])) == pytest.approx(entry[measure], abs=GRADIENT * size), (name, measure)


def _batch(inputs: Tensors) -> tuple[torch.Tensor, ...]:
    return tuple(inputs[name] for name in ("caps", "cmasks", "vfeats", "vmasks"))


def _order(trimmed: Tensors) -> tuple[torch.Tensor, ...]:
    return tuple(trimmed[name] for name in ("vfeats", "vmasks", "caps", "cmasks"))
