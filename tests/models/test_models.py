"""What every model promises beyond the recorded numbers."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModel, BertConfig

from mmpt.config import parse_config
from mmpt.models.build import build_config, build_model, init_from_bert
from mmpt.models.checkpoints import load_folder
from mmpt.models.configuration import MMPTConfig
from mmpt.utils.registry import lookup, names

LAYERS, PLACES, SECONDS, WORDS = 3, 16, 8, 60
ONE_ENCODER = ("MMFusionJoint", "MMFusionMFMMLM", "MMFusionMTM")
TWO_PASSES = ("MMFusionSeparate", "MMFusionShare")
REGISTERED = (
    *ONE_ENCODER,
    *TWO_PASSES,
    "MMFusionNLG",
    "MMFusionActionSegmentation",
    "MMFusionSeparateActionSegmentation",
    "MMFusionShareActionSegmentation",
    "MMFusionActionLocalization",
    "MMFusionSeparateActionLocalization",
    "MMFusionShareActionLocalization",
)


def tiny_config(model_cls: str = "MMFusionSeparate", **changes: object) -> MMPTConfig:
    bert = BertConfig(
        vocab_size=WORDS,
        hidden_size=32,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        intermediate_size=64,
        initializer_range=0.3,  # so that a wrong mask or position shows
    )
    values: dict[str, Any] = {
        "model_cls": model_cls,
        "max_len": SECONDS + PLACES,
        "max_video_len": SECONDS,
        "video_dim": 24,
        "num_classes": 7,
        "num_iso_layer": LAYERS if model_cls in ONE_ENCODER else None,
        "cls_token_id": 2,
        "sep_token_id": 3,
    }
    return MMPTConfig(bert, **{**values, **changes})


def tiny_model(model_cls: str = "MMFusionSeparate", **changes: object) -> Any:
    torch.manual_seed(0)
    return build_model(tiny_config(model_cls, **changes)).eval()


def batch(texts: list[int], videos: list[int], seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Texts of so many tokens and videos of so many seconds, padded to the full length with what must not matter."""
    random = torch.Generator().manual_seed(seed)
    caps = torch.randint(4, WORDS, (len(texts), PLACES), generator=random)
    vfeats = torch.randn(len(videos), SECONDS, 24, generator=random)
    cmasks = torch.arange(PLACES) < torch.tensor(texts)[:, None] + 3
    vmasks = torch.arange(SECONDS) < torch.tensor(videos)[:, None]
    caps[:, 0], caps[:, 1] = 2, 3
    caps[torch.arange(len(texts)), torch.tensor(texts) + 2] = 3
    return caps, cmasks, vfeats, vmasks


def test_every_name_of_the_yaml_files_is_registered() -> None:
    assert set(REGISTERED) <= set(names("model"))
    encoders = ["Encoder", "Joint", "MFMMLM", "MTM", "NLG", "TokenClassification"]
    assert {f"MMBertFor{name}" for name in encoders} | {"BertModel"} <= set(names("encoder"))


@pytest.mark.parametrize(("kind", "right"), [("model", "MMFusionMFMMLM"), ("encoder", "MMBertForMFMMLM")])
def test_the_name_without_a_class_is_an_alias_with_a_warning(kind: str, right: str) -> None:
    with pytest.warns(UserWarning, match=f"old name for '{right}'"):
        assert lookup(kind, "MMFusionForMFMMLM") is lookup(kind, right)


@pytest.mark.parametrize("name", REGISTERED)
def test_save_and_load_give_the_same_tensors(name: str, tmp_path: Path) -> None:
    model = tiny_model(name, use_seg_emb=True)
    model.save_pretrained(tmp_path)
    assert isinstance(AutoConfig.from_pretrained(tmp_path), MMPTConfig)
    for again in (AutoModel.from_pretrained(tmp_path), load_folder(tmp_path)):
        assert type(again) is type(model)
        assert again.state_dict().keys() == model.state_dict().keys()
        for key, tensor in model.state_dict().items():
            assert torch.equal(again.state_dict()[key], tensor), key


@pytest.mark.parametrize("name", [*ONE_ENCODER, *TWO_PASSES])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_batching_and_padding_never_change_a_score(name: str, data: st.DataObject) -> None:
    model = tiny_model(name)
    count = data.draw(st.integers(1, 5))
    texts = data.draw(st.lists(st.integers(1, PLACES - 3), min_size=count, max_size=count))
    videos = data.draw(st.lists(st.integers(1, SECONDS), min_size=count, max_size=count))
    caps, cmasks, vfeats, vmasks = batch(texts, videos, seed=data.draw(st.integers(0, 9)))
    with torch.no_grad():
        text_vectors, video_vectors = model.get_text_features(caps, cmasks), model.get_video_features(vfeats, vmasks)
        scores = text_vectors @ video_vectors.T
        # rounding moves either vector by a part of its length, and a score by that part of both lengths' product,
        # however small the score itself is where large terms cancel
        bar = 1e-5 * (text_vectors.norm(dim=1)[:, None] * video_vectors.norm(dim=1)).clamp(min=1)
        model.trim_padding = False
        padded = model.get_text_features(caps, cmasks) @ model.get_video_features(vfeats, vmasks).T
        model.trim_padding = True
        both = model(caps, cmasks, vfeats, vmasks)
        order = torch.randperm(count, generator=torch.Generator().manual_seed(count))
        shuffled = model.get_video_features(vfeats[order], vmasks[order])
        for i in range(count):
            text = model.get_text_features(caps[i : i + 1, : texts[i] + 3], cmasks[i : i + 1, : texts[i] + 3])
            video = model.get_video_features(vfeats[i : i + 1, : videos[i]], vmasks[i : i + 1, : videos[i]])
            assert float((text @ video.T - scores[i, i]).abs()) <= float(bar[i, i])
    assert ((padded - scores).abs() <= bar).all()
    assert (((both.pooled_video * both.pooled_text).sum(1) - scores.diag()).abs() <= bar.diag()).all()
    assert torch.allclose(shuffled, model.get_video_features(vfeats, vmasks)[order], atol=1e-5)


@pytest.mark.parametrize("layers", [0, 1, 2, 3, None])
def test_isolation_keeps_the_parts_apart_up_to_its_layer(layers: int | None) -> None:
    model = tiny_model("MMFusionJoint", num_iso_layer=layers)
    caps, cmasks, vfeats, vmasks = batch([5, 9], [8, 3])
    with torch.no_grad():
        before = model(caps, cmasks, vfeats, vmasks)
        after = model(caps, cmasks, vfeats + 1.0, vmasks)
    assert not torch.allclose(before.pooled_video, after.pooled_video)
    assert torch.equal(before.pooled_text, after.pooled_text) == bool(layers)


def test_without_isolation_nothing_is_encoded_alone() -> None:
    model = tiny_model("MMFusionJoint", num_iso_layer=None)
    caps, cmasks, vfeats, vmasks = batch([5], [8])
    with pytest.raises(ValueError, match="num_iso_layer is not set"):
        model.get_text_features(caps, cmasks)
    with pytest.raises(ValueError, match="num_iso_layer is not set"):
        model.get_video_features(vfeats, vmasks)


@pytest.mark.parametrize("name", ["MMFusionSeparate", "MMFusionJoint", "MMFusionMTM"])
def test_gradient_checkpointing_gives_the_same_gradients(name: str) -> None:
    gradients = []
    for checkpointing in (False, True):
        model = tiny_model(name)
        if checkpointing:
            model.activation_checkpointing_enable()
        model.train()
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        output = model(*batch([5, 9], [8, 3]))
        (output.pooled_video * output.pooled_text).sum().backward()
        gradients.append([p.grad for p in model.parameters()])
    for plain, checkpointed in zip(*gradients, strict=True):
        assert (plain is None) == (checkpointed is None)
        assert plain is None or torch.allclose(plain, checkpointed, atol=1e-6)


def test_bf16_gives_nearly_the_same_vectors() -> None:
    model = tiny_model()
    caps, cmasks, vfeats, vmasks = batch([5, 9], [8, 3])
    with torch.no_grad():
        exact = model(caps, cmasks, vfeats, vmasks).pooled_text
        rough = model.to(torch.bfloat16).get_text_features(caps, cmasks).float()
    assert torch.nn.functional.cosine_similarity(exact, rough).min() > 0.99


def test_a_row_that_sees_nobody_is_no_nan() -> None:
    model = tiny_model("MMFusionJoint")
    caps, cmasks, vfeats, vmasks = batch([5], [8])
    cmasks[:] = False
    vmasks[:] = False
    with torch.no_grad():
        output = model(caps, cmasks, vfeats, vmasks)
    assert torch.isfinite(output.pooled_video).all() and torch.isfinite(output.pooled_text).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c, m, f, v: (c[:, :1], m[:, :1], f, v), "caps .* do not fit"),
        (lambda c, m, f, v: (c, m[:, :-1], f, v), "caps .* do not fit"),
        (lambda c, m, f, v: (torch.cat([c, c], 1), torch.cat([m, m], 1), f, v), "2 to 16 places"),
        (lambda c, m, f, v: (c, m, f[..., :5], v), "vfeats .* do not fit"),
        (lambda c, m, f, v: (c, m, f[:, :4], v), "vfeats .* do not fit"),
        (lambda c, m, f, v: (c, m, torch.cat([f, f], 1), torch.cat([v, v], 1)), "at most 8 .* windows"),
    ],
)
def test_shapes_that_do_not_fit_are_told(change, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_model()(*change(*batch([5], [8])))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_iso_layer": 4}, "num_iso_layer is 4; it must be null or a number from 0 to the encoder's 3 layers"),
        ({"num_iso_layer": -1}, "num_iso_layer is -1"),
        ({"num_hidden_video_layers": 4}, "num_hidden_video_layers is 4"),
        ({"num_hidden_video_layers": 0}, "num_hidden_video_layers is 0"),
    ],
)
def test_layer_counts_out_of_range_are_told(values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_config(**values)


def test_a_wrong_class_name_is_told_with_its_place_and_the_nearest(golden_dir: Path) -> None:
    bert = golden_dir / "common" / "tiny-bert"
    text = f"dataset: {{bert_name: {bert}}}\nmodel: {{model_cls: MMFusionSeperate}}\n"
    with pytest.raises(ValueError, match=r"'MMFusionSeperate' \(model.model_cls in mine.yaml\).*'MMFusionSeparate'"):
        build_config(parse_config(text, source="mine.yaml"))


def test_a_bert_of_another_shape_is_refused() -> None:
    weights = {f"bert.{name}": tensor for name, tensor in tiny_model().text_encoder.state_dict().items()}
    weights["bert.pooler.dense.bias"] = torch.zeros(5)
    del weights["bert.pooler.dense.weight"]
    with pytest.raises(ValueError, match="does not fit") as caught:
        init_from_bert(tiny_model(), weights)
    assert "bert.pooler.dense.weight is missing" in str(caught.value)
    assert "bert.pooler.dense.bias is (5,), not (32,)" in str(caught.value)


@pytest.mark.parametrize(
    ("model_cls", "values", "message"),
    [
        ("MMFusionSeparate", {"video_encoder_cls": "BertModel"}, "cannot use the encoder 'BertModel'"),
        ("MMFusionSeparate", {"text_encoder_cls": "MMBertForJoint"}, "it takes BertModel"),
        ("MMFusionMFMMLM", {"mm_encoder_cls": "MMBertForJoint"}, "it takes MMBertForMFMMLM or MMBertForNLG"),
        ("MMFusionMTM", {"mm_encoder_cls": "MMBertForJoint"}, "it takes MMBertForMTM"),
        ("MMFusionNLG", {"mm_encoder_cls": "MMBertForMTM"}, "it takes MMBertForMFMMLM or MMBertForNLG"),
        ("MMFusionActionSegmentation", {"mm_encoder_cls": "MMBertForJoint"}, "it takes MMBertForTokenClassification"),
        ("MMFusionSeparateActionSegmentation", {"video_encoder_cls": "MMBertForEncoder"}, "ForTokenClassification"),
    ],
)
def test_encoders_that_do_not_fit_a_model_are_told(model_cls: str, values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_model(model_cls, **values)


def test_a_model_made_by_its_class_is_loaded_as_that_class(tmp_path: Path) -> None:
    model = lookup("model", "MMFusionJoint")(tiny_config("MMFusionSeparate"))
    model.save_pretrained(tmp_path)
    assert type(load_folder(tmp_path)).__name__ == "MMFusionJoint"


def test_a_text_encoder_without_a_class_is_told(golden_dir: Path) -> None:
    bert = golden_dir / "common" / "tiny-bert"
    text = f"dataset: {{bert_name: {bert}}}\nmodel: {{model_cls: MMFusionSeparate, text_encoder_cls: BurtModel}}\n"
    with pytest.raises(ValueError, match=r"'BurtModel' \(model.text_encoder_cls in mine.yaml\).*'BertModel'"):
        build_config(parse_config(text, source="mine.yaml"))
