"""The numbers of a configuration: whether they make sense, and whether weights have them, before anything is built."""

from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from transformers import BertConfig
from transformers.activations import ACT2FN

# The largest that is believed. No published BERT comes near; beyond, building alone takes minutes or all memory.
MAX_LAYERS = 1024
MAX_WIDTH = 1 << 17
MAX_ROWS = 1 << 24  # words, positions, labels
MAX_TYPES = 1 << 16

BERT_NUMBERS: dict[str, tuple[int, int]] = {
    "vocab_size": (1, MAX_ROWS),
    "hidden_size": (1, MAX_WIDTH),
    "num_hidden_layers": (1, MAX_LAYERS),
    "num_attention_heads": (1, MAX_WIDTH),
    "intermediate_size": (1, MAX_WIDTH),
    "max_position_embeddings": (1, MAX_ROWS),
    "type_vocab_size": (2, MAX_TYPES),  # video and text
}
BERT_RATES = {
    "hidden_dropout_prob": (0.0, 1.0),
    "attention_probs_dropout_prob": (0.0, 1.0),
    "initializer_range": (0.0, 1000.0),
    "layer_norm_eps": (0.0, 1.0),
}
MODEL_NUMBERS: dict[str, tuple[int, int]] = {
    "max_len": (1, MAX_ROWS),
    "max_video_len": (1, MAX_ROWS),
    "video_dim": (1, MAX_WIDTH),
    "num_classes": (1, MAX_ROWS),
    "cls_token_id": (0, MAX_ROWS),
    "sep_token_id": (0, MAX_ROWS),
    "num_hidden_video_layers": (1, MAX_LAYERS),
    "num_iso_layer": (0, MAX_LAYERS),
    "max_decode_length": (1, MAX_ROWS),
}
OPTIONAL = {"num_hidden_video_layers", "num_iso_layer", "max_decode_length"}
NAMES = {"model_cls": False, "mm_encoder_cls": True, "video_encoder_cls": True, "text_encoder_cls": True}  # may be null
# Where weights show a number: the end of a tensor's name, and which side of it.
SHOWN_BY: dict[str, tuple[str, int]] = {
    "bert_config.vocab_size": ("embeddings.word_embeddings.weight", 0),
    "bert_config.hidden_size": ("embeddings.word_embeddings.weight", 1),
    "bert_config.max_position_embeddings": ("embeddings.position_embeddings.weight", 0),
    "bert_config.type_vocab_size": ("embeddings.token_type_embeddings.weight", 0),
    "bert_config.intermediate_size": ("intermediate.dense.weight", 0),
    "video_dim": ("videomlp.linear1.weight", 1),
    "num_classes": (".classifier.weight", 0),
}
LAYER = ".encoder.layer."


def make_bert_config(values: Mapping[str, Any], *, source: str, prefix: str, advice: str) -> BertConfig:
    """Make a BERT's configuration of what a file says, of the keys that count here and no others.

    Args:
        values: what the file says; a key that is missing has BERT's usual value.
        source: what messages call the file.
        prefix: before each key in the messages.
        advice: what to do about a fault.

    Raises:
        ValueError: a value makes no sense.
    """
    usual = BertConfig()
    keys = (*BERT_NUMBERS, *BERT_RATES, "hidden_act", "is_decoder", "add_cross_attention", "pad_token_id")
    chosen: dict[str, Any] = {key: values.get(key, getattr(usual, key)) for key in keys}
    refuse(source, list(bert_faults(SimpleNamespace(**chosen), prefix)), advice)
    chosen |= {key: float(chosen[key]) for key in BERT_RATES}
    return BertConfig(**chosen)


def bert_faults(config: Any, prefix: str = "bert_config.") -> Iterator[str]:
    """Yield the faults of a BERT's configuration.

    Args:
        config: a BertConfig, or what has its attributes.
        prefix: before each key in the messages.
    """
    numbers = list(_number_faults(config, BERT_NUMBERS, prefix))
    yield from numbers
    for key, (least, most) in BERT_RATES.items():
        value = getattr(config, key, None)
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            yield f"{prefix}{key} is {_short(value)}; it must be a number from {least:g} to {most:g}"
    act = getattr(config, "hidden_act", None)
    if not isinstance(act, str) or act not in ACT2FN:
        yield f"{prefix}hidden_act is {_short(act)}; it must be an activation's name, for example 'gelu'"
    for key in ("is_decoder", "add_cross_attention"):
        if getattr(config, key, False) is not False:
            yield f"{prefix}{key} is {_short(getattr(config, key))}; these models take an encoder: false"
    pad = getattr(config, "pad_token_id", None)
    if pad is not None and (type(pad) is not int or (not numbers and not 0 <= pad < config.vocab_size)):
        yield f"{prefix}pad_token_id is {_short(pad)}; it must be null or the id of a word"
    if not numbers and config.hidden_size % config.num_attention_heads:
        yield (
            f"{prefix}hidden_size is {config.hidden_size}, which is not a multiple of the {config.num_attention_heads} "
            "of num_attention_heads"
        )


def model_faults(config: Any) -> Iterator[str]:
    """Yield the faults of a model's configuration.

    Args:
        config: an MMPTConfig.
    """
    for key, nullable in NAMES.items():
        value = getattr(config, key)
        if not (isinstance(value, str) and value) and not (nullable and value is None):
            yield f"{key} is {_short(value)}; it must be the name of a class{' or null' if nullable else ''}"
    numbers = list(_number_faults(config, MODEL_NUMBERS, ""))
    yield from numbers
    if not isinstance(config.use_seg_emb, bool):
        yield f"use_seg_emb is {_short(config.use_seg_emb)}; it must be true or false"
    features = config.features
    named = isinstance(features, Mapping) and isinstance(features.get("backbone"), str)
    if not named or not isinstance(features.get("l2_normalized"), bool):
        yield f'features is {_short(features)}; it must be a block such as {{"backbone": "s3d", "l2_normalized": true}}'
    bert = list(bert_faults(config.bert_config))
    yield from bert
    if not numbers and not bert:
        yield from _relations(config)


def weight_faults(config: Any, shapes: Mapping[str, Sequence[int]], *, weights: str) -> Iterator[str]:
    """Yield the numbers in a configuration that its weights contradict.

    Args:
        config: an MMPTConfig whose numbers make sense.
        shapes: name -> shape of each tensor.
        weights: what messages call the weights.
    """
    for key, (ending, side) in SHOWN_BY.items():
        value = config
        for part in key.split("."):
            value = getattr(value, part)
        for name, shape in shapes.items():
            if name.endswith(ending) and len(shape) == 2 and shape[side] != value:
                yield f"{key} is {value:,}, and {name} in {weights} is of shape {tuple(shape)}: {shape[side]:,}"
                break
    for key in ("cls_token_id", "sep_token_id"):
        if getattr(config, key) >= config.bert_config.vocab_size:
            yield f"{key} is {getattr(config, key):,}, and the vocabulary has {config.bert_config.vocab_size:,} words"
    layers = _count_layers(shapes)
    said = config.bert_config.num_hidden_layers
    if layers and said > layers:
        yield f"bert_config.num_hidden_layers is {said:,}, and {weights} has {layers:,} layers"


def refuse(source: str, faults: Sequence[str], advice: str) -> None:
    """Raise a ValueError that lists faults, if there are any."""
    if faults:
        raise ValueError(f"{source} cannot be used:\n" + "\n".join(f"  - {line}" for line in faults) + f"\n{advice}")


def shapes_of(state: Mapping[str, torch.Tensor]) -> dict[str, Sequence[int]]:
    """List the shapes of tensors."""
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def _number_faults(config: Any, limits: Mapping[str, tuple[int, int]], prefix: str) -> Iterator[str]:
    for key, (least, most) in limits.items():
        value = getattr(config, key, None)
        if value is None and key in OPTIONAL:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            null = "null or " if key in OPTIONAL else ""
            yield f"{prefix}{key} is {_short(value)}; it must be {null}a whole number from {least} to {most:,}"


def _relations(config: Any) -> Iterator[str]:
    bert = config.bert_config
    layers = bert.num_hidden_layers
    if config.num_iso_layer is not None and config.num_iso_layer > layers:
        yield (
            f"num_iso_layer is {config.num_iso_layer}; it must be null or a number from 0 to the encoder's {layers} "
            "layers"
        )
    if config.num_hidden_video_layers is not None and config.num_hidden_video_layers > layers:
        yield (
            f"num_hidden_video_layers is {config.num_hidden_video_layers}; it must be null or a number from 1 to "
            f"{layers}, the layers of the BERT that the tower is made from"
        )
    text = config.max_len - config.max_video_len
    if text < 4:
        yield (
            f"max_len is {config.max_len} and max_video_len {config.max_video_len}; max_len takes the video's seconds "
            "and at least 4 places: [CLS] [SEP] text [SEP]"
        )
    if max(config.max_video_len + 2, text) > bert.max_position_embeddings:
        yield (
            f"max_len is {config.max_len:,} and max_video_len {config.max_video_len:,}, and the BERT has "
            f"{bert.max_position_embeddings:,} positions (bert_config.max_position_embeddings)"
        )


def _count_layers(shapes: Mapping[str, Any]) -> int:
    """The layers of the deepest encoder."""
    layers: dict[str, set[str]] = {}
    for name in shapes:
        tower, found, rest = name.partition(LAYER)
        if found:
            layers.setdefault(tower, set()).add(rest.partition(".")[0])
    return max(map(len, layers.values()), default=0)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
