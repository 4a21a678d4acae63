"""The configuration that travels with a saved model."""

from typing import Any, ClassVar

from transformers import BertConfig, PretrainedConfig

from mmpt.config.schema import COIN_LABELS
from mmpt.models.sizes import model_faults

BERT_CLS_ID, BERT_SEP_ID = 101, 102  # token ids of bert-base-uncased


class MMPTConfig(PretrainedConfig):
    """Shape of any of the models.

    Args:
        bert_config: the BERT whose layers the encoders are made of, as a BertConfig or a dict of its values.
        model_cls: registered name of the model.
        mm_encoder_cls: registered name of the one encoder, for one-encoder models.
        video_encoder_cls: registered name of the video tower, for two-tower models.
        text_encoder_cls: registered name of the text tower, for two-tower models.
        num_hidden_video_layers: layers of the video tower; None for as many as BERT has.
        max_len: tokens of the whole sequence.
        max_video_len: video tokens of the sequence; text positions are counted behind this many.
        num_iso_layer: layers that keep video and text apart; None for none.
        video_dim: width of a second's feature vector.
        use_seg_emb: whether to carry the (never used) segment embeddings.
        num_classes: labels of a segmentation head.
        max_decode_length: tokens of the longest caption; None for as many as there is place for.
        cls_token_id: id of [CLS].
        sep_token_id: id of [SEP].
        features: what the video features are, so that others are refused: backbone's name and whether unit length.
    """

    model_type = "mmpt"
    sub_configs: ClassVar[dict[str, type]] = {"bert_config": BertConfig}  # pyright: ignore

    def __init__(
        self,
        bert_config: BertConfig | dict[str, Any] | None = None,
        *,
        model_cls: str = "MMFusionSeparate",
        mm_encoder_cls: str | None = None,
        video_encoder_cls: str | None = None,
        text_encoder_cls: str | None = None,
        num_hidden_video_layers: int | None = None,
        max_len: int = 96,
        max_video_len: int = 32,
        num_iso_layer: int | None = None,
        video_dim: int = 512,
        use_seg_emb: bool = False,
        num_classes: int = COIN_LABELS,
        max_decode_length: int | None = None,
        cls_token_id: int = BERT_CLS_ID,
        sep_token_id: int = BERT_SEP_ID,
        features: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if bert_config is None:
            bert_config = BertConfig()
        elif isinstance(bert_config, dict):
            bert_config = BertConfig(**bert_config)
        elif not isinstance(bert_config, BertConfig):
            raise ValueError(f"bert_config is {bert_config!r:.60}; it must be a block with the numbers of a BERT")
        self.bert_config = bert_config
        self.model_cls = model_cls
        self.mm_encoder_cls = mm_encoder_cls
        self.video_encoder_cls = video_encoder_cls
        self.text_encoder_cls = text_encoder_cls
        self.num_hidden_video_layers = num_hidden_video_layers
        self.max_len = max_len
        self.max_video_len = max_video_len
        self.num_iso_layer = num_iso_layer
        self.video_dim = video_dim
        self.use_seg_emb = use_seg_emb
        self.max_decode_length = max_decode_length
        self.cls_token_id = cls_token_id
        self.sep_token_id = sep_token_id
        self.features = {"backbone": "s3d", "l2_normalized": True} if features is None else features
        self.num_classes = num_classes  # not `num_labels`, which transformers keeps as a list of names
        if faults := list(model_faults(self)):
            raise ValueError("\n".join(faults))
        kwargs = {"tie_word_embeddings": True, **kwargs}
        super().__init__(**kwargs)

    @property
    def hidden_size(self) -> int:
        """Width of the common space."""
        return self.bert_config.hidden_size
