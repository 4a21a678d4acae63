"""Checkpoints that do not fit say so, and nothing is half written."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmpt.models.checkpoints import convert, infer_config, load_folder, load_original, load_state, to_original
from mmpt.models.original import read_original, write_original
from tests.models.test_models import tiny_config, tiny_model


def test_missing_unexpected_and_misshapen_tensors_are_listed() -> None:
    model = tiny_model()
    state = dict(model.state_dict())
    del state["video_encoder.videomlp.linear1.bias"]
    state["text_encoder.extra.weight"] = torch.zeros(2)
    state["text_encoder.pooler.dense.bias"] = torch.zeros(5)
    with pytest.raises(ValueError, match=r"mine.pt does not fit MMFusionSeparate") as caught:
        load_state(model, state, source="mine.pt")
    message = str(caught.value)
    assert "missing (1): video_encoder.videomlp.linear1.bias" in message
    assert "unexpected (1): text_encoder.extra.weight" in message
    assert "wrong shape (1): text_encoder.pooler.dense.bias is (5,), not (32,)" in message


def test_a_refused_checkpoint_leaves_the_model_alone() -> None:
    model = tiny_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"does not fit"):
        load_state(model, {name: tensor + 1 for name, tensor in list(before.items())[:-1]}, source="short.pt")
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_what_is_harmless_is_not_an_error() -> None:
    model = tiny_model("MMFusionMTM")
    state = dict(model.state_dict())
    state["mm_encoder.bert.embeddings.position_ids"] = torch.arange(512)[None]
    state["mm_encoder.bert.embeddings.seg_embeddings.weight"] = torch.zeros(256, 32)
    load_state(model, state, source="mine.pt")


def test_the_class_and_sizes_of_bert_base_checkpoints_are_inferred() -> None:
    wide, word = torch.zeros(768, 512), torch.zeros(2, 768)
    common = {"mm_encoder.videomlp.linear1.weight": wide}
    cases = {
        "MMFusionJoint": {},
        "MMFusionMTM": {"mm_encoder.cls.predictions.decoder.weight": word},
        "MMFusionMFMMLM": {"mm_encoder.cls.predictions.decoder.weight": word, "mm_encoder.cls.predictions.bias": word},
        "MMFusionActionSegmentation": {"mm_encoder.classifier.weight": torch.zeros(11, 768)},
    }
    for name, state in cases.items():
        config = infer_config({**common, **state}, source="a.pt")
        assert config.model_cls == name
        assert config.num_classes == (11 if "Segmentation" in name else 779)
    layers = {f"video_encoder.bert.encoder.layer.{i}.intermediate.dense.bias": word for i in range(6)}
    separate = infer_config({"video_encoder.videomlp.linear1.weight": wide, **layers}, source="a.pt")
    assert (separate.model_cls, separate.num_hidden_video_layers) == ("MMFusionSeparate", 6)


def test_what_cannot_be_inferred_is_asked_for() -> None:
    with pytest.raises(ValueError, match=r"width 32, whose number of heads cannot be told.*--config"):
        infer_config(tiny_model().state_dict(), source="a.pt")
    with pytest.raises(ValueError, match=r"is not a checkpoint of these models"):
        infer_config({"conv1.weight": torch.zeros(1)}, source="s3d.pth")


def test_fp16_round_trip_keeps_every_bit_and_loads_as_fp32(tmp_path: Path) -> None:
    state = {name: tensor.half() for name, tensor in tiny_model().state_dict().items()}
    write_original(tmp_path / "a.pt", state, info={"num_updates": 7})
    convert(tmp_path / "a.pt", tmp_path / "folder", tiny_config())
    assert {tensor.dtype for tensor in load_file(tmp_path / "folder" / "model.safetensors").values()} == {torch.float16}
    assert load_folder(tmp_path / "folder").dtype == torch.float32
    to_original(tmp_path / "folder", tmp_path / "b.pt")
    after = read_original(tmp_path / "b.pt")
    assert all(torch.equal(after.state[name], tensor) for name, tensor in state.items())
    assert after.info["num_updates"] == 7


def test_a_folder_with_a_tensor_too_few_is_an_error(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["text_encoder.pooler.dense.bias"]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"missing \(1\): text_encoder.pooler.dense.bias"):
        load_folder(tmp_path)


def test_places_without_a_model_are_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no config.json"):
        load_folder(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"does not exist"):
        load_original(tiny_model(), tmp_path / "no.pt")
    with pytest.raises(FileNotFoundError, match=r"holds no config.json"):
        to_original(tmp_path / "nothing", tmp_path / "x.pt")
    assert not (tmp_path / "x.pt").exists()
