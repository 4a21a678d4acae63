"""The BERT that a model is named after: its tokenizer, its shape and, to start a training from, its weights."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, BertConfig
from transformers.utils.hub import cached_file

from mmpt.models.original import read_state
from mmpt.utils.places import locate

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PRETRAINED = "pretrained_models"  # beside the project's folders: weights and vocabularies of others
_OLD_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}  # bert-base-uncased, 2018


def find_bert(bert_name: str | os.PathLike[str]) -> str:
    """Say where a BERT lies.

    Args:
        bert_name: a folder, or a hub name such as ``"bert-base-uncased"``. A folder of that name under
            ``pretrained_models/`` comes before the hub.

    Returns:
        The folder, or the hub name when there is none.

    Raises:
        FileNotFoundError: `bert_name` is a path, and no folder is there.
    """
    name = os.fspath(bert_name)
    for folder in (Path(name), locate(name), locate(PRETRAINED) / name):
        if folder.is_dir():
            return str(folder)
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise FileNotFoundError(
            f"bert_name {name!r} is not a folder; it takes a folder with config.json and vocab.txt, or a hub name such "
            "as bert-base-uncased"
        )
    return name


def load_tokenizer(bert_name: str | os.PathLike[str]) -> "PreTrainedTokenizerBase":
    """Load the WordPiece tokenizer.

    Args:
        bert_name: as for `find_bert`.

    Returns:
        A transformers tokenizer.

    Raises:
        FileNotFoundError: it is neither in a folder nor in the hub's cache, and the hub cannot be reached.
    """
    place = find_bert(bert_name)
    if Path(place).is_dir() and not any((Path(place) / name).is_file() for name in ("vocab.txt", "tokenizer.json")):
        raise _absent("the tokenizer", place, FileNotFoundError("there is neither vocab.txt nor tokenizer.json"))
    try:
        return AutoTokenizer.from_pretrained(place, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise _absent("the tokenizer", place, error) from error


def special_ids(tokenizer: "PreTrainedTokenizerBase") -> dict[str, int]:
    """Look up the tokens that frame a sequence.

    Args:
        tokenizer: a BERT tokenizer.

    Returns:
        `cls_token_id`, `sep_token_id` and `pad_token_id`.

    Raises:
        ValueError: the vocabulary lacks one of them.
    """
    ids = {name: getattr(tokenizer, name) for name in ("cls_token_id", "sep_token_id", "pad_token_id")}
    if missing := [name for name, value in ids.items() if not isinstance(value, int)]:
        raise ValueError(f"the tokenizer has no {', '.join(missing)}; the models take a BERT vocabulary")
    return ids


def load_bert_config(bert_name: str | os.PathLike[str]) -> BertConfig:
    """Load the shape of a BERT.

    Args:
        bert_name: as for `find_bert`.

    Returns:
        Its configuration.

    Raises:
        FileNotFoundError: as for `load_tokenizer`.
    """
    place = find_bert(bert_name)
    if Path(place).is_dir() and not (Path(place) / "config.json").is_file():  # transformers would take its defaults
        raise _absent("config.json", place, FileNotFoundError("there is none"))
    try:
        return BertConfig.from_pretrained(place)
    except (OSError, ValueError) as error:
        raise _absent("config.json", place, error) from error


def load_bert_weights(bert_name: str | os.PathLike[str]) -> dict[str, torch.Tensor]:
    """Load the weights of a BERT, to start a training from.

    Args:
        bert_name: as for `find_bert`; holds ``model.safetensors`` or ``pytorch_model.bin``.

    Returns:
        Name -> tensor as stored, under today's names (old checkpoints call LayerNorm's weight and bias gamma and beta).

    Raises:
        FileNotFoundError: there are no weights.
    """
    place = find_bert(bert_name)
    file = _weight_file(place, "model.safetensors") or _weight_file(place, "pytorch_model.bin")
    if file is None:
        raise FileNotFoundError(
            f"{place} has no model.safetensors and no pytorch_model.bin; a training starts from BERT's weights: point "
            "dataset.bert_name at a folder that has them"
        )
    stored = load_file(file) if file.suffix == ".safetensors" else read_state(file)
    return {_today(name): tensor for name, tensor in stored.items()}


def _weight_file(place: str, name: str) -> Path | None:
    if Path(place).is_dir():
        file = Path(place) / name
        return file if file.is_file() else None
    try:
        found = cached_file(place, name, _raise_exceptions_for_missing_entries=False)
    except OSError as error:
        raise _absent("the weights", place, error) from error
    return Path(found) if found else None


def _today(name: str) -> str:
    for old, new in _OLD_NAMES.items():
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name


def _absent(what: str, place: str, error: Exception) -> FileNotFoundError:
    if Path(place).is_dir():
        return FileNotFoundError(
            f"{what} of {place} cannot be read ({_first_line(error)}); the folder takes config.json, vocab.txt and "
            "tokenizer_config.json"
        )
    return FileNotFoundError(
        f"{what} of {place!r} is not on this machine, and the hub cannot be reached ({_first_line(error)}). "
        "Get it once with `mmpt download bert`, or point to a folder with config.json and vocab.txt: "
        "--bert-name FOLDER, bert_name=FOLDER in Python, or dataset.bert_name in the YAML file"
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:160]
