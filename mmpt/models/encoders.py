"""The encoders that YAML files name: a stock BERT, video tokens in front of it, a head behind it.

Parameter names are the original's, so that its checkpoints fit without renaming.
"""

import copy

import torch
from torch import nn
from transformers import BertConfig, BertModel
from transformers.models.bert.modeling_bert import BertLMPredictionHead, BertPredictionHeadTransform

from mmpt.models.configuration import MMPTConfig
from mmpt.models.video_bert import VideoTokenMLP
from mmpt.utils.registry import alias, register

SEGMENT_EMBEDDINGS = 256  # rows of the segment embeddings; carried by VLM's checkpoints, never used


def make_bert(config: MMPTConfig, *, num_layers: int | None = None) -> BertModel:
    """Make a stock BERT.

    Args:
        config: the model's configuration.
        num_layers: how many layers; as many as `config.bert_config` says by default.

    Returns:
        A BertModel with fresh weights.
    """
    bert_config: BertConfig = config.bert_config
    if num_layers not in (None, bert_config.num_hidden_layers):
        bert_config = copy.deepcopy(bert_config)
        bert_config.num_hidden_layers = num_layers
    return BertModel(bert_config)


@register("encoder", "MMBertForEncoder", "MMBertForJoint")
class VideoBertEncoder(nn.Module):
    """A BERT that takes video tokens.

    Args:
        config: the model's configuration.
        num_layers: layers of the BERT, when fewer than it has.
    """

    def __init__(self, config: MMPTConfig, *, num_layers: int | None = None) -> None:
        super().__init__()
        self.videomlp = VideoTokenMLP(config)
        self.bert = make_bert(config, num_layers=num_layers)
        if config.use_seg_emb:
            self.bert.embeddings.seg_embeddings = nn.Embedding(SEGMENT_EMBEDDINGS, config.hidden_size)


@register("encoder", "MMBertForTokenClassification")
class VideoBertForTokenClassification(VideoBertEncoder):
    """A video BERT with a score for each label at each place of the sequence."""

    def __init__(self, config: MMPTConfig, *, num_layers: int | None = None) -> None:
        super().__init__(config, num_layers=num_layers)
        self.dropout = nn.Dropout(config.bert_config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, config.num_classes)

    def label(self, states: torch.Tensor) -> torch.Tensor:
        """Score labels: float (W, V, D) -> float (W, V, labels)."""
        return self.classifier(self.dropout(states))


class VideoBertWithHead(VideoBertEncoder):
    """A video BERT that predicts what stood at a place; subclasses say with which head."""

    def __init__(self, config: MMPTConfig, *, num_layers: int | None = None) -> None:
        super().__init__(config, num_layers=num_layers)
        self.cls = PredictionHead(self._make_head(config.bert_config))

    def _make_head(self, config: BertConfig) -> nn.Module:
        raise NotImplementedError


@register("encoder", "MMBertForMFMMLM", "MMBertForNLG")
class VideoBertForMaskedModels(VideoBertWithHead):
    """A video BERT that predicts words, with BERT's own head."""

    def _make_head(self, config: BertConfig) -> nn.Module:
        return BertLMPredictionHead(config)


@register("encoder", "MMBertForMTM")
class VideoBertForSharedVocabulary(VideoBertWithHead):
    """A video BERT that predicts words and frames out of one vocabulary (VLM paper, masked token modelling)."""

    def _make_head(self, config: BertConfig) -> nn.Module:
        return _SharedVocabularyHead(config)


class PredictionHead(nn.Module):
    """Holds a head under the name `predictions`, as checkpoints call it.

    Args:
        predictions: a module with a `transform` and a `decoder`.
    """

    def __init__(self, predictions: nn.Module) -> None:
        super().__init__()
        self.predictions = predictions

    def transform(self, states: torch.Tensor) -> torch.Tensor:
        """Prepare states for comparison with candidates: float (N, D) -> float (N, D)."""
        return self.predictions.get_submodule("transform")(states)

    def words(self, transformed: torch.Tensor) -> torch.Tensor:
        """Score the vocabulary for prepared states: float (N, D) -> float (N, words)."""
        return self.predictions.get_submodule("decoder")(transformed)


class _SharedVocabularyHead(nn.Module):
    """Transform, then dot products with words; frames join as further columns, so there is no bias by word."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.transform = BertPredictionHeadTransform(config)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size, bias=False)


register("encoder", "BertModel")(BertModel)  # the text tower: no video tokens
alias("encoder", "MMFusionForMFMMLM", "MMBertForMFMMLM")  # what the original's mfmmlm.yaml says; no class had that name
