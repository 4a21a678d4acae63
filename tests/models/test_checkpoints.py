"""Checkpoints that do not fit say so, and nothing is half written."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from mmpt.models.checkpoints import (
    build_on_meta,
    convert,
    infer_config,
    load_folder,
    load_original,
    load_state,
    to_original,
)
from mmpt.models.original import read_original, write_original
from tests.models.test_models import batch, tiny_config, tiny_model


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


def test_mixed_dtypes_survive_the_round_trip(tmp_path: Path) -> None:
    state = {
        name: tensor if "LayerNorm" in name else tensor.half() for name, tensor in tiny_model().state_dict().items()
    }
    write_original(tmp_path / "a.pt", state)
    convert(tmp_path / "a.pt", tmp_path / "folder", tiny_config())
    to_original(tmp_path / "folder", tmp_path / "b.pt")
    after = read_original(tmp_path / "b.pt").state
    for name, tensor in state.items():
        assert after[name].dtype == tensor.dtype and torch.equal(after[name], tensor), name
    assert {p.dtype for p in load_folder(tmp_path / "folder").parameters()} == {torch.float32}


def test_tied_tensors_that_differ_are_an_error() -> None:
    model = tiny_model("MMFusionMTM")
    state = dict(model.state_dict())
    state["mm_encoder.cls.predictions.decoder.weight"] = state["mm_encoder.cls.predictions.decoder.weight"] + 1
    with pytest.raises(ValueError, match=r"differ though tied \(1\): mm_encoder.cls.predictions.decoder.weight and"):
        load_state(model, state, source="mine.pt")


def test_a_model_without_memory_is_filled_whole() -> None:
    for name in ("MMFusionSeparate", "MMFusionMTM"):
        model = tiny_model(name, use_seg_emb=True)
        again = build_on_meta(model.config)
        load_state(again, model.state_dict(), source="mine.pt")
        assert not [key for key, tensor in [*again.named_parameters(), *again.named_buffers()] if tensor.is_meta]
        inputs = batch([5, 9], [8, 3])
        with torch.no_grad():
            assert torch.equal(again.eval()(*inputs).pooled_text, model(*inputs).pooled_text)


@pytest.mark.parametrize("key", ["model_cls", "mm_encoder_cls"])
def test_a_folder_cannot_make_us_import_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    (tmp_path / "evilmodule.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Thing: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "folder"
    tiny_model("MMFusionJoint").save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, key: "evilmodule:Thing"}))
    for load in (load_folder, AutoModel.from_pretrained):
        if load == AutoModel.from_pretrained and key == "model_cls":
            continue  # transformers goes by `architectures`, and asks nobody for this name
        with pytest.raises(ValueError, match="would import code from outside this package"):
            load(folder)
    assert not (tmp_path / "ran").exists()


def test_a_folder_of_another_model_is_told(tmp_path: Path) -> None:
    tiny_config().bert_config.save_pretrained(tmp_path)
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    for use in (load_folder, lambda folder: to_original(folder, tmp_path / "x.pt")):
        with pytest.raises(ValueError, match="holds a model of type 'bert'; use one of type 'mmpt'"):
            use(tmp_path)
