"""The weights that a training starts from: BERT's, a checkpoint's, or fresh ones."""

from pathlib import Path

import torch

from mmpt.models.base import MMPTPreTrainedModel
from mmpt.models.bert import load_bert_weights
from mmpt.models.build import build_model, init_from_bert
from mmpt.models.checkpoints import load_state, of_head
from mmpt.models.configuration import MMPTConfig
from mmpt.models.original import read_state
from mmpt.utils.statedict import unwrap


def fresh_model(config: MMPTConfig, *, seed: int) -> MMPTPreTrainedModel:
    """Make a model with fresh weights, the same for the same seed.

    Args:
        config: the model's configuration.
        seed: of the weights.

    Returns:
        The model, in training mode.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_model(config).train()


def start_from_bert(model: MMPTPreTrainedModel, bert_name: str) -> str:
    """Give a model the weights of a BERT.

    Args:
        model: with fresh weights, changed in place.
        bert_name: folder or hub name.

    Returns:
        What was done, in words.

    Raises:
        FileNotFoundError: there are no weights.
        ValueError: they do not fit.
    """
    try:
        weights = load_bert_weights(bert_name)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}; --from-scratch starts from random weights") from error
    fresh = init_from_bert(model, weights)
    return f"starting from the weights of {bert_name}; {len(fresh)} tensors that no BERT has are fresh"


def start_from_checkpoint(model: MMPTPreTrainedModel, path: Path) -> str:
    """Give a model the weights of a checkpoint, which may be that of another task.

    Args:
        model: with fresh weights, changed in place.
        path: the .pt file.

    Returns:
        What was done, in words. The head of another task is left out, and the own one stays fresh where the
        checkpoint has none.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no checkpoint, or its encoders are not the model's.
    """
    own = model.state_dict()
    stored = unwrap(read_state(path), own, source=str(path))
    unused = [name for name in stored if of_head(name) and _differ(own, stored, name)]
    fresh = [name for name in own if of_head(name) and _differ(own, stored, name)]
    ties = getattr(model, "_tied_weights_keys", None) or {}  # a head's words are those of the embeddings
    state = {name: value for name, value in stored.items() if name not in unused}
    for name in fresh:
        tied = ties.get(name)
        state[name] = (stored[tied] if tied in stored else own[name]).clone()
    load_state(model, state, source=str(path))
    parts = [f"starting from {path}"]
    parts += [f"{len(unused)} tensors of another task's head are left out"] if unused else []
    parts += [f"{len(fresh)} tensors of this task's head are fresh"] if fresh else []
    return "; ".join(parts)


def _differ(own: dict[str, torch.Tensor], stored: dict[str, torch.Tensor], name: str) -> bool:
    return name not in own or name not in stored or own[name].shape != stored[name].shape
