"""RunConfig -> model. The only place that unpacks a RunConfig for the models."""

from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoConfig, AutoModel, BertConfig

from mmpt.config import RunConfig
from mmpt.models import captioning, heads, videoclip, vlm  # noqa: F401 - importing them registers them
from mmpt.models.base import MMPTPreTrainedModel
from mmpt.models.bert import load_bert_config
from mmpt.models.configuration import MMPTConfig
from mmpt.text.tokenizer import check_vocabulary, load_tokenizer, special_ids
from mmpt.utils.featurefile import FeatureFile, read_features
from mmpt.utils.places import locate
from mmpt.utils.registry import lookup, registered
from mmpt.video.backbones.base import declared_dim, feature_name

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def build_config(
    run: RunConfig, *, bert_name: str | None = None, tokenizer: "PreTrainedTokenizerBase | None" = None
) -> MMPTConfig:
    """Work out a model's configuration.

    Args:
        run: what the YAML file says.
        bert_name: folder or hub name to use in place of the file's.
        tokenizer: the BERT's tokenizer, when it is loaded already.

    Returns:
        The configuration; [CLS] and [SEP] are those of the vocabulary.

    Raises:
        FileNotFoundError: the BERT cannot be found.
        ValueError: a value does not fit the BERT, a class name is not registered, or the width of the video features
            is nowhere said.
    """
    dataset, model = run.dataset, run.model
    bert = bert_name or dataset.bert_name
    tokenizer = load_tokenizer(bert) if tokenizer is None else tokenizer
    ids, bert_config = special_ids(tokenizer), load_bert_config(bert)
    check_vocabulary(tokenizer, bert_config.vocab_size, where=f"config.json of {bert_config.name_or_path}")
    for key in ("model_cls", "mm_encoder_cls", "video_encoder_cls", "text_encoder_cls"):
        if (name := getattr(model, key)) is not None:
            kind = "model" if key == "model_cls" else "encoder"
            lookup(kind, name, where=f"model.{key} in {run.source}", may_import=True)
    features, video_dim = _video_features(run)
    return MMPTConfig(
        bert_config,
        model_cls=model.model_cls,
        mm_encoder_cls=model.mm_encoder_cls,
        video_encoder_cls=model.video_encoder_cls,
        text_encoder_cls=model.text_encoder_cls,
        num_hidden_video_layers=model.num_hidden_video_layers,
        max_len=dataset.max_len,
        max_video_len=dataset.max_video_len,
        num_iso_layer=dataset.num_iso_layer,
        video_dim=video_dim,
        use_seg_emb=model.use_seg_emb,
        num_classes=model.num_labels,
        max_decode_length=model.max_decode_length,
        cls_token_id=ids["cls_token_id"],
        sep_token_id=ids["sep_token_id"],
        features=features,
    )


def _video_features(run: RunConfig) -> tuple[dict[str, Any], int]:
    """What the video features are, and how wide: as the file says, as the backbone says, or as the features say."""
    dataset, where = run.dataset, f"dataset.backbone in {run.source}"
    name = feature_name(dataset.backbone, where=where)
    width = run.model.video_dim or declared_dim(dataset.backbone, where=where)
    if width is None:
        found = _first_features(dataset.vfeat_dir)
        if found is None:
            raise ValueError(
                f"{run.source}: the width of {dataset.backbone!r} features is unknown, and dataset.vfeat_dir "
                f"({dataset.vfeat_dir}) holds no feature file that tells; set model.video_dim, or extract videos first"
            )
        width, name = found.array.shape[1], found.about.get("backbone", name)
    return {"backbone": name, "l2_normalized": dataset.l2_normalize}, width


def _first_features(folder: str | None) -> FeatureFile | None:
    for path in sorted(locate(folder).glob("*.npy")) if folder else ():
        try:
            return read_features(path, mmap=True)
        except ValueError:  # damaged, or one of the other arrays that lie beside shards
            continue
    return None


def build_model(config: MMPTConfig) -> MMPTPreTrainedModel:
    """Make a model with fresh weights.

    Args:
        config: its configuration.

    Returns:
        The model that `config.model_cls` names.

    Raises:
        ValueError: the name is not registered.
    """
    return lookup("model", config.model_cls, where="model_cls")(config)


def init_from_bert(model: MMPTPreTrainedModel, weights: dict[str, torch.Tensor]) -> list[str]:
    """Start a model from a BERT, as the original does: every encoder takes the layers it has, from the first on.

    Args:
        model: a model with fresh weights, changed in place.
        weights: what `load_bert_weights` gives.

    Returns:
        The names of the parameters that no BERT has, which keep their fresh values.

    Raises:
        ValueError: the weights are those of a BERT of another shape, or lack a tensor that the model needs.
    """
    fresh, problems = [], []
    with torch.no_grad():
        for name, parameter in model.state_dict(keep_vars=True).items():
            source = _bert_name_of(name)
            if source is None:
                fresh.append(name)
            elif source not in weights:
                problems.append(f"{source} is missing")
            elif weights[source].shape != parameter.shape:
                problems.append(f"{source} is {tuple(weights[source].shape)}, not {tuple(parameter.shape)}")
            else:
                parameter.copy_(weights[source])
    if problems:
        raise ValueError("this BERT does not fit the model:\n" + "\n".join(f"  - {line}" for line in problems))
    return fresh


def _bert_name_of(name: str) -> str | None:
    """The tensor of a BERT checkpoint that a parameter starts from; None for what BERT does not have."""
    tower, _, rest = name.partition(".")
    if rest.startswith(("videomlp.", "classifier.")) or "seg_embeddings" in rest:
        return None
    if rest == "cls.predictions.decoder.bias":
        return "cls.predictions.bias"
    return f"bert.{rest}" if tower == "text_encoder" else rest


def default_bert_config(hidden_size: int) -> BertConfig | None:
    """Guess a BERT's shape from its width.

    Args:
        hidden_size: width of the embeddings.

    Returns:
        bert-base's configuration for 768; None for others, since the number of heads cannot be seen in weights.
    """
    return BertConfig() if hidden_size == BertConfig().hidden_size else None


# transformers' own way in: a folder's `architectures` says which of the models it is.
AutoConfig.register(MMPTConfig.model_type, MMPTConfig, exist_ok=True)
AutoModel.register(MMPTConfig, tuple(registered("model")), exist_ok=True)  # pyright: ignore[reportArgumentType]
