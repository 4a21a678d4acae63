"""The original's checkpoints <-> models and safetensors folders.

Parameter names are the same on both sides, so mapping is checking: what is missing, unexpected or wrongly shaped is
listed, not ignored.
"""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers.models.bert.modeling_bert import BertEmbeddings

from mmpt.config.schema import COIN_LABELS
from mmpt.models.base import MMPTPreTrainedModel
from mmpt.models.build import build_model, default_bert_config
from mmpt.models.configuration import MMPTConfig
from mmpt.models.folder import CONFIG_NAME, WEIGHTS, read_config
from mmpt.models.original import read_original, write_original
from mmpt.models.sizes import refuse, shapes_of, weight_faults
from mmpt.utils.statedict import find_non_finite, listed, prefix_hint, read_tensors, unwrap

logger = logging.getLogger(__name__)

SHOWN = 8  # names listed of each kind of problem
_HARMLESS = ("position_ids", "seg_embeddings.weight")  # computed; never used
HEADS = (".cls.", ".classifier.")
_TOWERS = ("video_encoder", "mm_encoder")
_ANCHORS = frozenset(f"{tower}.videomlp.linear1.weight" for tower in _TOWERS)  # every model has one of them
_ADVICE = "Check that model_cls, the encoders and bert_name are those the checkpoint was made with."


def load_original(
    model: MMPTPreTrainedModel, path: str | os.PathLike[str], *, without_heads: bool = False
) -> dict[str, Any]:
    """Fill a model from a checkpoint of the original.

    Args:
        model: the model, changed in place: fp32 parameters on the CPU, whatever the file holds.
        path: ``checkpoint_best.pt`` or the like.
        without_heads: leave out the head of pre-training, or of another task, where the model has no such head.

    Returns:
        What else the file says, in plain values (`num_updates`, `epoch`, settings).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no checkpoint, is refused, or its tensors do not fit the model.
    """
    checkpoint = read_original(path)
    own = model.state_dict()
    state = unwrap(checkpoint.state, own, source=str(path))
    if without_heads:
        state = {name: tensor for name, tensor in state.items() if name in own or not of_head(name)}
    load_state(model, state, source=str(path))
    return checkpoint.info


def of_head(name: str) -> bool:
    """Whether a tensor belongs to what a task has of its own: a checkpoint of another task lacks it, or has another.

    Args:
        name: of the tensor.

    Returns:
        Whether it does.
    """
    return any(part in name for part in HEADS)


def load_state(
    model: MMPTPreTrainedModel,
    state: Mapping[str, torch.Tensor],
    *,
    source: str,
    dtype: torch.dtype | None = torch.float32,
) -> None:
    """Fill a model from tensors under the original's names.

    Args:
        model: the model, changed in place; its parameters may be on the meta device, and are on the CPU afterwards.
        state: name -> tensor.
        source: what error messages call it.
        dtype: of the parameters; None keeps each tensor's own.

    Raises:
        ValueError: tensors are missing, unexpected, wrongly shaped, or differ where the model has one for both; all of
            them are counted, some listed, and the model is as it was.
    """
    own = model.state_dict()
    missing = [name for name in own if name not in state and not name.endswith(_HARMLESS)]
    unexpected = [name for name in state if name not in own and not name.endswith(_HARMLESS)]
    shapes = [
        f"{name} is {tuple(state[name].shape)}, not {tuple(tensor.shape)}"
        for name, tensor in own.items()
        if name in state and state[name].shape != tensor.shape
    ]
    kinds = [
        f"{name} is {state[name].dtype}, not of floating point"
        for name, tensor in own.items()
        if name in state and tensor.is_floating_point() and not state[name].is_floating_point()
    ]
    apart = [
        f"{name} and {other}"
        for name, other in _ties(model).items()
        if name in state and other in state and not torch.equal(state[name], state[other])
    ]
    found = {
        "missing": missing,
        "unexpected": unexpected,
        "wrong shape": shapes,
        "wrong kind": kinds,
        "differ though tied": apart,
    }
    if problems := [f"  - {kind} ({len(names)}): {listed(names, SHOWN)}" for kind, names in found.items() if names]:
        if hint := prefix_hint(set(missing), unexpected):
            problems.append(f"  - {hint}")
        raise ValueError(f"{source} does not fit {type(model).__name__}:\n" + "\n".join(problems) + f"\n{_ADVICE}")
    # A copy, so that the model does not hang on a file that is mapped into memory.
    tensors = {name: state[name].to(dtype or state[name].dtype, copy=True) for name in own if name in state}
    unused = {name: torch.zeros(tensor.shape) for name, tensor in own.items() if name not in state}
    model.load_state_dict({**tensors, **unused}, assign=True)
    if dtype is not None:  # who keeps each tensor's own converts, and refuses
        _warn_of_non_finite(tensors, source)
    model.tie_weights()
    _fill_buffers(model)


def convert(
    path: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    config: MMPTConfig | None = None,
    *,
    allow_non_finite: bool = False,
) -> MMPTPreTrainedModel:
    """Turn a checkpoint of the original into a safetensors folder, tensors bit for bit.

    Args:
        path: ``checkpoint_best.pt`` or the like.
        folder: the folder to write.
        config: the model's configuration; inferred from the tensors by default.
        allow_non_finite: write weights that hold NaN or infinity as well.

    Returns:
        The model that was written, each parameter in the file's dtype.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: see `load_original`; or the tensors leave the configuration open, or hold NaN or infinity.
    """
    checkpoint = read_original(path)
    state = unwrap(checkpoint.state, _ANCHORS, source=str(path))
    config = config or infer_config(state, source=str(path))
    refuse(f"The configuration for {path}", list(weight_faults(config, shapes_of(state), weights=str(path))), _ADVICE)
    model = build_on_meta(config)
    state = unwrap(state, model.state_dict(), source=str(path))
    load_state(model, state, source=str(path), dtype=None)
    _refuse_non_finite(state, path, allow_non_finite)
    model.config.original = {key: checkpoint.info[key] for key in ("num_updates", "epoch") if key in checkpoint.info}
    model.save_pretrained(folder)
    # The tensors stay as stored; who loads the folder gets fp32 parameters unless another dtype is asked for.
    model.config.dtype = torch.float32
    model.config.save_pretrained(folder)
    return model


def to_original(
    folder: str | os.PathLike[str], path: str | os.PathLike[str], *, allow_non_finite: bool = False
) -> None:
    """Turn a safetensors folder into a checkpoint that the original reads, tensors bit for bit.

    Args:
        folder: what `convert` or `save_pretrained` wrote.
        path: the .pt file to write.
        allow_non_finite: write weights that hold NaN or infinity as well.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: the folder holds another model, or tensors that do not fit, or hold NaN or infinity.
    """
    model = _read_folder(Path(folder), dtype=None)
    _refuse_non_finite(model.state_dict(), folder, allow_non_finite)
    write_original(path, original_state(model), info=getattr(model.config, "original", None))


def original_state(model: MMPTPreTrainedModel) -> dict[str, torch.Tensor]:
    """List a model's tensors as the original's state dict has them.

    Args:
        model: the model.

    Returns:
        Name -> tensor, tied ones under both names, with the position ids that the original stores beside embeddings.
    """
    state: dict[str, torch.Tensor] = {}
    for name, tensor in model.state_dict().items():
        if name.endswith("embeddings.word_embeddings.weight"):
            places = model.config.bert_config.max_position_embeddings
            state[name.replace("word_embeddings.weight", "position_ids")] = torch.arange(places)[None]
        state[name] = tensor
    return state


def load_folder(folder: str | os.PathLike[str], *, dtype: torch.dtype = torch.float32) -> MMPTPreTrainedModel:
    """Load a safetensors folder.

    Args:
        folder: what `convert` or `save_pretrained` wrote.
        dtype: of the parameters.

    Returns:
        The model, in evaluation mode.

    Raises:
        FileNotFoundError: there is no such folder, or no model in it.
        ValueError: tensors are missing, unexpected or wrongly shaped.
    """
    return _read_folder(Path(folder), dtype=dtype).eval()


def build_on_meta(config: MMPTConfig) -> MMPTPreTrainedModel:
    """Make a model without memory for its weights, to be filled by `load_state`.

    Args:
        config: its configuration.

    Returns:
        The model, its parameters on the meta device.

    Raises:
        ValueError: a class name is not registered, or an encoder does not fit the model.
    """
    with torch.device("meta"):
        return build_model(config)


def infer_config(state: Mapping[str, torch.Tensor], *, source: str) -> MMPTConfig:
    """Work out a configuration from tensors alone.

    Args:
        state: name -> tensor.
        source: what error messages call it.

    Returns:
        The configuration of the model that has such tensors; a shared and a joint encoder look alike, and count as
        `MMFusionJoint`.

    Raises:
        ValueError: the BERT is not of bert-base's width, so that its heads cannot be known.
    """
    tower = next((name for name in _TOWERS if f"{name}.videomlp.linear1.weight" in state), "mm_encoder")
    if f"{tower}.videomlp.linear1.weight" not in state:
        raise ValueError(f"{source} is not a checkpoint of these models: it has no {tower}.videomlp.linear1.weight")
    hidden, video_dim = state[f"{tower}.videomlp.linear1.weight"].shape
    bert_config = default_bert_config(hidden)
    if bert_config is None:
        raise ValueError(
            f"{source} has a BERT of width {hidden}, whose number of heads cannot be told from its weights; say what "
            "it was made with: --config FILE.yaml [--bert-name FOLDER]"
        )
    labels = state.get(f"{tower}.classifier.weight")
    return MMPTConfig(
        bert_config,
        model_cls=_infer_class(state, tower),
        num_hidden_video_layers=_count_layers(state, tower) if tower == "video_encoder" else None,
        video_dim=video_dim,
        use_seg_emb=f"{tower}.bert.embeddings.seg_embeddings.weight" in state,
        num_classes=COIN_LABELS if labels is None else len(labels),
    )


def _read_folder(folder: Path, *, dtype: torch.dtype | None) -> MMPTPreTrainedModel:
    """Load a folder without transformers' own loading, which also follows adapters, quantization and the hub."""
    config = read_config(folder)
    try:
        model = build_on_meta(config)
    except ValueError as error:
        raise ValueError(f"{folder / CONFIG_NAME} cannot be used: {error}") from error
    stored = unwrap(read_tensors(folder / WEIGHTS), model.state_dict(), source=str(folder / WEIGHTS))
    stored |= {name: stored[other] for name, other in _ties(model).items() if other in stored and name not in stored}
    load_state(model, stored, source=str(folder), dtype=dtype)
    model.config.name_or_path = str(folder)
    return model


def _warn_of_non_finite(state: Mapping[str, torch.Tensor], source: str) -> None:
    suspects = {name: tensor for name, tensor in state.items() if not torch.isfinite(tensor.sum())}
    if found := find_non_finite(suspects):
        logger.warning("%s holds values that are no numbers, and its results will be none: %s", source, listed(found))


def _refuse_non_finite(state: Mapping[str, torch.Tensor], path: str | os.PathLike[str], allowed: bool) -> None:
    if not allowed and (found := find_non_finite(state)):
        raise ValueError(
            f"{os.fspath(path)} holds values that are no numbers, in {len(found)} of {len(state)} tensors: "
            f"{listed(found)}. A model with them gives NaN; its training has probably diverged, so take an earlier "
            "checkpoint, or write it nevertheless with --allow-non-finite"
        )


def _ties(model: MMPTPreTrainedModel) -> dict[str, str]:
    """Parameter -> the one it shares its tensor with."""
    return dict(getattr(model, "_tied_weights_keys", None) or {})


def _fill_buffers(model: MMPTPreTrainedModel) -> None:
    """Give stock BERT's two unsaved buffers their values, where a model built on the meta device has none."""
    for module in model.modules():
        if isinstance(module, BertEmbeddings) and module.position_ids.is_meta:
            places = module.position_ids.shape[-1]
            module.position_ids = nn.Buffer(torch.arange(places)[None], persistent=False)
            module.token_type_ids = nn.Buffer(torch.zeros(1, places, dtype=torch.long), persistent=False)


def _infer_class(state: Mapping[str, torch.Tensor], tower: str) -> str:
    segmentation = f"{tower}.classifier.weight" in state
    if tower == "video_encoder":
        return "MMFusionSeparateActionSegmentation" if segmentation else "MMFusionSeparate"
    if segmentation:
        return "MMFusionActionSegmentation"
    if "mm_encoder.cls.predictions.bias" in state:
        return "MMFusionMFMMLM"
    return "MMFusionMTM" if "mm_encoder.cls.predictions.decoder.weight" in state else "MMFusionJoint"


def _count_layers(state: Mapping[str, torch.Tensor], tower: str) -> int:
    return sum(name.startswith(f"{tower}.bert.") and name.endswith(".intermediate.dense.bias") for name in state)
