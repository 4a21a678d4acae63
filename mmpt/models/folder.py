"""A weights folder: config.json and model.safetensors, each looked at before anything is built of it."""

from pathlib import Path

from mmpt.models.configuration import MMPTConfig
from mmpt.models.sizes import make_bert_config, refuse, weight_faults
from mmpt.utils.statedict import read_json_object, read_shapes

CONFIG_NAME, WEIGHTS = "config.json", "model.safetensors"
ADVICE = "Get the folder again, or write it again with `mmpt convert` from the checkpoint that it was made of."
# A default in the place of one of these would give other numbers without a word.
NEEDED = ("model_cls", "bert_config", "max_len", "max_video_len", "video_dim", "cls_token_id", "sep_token_id")
BERT_NEEDED = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
BERT_NEEDED += ("hidden_act", "max_position_embeddings", "type_vocab_size", "layer_norm_eps")
# All that is taken from a folder. Other keys of transformers say where code or weights come from (auto_map, adapters,
# quantization, attention kernels of the hub), and a folder has no say in that.
TAKEN = (*NEEDED, "mm_encoder_cls", "video_encoder_cls", "text_encoder_cls", "num_hidden_video_layers")
TAKEN += ("num_iso_layer", "use_seg_emb", "num_classes", "max_decode_length", "features")


def read_config(folder: Path) -> MMPTConfig:
    """Read a folder's configuration, and hold it to the header of the weights beside it.

    Raises:
        FileNotFoundError: one of the two files is not there.
        ValueError: a key is missing, makes no sense or is not what the weights have.
    """
    for name in (CONFIG_NAME, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder} holds no {name}; use a folder that `mmpt convert` or save_pretrained wrote"
            )
    path = folder / CONFIG_NAME
    values = read_json_object(path)
    if values.get("model_type") != MMPTConfig.model_type:
        raise ValueError(
            f"{folder} holds a model of type {values.get('model_type')!r:.60}; use one of type "
            f"{MMPTConfig.model_type!r}, which `mmpt convert` or save_pretrained wrote"
        )
    faults = [f"{key} is missing" for key in NEEDED if key not in values]
    faults += ["features is missing"] if values.get("features") is None else []  # other features than meant fit as well
    bert = values.get("bert_config")
    if isinstance(bert, dict):
        faults += [f"bert_config.{key} is missing" for key in BERT_NEEDED if key not in bert]
    elif "bert_config" in values:
        faults.append(f"bert_config is {bert!r:.60}; it must be a block with the numbers of a BERT")
    refuse(str(path), faults, ADVICE)
    assert isinstance(bert, dict)
    bert_config = make_bert_config(bert, source=str(path), prefix="bert_config.", advice=ADVICE)
    try:
        config = MMPTConfig(
            bert_config, **{key: values[key] for key in TAKEN if key in values and key != "bert_config"}
        )
    except ValueError as error:
        refuse(str(path), str(error).splitlines(), ADVICE)
        raise
    if isinstance(told := values.get("original"), dict):  # what `mmpt convert` keeps of the checkpoint
        config.original = {key: told[key] for key in ("num_updates", "epoch") if type(told.get(key)) is int}
    refuse(str(path), list(weight_faults(config, read_shapes(folder / WEIGHTS), weights=WEIGHTS)), ADVICE)
    return config
