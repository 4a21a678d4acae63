"""The original's checkpoints <-> models and safetensors folders.

Parameter names are the same on both sides, so mapping is checking: what is missing, unexpected or wrongly shaped is
listed, not ignored.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from mmpt.config.schema import COIN_LABELS
from mmpt.models.base import MMPTPreTrainedModel
from mmpt.models.build import build_model, default_bert_config
from mmpt.models.configuration import MMPTConfig
from mmpt.models.original import read_original, write_original

WEIGHTS = "model.safetensors"
SHOWN = 8  # names listed of each kind of problem
_HARMLESS = ("position_ids", "seg_embeddings.weight")  # computed; never used


def load_original(model: MMPTPreTrainedModel, path: str | os.PathLike[str]) -> dict[str, Any]:
    """Fill a model from a checkpoint of the original.

    Args:
        model: the model, changed in place; its parameters keep their dtype (a fp16 file fills fp32 parameters).
        path: ``checkpoint_best.pt`` or the like.

    Returns:
        What else the file says, in plain values (`num_updates`, `epoch`, settings).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no checkpoint, is refused, or its tensors do not fit the model.
    """
    checkpoint = read_original(path)
    load_state(model, checkpoint.state, source=str(path))
    return checkpoint.info


def load_state(model: MMPTPreTrainedModel, state: Mapping[str, torch.Tensor], *, source: str) -> None:
    """Fill a model from tensors under the original's names.

    Args:
        model: the model, changed in place.
        state: name -> tensor.
        source: what error messages call it.

    Raises:
        ValueError: tensors are missing, unexpected or wrongly shaped; all of them are counted, some listed.
    """
    own = model.state_dict()
    missing = [name for name in own if name not in state and not name.endswith(_HARMLESS)]
    unexpected = [name for name in state if name not in own and not name.endswith(_HARMLESS)]
    shapes = [
        f"{name} is {tuple(state[name].shape)}, not {tuple(tensor.shape)}"
        for name, tensor in own.items()
        if name in state and state[name].shape != tensor.shape
    ]
    problems = [_some("missing", missing), _some("unexpected", unexpected), _some("wrong shape", shapes)]
    if any(problems):
        raise ValueError(
            f"{source} does not fit {type(model).__name__}:\n"
            + "\n".join(filter(None, problems))
            + "\nCheck that model_cls, the encoders and bert_name are those the checkpoint was made with."
        )
    with torch.no_grad():
        for name, tensor in own.items():  # state_dict shares storage with the parameters
            if name in state:
                tensor.copy_(state[name])


def convert(
    path: str | os.PathLike[str], folder: str | os.PathLike[str], config: MMPTConfig | None = None
) -> MMPTPreTrainedModel:
    """Turn a checkpoint of the original into a safetensors folder, tensors bit for bit.

    Args:
        path: ``checkpoint_best.pt`` or the like.
        folder: the folder to write.
        config: the model's configuration; inferred from the tensors by default.

    Returns:
        The model that was written, in the file's dtype.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: as for `load_original`, or the tensors leave the configuration open.
    """
    checkpoint = read_original(path)
    config = config or infer_config(checkpoint.state, source=str(path))
    model = build_model(config)
    stored = next(tensor for name, tensor in checkpoint.state.items() if name.endswith("linear1.weight")).dtype
    model.to(stored)  # pyright: ignore[reportArgumentType] - transformers' own signature is wrong
    load_state(model, checkpoint.state, source=str(path))
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
        ValueError: the folder holds no model.
    """
    _check_folder(Path(folder))
    with safe_open(Path(folder) / WEIGHTS, framework="pt") as file:
        stored = file.get_tensor(next(name for name in file.keys() if name.endswith("linear1.weight"))).dtype  # noqa: SIM118
    model = load_folder(folder, dtype=stored)
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
    folder = Path(folder)
    _check_folder(folder)
    config = MMPTConfig.from_pretrained(folder)
    cls = type(build_model_on_meta(config))
    loaded: Any = cls.from_pretrained(folder, config=config, dtype=dtype, output_loading_info=True)
    model, info = loaded
    kinds = ("missing", "unexpected", "mismatched")
    problems = [_some(kind, sorted(map(str, info.get(f"{kind}_keys", ())))) for kind in kinds]
    if any(problems):
        raise ValueError(f"{folder} does not fit {cls.__name__}:\n" + "\n".join(filter(None, problems)))
    return model.eval()


def build_model_on_meta(config: MMPTConfig) -> MMPTPreTrainedModel:
    """Make a model without memory for its weights: float parameters on the meta device."""
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


def _check_folder(folder: Path) -> None:
    for name in ("config.json", WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder} holds no {name}; it takes a folder that `mmpt convert` or save_pretrained wrote"
            )


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
    if not names:
        return ""
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"  - {kind} ({len(names)}): {', '.join(names[:SHOWN])}{rest}"
