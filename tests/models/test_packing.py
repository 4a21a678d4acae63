"""Rows of unequal length in training: the same numbers and gradients as with their padding."""

from typing import Any

import pytest
import torch
from transformers import BertConfig

import mmpt.models.video_bert as video_bert
from mmpt.models.build import build_model
from mmpt.models.configuration import MMPTConfig

SHAPE: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "vocab_size": 90}
CASES = [("MMFusionSeparate", None), ("MMFusionShare", None), ("MMFusionJoint", 2), ("MMFusionMTM", None)]


def results(model, batch: dict, *, packed: bool, monkeypatch: pytest.MonkeyPatch) -> tuple[dict, dict]:
    monkeypatch.setattr(video_bert, "PACKED_BELOW", 2.0 if packed else -1.0)
    model.zero_grad()
    output = model(**batch)
    torch.stack([value.square().mean() for value in output.values()]).sum().backward()
    gradients = {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}
    return {name: value.detach() for name, value in output.items()}, gradients


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize(("name", "iso"), CASES)
def test_padding_makes_no_difference(name: str, iso: int | None, checkpointing: bool, monkeypatch) -> None:
    torch.manual_seed(0)
    bert = BertConfig(**SHAPE, intermediate_size=64, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    config = MMPTConfig(bert, model_cls=name, max_len=24, max_video_len=8, num_iso_layer=iso)
    model = build_model(config).train()
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    texts, seconds = torch.tensor([3, 16, 9, 4]), torch.tensor([8, 1, 5, 2])
    batch = {
        "caps": torch.randint(5, 90, (4, 16)),
        "cmasks": torch.arange(16) < texts[:, None],
        "vfeats": torch.randn(4, 8, 512),
        "vmasks": torch.arange(8) < seconds[:, None],
    }
    if name == "MMFusionMTM":
        batch["video_label"] = batch["vmasks"] & (torch.arange(8) == 0)
        batch["text_label"] = torch.where(torch.arange(16) == 2, batch["caps"], -100)
    plain, plain_gradients = results(model, batch, packed=False, monkeypatch=monkeypatch)
    packed, packed_gradients = results(model, batch, packed=True, monkeypatch=monkeypatch)
    torch.testing.assert_close(packed, plain, rtol=1e-5, atol=1e-5)
    assert packed_gradients.keys() == plain_gradients.keys()
    torch.testing.assert_close(packed_gradients, plain_gradients, rtol=1e-4, atol=1e-6)


def test_it_is_for_training_only() -> None:
    real = torch.tensor([[True, False], [True, True]])
    assert video_bert.Packing.of(real) is not None
    assert video_bert.Packing.of(torch.ones(2, 2, dtype=torch.bool)) is None
    with torch.no_grad():
        assert video_bert.Packing.of(real) is None
