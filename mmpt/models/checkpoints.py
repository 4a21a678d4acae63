"""The original's checkpoints <-> models and safetensors folders.

Parameter names are the same on both sides, so mapping is checking: what is missing, unexpected or wrongly shaped is
listed, not ignored.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from transformers.models.bert.modeling_bert import BertEmbeddings

from mmpt.config.schema import COIN_LABELS
from mmpt.models.base import MMPTPreTrainedModel
from mmpt.models.build import build_model, default_bert_config
from mmpt.models.configuration import MMPTConfig
from mmpt.models.original import read_original, write_original
from mmpt.utils.registry import lookup

CONFIG_NAME, WEIGHTS = "config.json", "model.safetensors"
SHOWN = 8  # names listed of each kind of problem
_HARMLESS = ("position_ids", "seg_embeddings.weight")  # computed; never used
HEADS = (".cls.", ".classifier.")


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
    state = checkpoint.state
    if without_heads:
        own = model.state_dict()
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
    apart = [
        f"{name} and {other}"
        for name, other in _ties(model).items()
        if name in state and other in state and not torch.equal(state[name], state[other])
    ]
    listed = {"missing": missing, "unexpected": unexpected, "wrong shape": shapes, "differ though tied": apart}
    if problems := [_some(kind, names) for kind, names in listed.items() if names]:
        raise ValueError(
            f"{source} does not fit {type(model).__name__}:\n"
            + "\n".join(problems)
            + "\nCheck that model_cls, the encoders and bert_name are those the checkpoint was made with."
        )
    # A copy, so that the model does not hang on a file that is mapped into memory.
    tensors = {name: state[name].to(dtype or state[name].dtype, copy=True) for name in own if name in state}
    unused = {name: torch.zeros(tensor.shape) for name, tensor in own.items() if name not in state}
    model.load_state_dict({**tensors, **unused}, assign=True)
    model.tie_weights()
    _fill_buffers(model)


def convert(
    path: str | os.PathLike[str], folder: str | os.PathLike[str], config: MMPTConfig | None = None
) -> MMPTPreTrainedModel:
    """Turn a checkpoint of the original into a safetensors folder, tensors bit for bit.

    Args:
        path: ``checkpoint_best.pt`` or the like.
        folder: the folder to write.
        config: the model's configuration; inferred from the tensors by default.

    Returns:
        The model that was written, each parameter in the file's dtype.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: as for `load_original`, or the tensors leave the configuration open.
    """
    checkpoint = read_original(path)
    model = build_on_meta(config or infer_config(checkpoint.state, source=str(path)))
    load_state(model, checkpoint.state, source=str(path), dtype=None)
    model.config.original = {key: checkpoint.info[key] for key in ("num_updates", "epoch") if key in checkpoint.info}
    model.save_pretrained(folder)
    # The tensors stay as stored; who loads the folder gets fp32 parameters unless another dtype is asked for.
    model.config.dtype = torch.float32
    model.config.save_pretrained(folder)
    return model


def to_original(folder: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Turn a safetensors folder into a checkpoint that the original reads, tensors bit for bit.

    Args:
        folder: what `convert` or `save_pretrained` wrote.
        path: the .pt file to write.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: the folder holds another model, or tensors that do not fit.
    """
    folder = Path(folder)
    config = _folder_config(folder)
    model = build_on_meta(config)
    stored = load_file(folder / WEIGHTS)
    stored |= {name: stored[other] for name, other in _ties(model).items() if other in stored}
    load_state(model, stored, source=str(folder), dtype=None)
    write_original(path, original_state(model), info=getattr(config, "original", None))


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
    folder = Path(folder)
    config = _folder_config(folder)
    cls: Any = lookup("model", config.model_cls, where=f"model_cls in {folder / 'config.json'}")
    model, info = cls.from_pretrained(folder, config=config, dtype=dtype, output_loading_info=True)
    kinds = ("missing", "unexpected", "mismatched")
    listed = {kind: sorted(map(str, info.get(f"{kind}_keys", ()))) for kind in kinds}
    if problems := [_some(kind, names) for kind, names in listed.items() if names]:
        raise ValueError(f"{folder} does not fit {cls.__name__}:\n" + "\n".join(problems))
    return model.eval()


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
    tower = "video_encoder" if "video_encoder.videomlp.linear1.weight" in state else "mm_encoder"
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


def _folder_config(folder: Path) -> MMPTConfig:
    for name in (CONFIG_NAME, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder} holds no {name}; it takes a folder that `mmpt convert` or save_pretrained wrote"
            )
    try:
        kind = json.loads((folder / CONFIG_NAME).read_text()).get("model_type")
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{folder / CONFIG_NAME} is not the configuration of a model: {error}") from error
    if kind != MMPTConfig.model_type:
        raise ValueError(
            f"{folder} holds a model of type {kind!r}; it takes one of type {MMPTConfig.model_type!r}, which "
            "`mmpt convert` or save_pretrained wrote"
        )
    return MMPTConfig.from_pretrained(folder)


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


def _some(kind: str, names: list[str]) -> str:
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"  - {kind} ({len(names)}): {', '.join(names[:SHOWN])}{rest}"
