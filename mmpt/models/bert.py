"""The BERT that a model is named after: its shape and, to start a training from, its weights."""

import os
from pathlib import Path

import torch
from transformers import BertConfig
from transformers.utils.hub import cached_file

from mmpt.models.original import read_state
from mmpt.models.sizes import make_bert_config
from mmpt.text.tokenizer import absent, find_bert, from_here_or_hub
from mmpt.utils.statedict import read_json_object, read_tensors, unwrap

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_WORDS = "embeddings.word_embeddings.weight"
_OLD_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}  # bert-base-uncased, 2018


def load_bert_config(bert_name: str | os.PathLike[str]) -> BertConfig:
    """Load the shape of a BERT.

    Args:
        bert_name: as for `find_bert`.

    Returns:
        Its configuration.

    Raises:
        FileNotFoundError: as for `load_tokenizer`.
        ValueError: its numbers make no sense.
    """
    place = find_bert(bert_name)
    if Path(place).is_dir():
        file = Path(place) / "config.json"
        if not file.is_file():  # transformers would take its defaults
            raise absent("config.json", place, FileNotFoundError("there is none"))
    else:
        try:
            file = Path(from_here_or_hub(place, lambda local: _cached(place, "config.json", local)))
        except (OSError, ValueError) as error:
            raise absent("config.json", place, error) from error
    values = read_json_object(file)
    advice = "Point bert_name to the folder of a BERT."
    config = make_bert_config(values, source=str(file), prefix="", advice=advice)
    config.name_or_path = place
    return config


def _cached(place: str, name: str, local: bool) -> str:
    found = cached_file(place, name, local_files_only=local)
    assert found is not None
    return found


def load_bert_weights(bert_name: str | os.PathLike[str]) -> dict[str, torch.Tensor]:
    """Load the weights of a BERT, to start a training from.

    Args:
        bert_name: as for `find_bert`; holds ``model.safetensors`` or ``pytorch_model.bin``.

    Returns:
        Name -> tensor as stored, under today's names (old checkpoints call LayerNorm's weight and bias gamma and beta).

    Raises:
        FileNotFoundError: there are no weights.
        ValueError: the file is damaged, or refused.
    """
    place = find_bert(bert_name)
    file = _weight_file(place)
    if file is None:
        raise FileNotFoundError(
            f"{place} has no model.safetensors and no pytorch_model.bin; a training starts from BERT's weights: point "
            "dataset.bert_name at a folder that has them"
        )
    stored = read_tensors(file) if file.suffix == ".safetensors" else read_state(file)
    stored = unwrap(stored, (f"bert.{_WORDS}", _WORDS), source=str(file))
    before = "bert." if _WORDS in stored else ""  # a BertModel that was saved by itself, without heads
    return {before + _today(name): tensor for name, tensor in stored.items()}


def _weight_file(place: str) -> Path | None:
    if Path(place).is_dir():
        return next((Path(place) / name for name in WEIGHTS if (Path(place) / name).is_file()), None)

    def load(local: bool) -> str | None:
        options = {"local_files_only": local, "_raise_exceptions_for_missing_entries": False}
        found = next((file for name in WEIGHTS if (file := cached_file(place, name, **options))), None)
        if local and found is None:
            raise FileNotFoundError(f"there is neither {' nor '.join(WEIGHTS)}")
        return found

    try:
        found = from_here_or_hub(place, load)
    except OSError as error:
        raise absent("the weights", place, error) from error
    return Path(found) if found else None


def _today(name: str) -> str:
    for old, new in _OLD_NAMES.items():
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name
