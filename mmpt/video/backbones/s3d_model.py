"""S3D: the video network whose per-second features VideoCLIP and VLM read, and the text tower trained beside it.

Xie et al. 2018 (separable 3-D Inception with self-gating), with the space-to-depth stem and the word tower of
Miech et al. 2020 (MIL-NCE on HowTo100M). Parameter names are those of the published weights.

Legend: B clips, C channels, T frames, H and W pixels, N sentences.
"""

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.utils.generic import ModelOutput
from transformers.utils.hub import cached_file

from mmpt.utils.files import atomic_path
from mmpt.video.backbones.s3d_layers import (
    CELL,
    RGB,
    ConvUnit,
    InceptionBlock,
    SamePool,
    SelfGating,
    check_clip_shape,
    space_to_depth,
)

S3D_FPS = 30  # frames per second; HowTo100M S3D as VideoCLIP and VLM use it
S3D_SIZE = 224  # pixels
STEM_CHANNELS = 64
CONV_2C_CHANNELS = 192
STEM_KERNEL = (2, 4, 4)
STEM_PADDING = (1, 2, 2)
GAIN = 2.0  # of an untrained convolution: what ReLU and gates take is given back over the depth of the network
OPEN_GATE = 2.0  # bias of an untrained gate: sigmoid(2) = 0.88 of the signal passes
WORDS_FILE = "words.json"
WORD = re.compile(r"[\w']+")

BLOCKS: dict[str, tuple[int, int, int, int, int, int]] = {
    # block -> widths of branch 0, branch 1 before and after its 3x3x3, branch 2 before and after, branch 3
    "mixed_3b": (64, 96, 128, 16, 32, 32),
    "mixed_3c": (128, 128, 192, 32, 96, 64),
    "mixed_4b": (192, 96, 208, 16, 48, 64),
    "mixed_4c": (160, 112, 224, 24, 64, 64),
    "mixed_4d": (128, 128, 256, 24, 64, 64),
    "mixed_4e": (112, 144, 288, 32, 64, 64),
    "mixed_4f": (256, 160, 320, 32, 128, 128),
    "mixed_5b": (256, 160, 320, 32, 128, 128),
    "mixed_5c": (384, 192, 384, 48, 128, 128),
}


MAX_SIZE = 1 << 24  # the largest that is believed of a configuration
_NUMBERS = ("vocab_size", "word_dim", "text_hidden_dim", "max_words", "embedding_dim", "stem_channels")
_NUMBERS += ("conv_2c_channels",)


class S3DConfig(PretrainedConfig):
    """Sizes of an S3D network; the defaults are those of the published weights.

    Args:
        vocab_size: rows of the word embedding: row 0 is padding, row i + 1 is word i.
        word_dim: width of the word embedding.
        text_hidden_dim: width of the text tower's hidden layer.
        max_words: words of a sentence that are read.
        embedding_dim: width of the space that clips and sentences share.
        stem_channels: width of the first two layers.
        conv_2c_channels: width of the layer before the Inception blocks.
        blocks: block name -> its six widths, in the order of `BLOCKS`.
        fps: frames per second that it was trained on; an even number, as it reads frames by two.
        size: side of the square frames that it was trained on, in pixels; even.

    Raises:
        ValueError: a block is missing or has not six widths, or `fps` or `size` is odd or below 2.
    """

    model_type = "mmpt_s3d"

    def __init__(
        self,
        vocab_size: int = 66_250,
        word_dim: int = 300,
        text_hidden_dim: int = 2048,
        max_words: int = 16,
        embedding_dim: int = 512,
        stem_channels: int = STEM_CHANNELS,
        conv_2c_channels: int = CONV_2C_CHANNELS,
        blocks: Mapping[str, Sequence[int]] | None = None,
        fps: int = S3D_FPS,
        size: int = S3D_SIZE,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.vocab_size = vocab_size
        self.word_dim = word_dim
        self.text_hidden_dim = text_hidden_dim
        self.max_words = max_words
        self.embedding_dim = embedding_dim
        self.stem_channels = stem_channels
        self.conv_2c_channels = conv_2c_channels
        if blocks is not None and not isinstance(blocks, Mapping):
            raise ValueError(f"S3DConfig.blocks is {blocks!r:.60}; it needs six widths for each of {', '.join(BLOCKS)}")
        self.blocks = {name: list(widths) for name, widths in (blocks or BLOCKS).items()}
        if list(self.blocks) != list(BLOCKS) or any(len(widths) != 6 for widths in self.blocks.values()):
            raise ValueError(f"S3DConfig.blocks is {self.blocks}; it needs six widths for each of {', '.join(BLOCKS)}")
        self.fps = fps
        self.size = size
        numbers = {key: getattr(self, key) for key in _NUMBERS}
        numbers |= {f"blocks.{name}": width for name, widths in self.blocks.items() for width in widths}
        for name, value in numbers.items():
            if type(value) is not int or not 1 <= value <= MAX_SIZE:
                raise ValueError(f"S3DConfig.{name} is {value!r:.60}; it must be a whole number from 1 to {MAX_SIZE:,}")
        for name, value in (("fps", fps), ("size", size)):
            if type(value) is not int or not CELL <= value <= MAX_SIZE or value % CELL:
                raise ValueError(
                    f"S3DConfig.{name} is {value}; S3D reads cells of 2 frames x 2 x 2 pixels: an even number"
                )

    @classmethod
    def narrow(cls, width: float, **sizes: Any) -> Self:
        """Make the sizes of a network whose layers are narrower than the published ones, and that is else the same.

        Args:
            width: part of the published channels that each layer keeps, above 0; 1 gives the published network. The
                output keeps its `embedding_dim`.
            sizes: what else is not as published.

        Returns:
            The sizes; no layer has less than one channel.

        Raises:
            ValueError: `width` is not above 0, or as for the constructor.
        """
        if not width > 0:
            raise ValueError(f"width is {width}; it takes the part of the published channels, for example 0.25")
        blocks = {name: [_part(each, width) for each in widths] for name, widths in BLOCKS.items()}
        stem, conv_2c = _part(STEM_CHANNELS, width), _part(CONV_2C_CHANNELS, width)
        return cls(stem_channels=stem, conv_2c_channels=conv_2c, blocks=blocks, **sizes)


@dataclass
class S3DOutput(ModelOutput):
    """What S3D says of a batch of clips.

    Args:
        video_embedding: (B, embedding_dim) float, the clip in the space shared with sentences.
        mixed_5c: (B, 1024) float, the last block's channels averaged over time and space.
    """

    video_embedding: Tensor | None = None
    mixed_5c: Tensor | None = None


class WordTower(nn.Module):
    """Sentence encoder: word embeddings, one hidden layer, maximum over the words, projection."""

    def __init__(self, config: S3DConfig) -> None:
        super().__init__()
        self.word_embd = nn.Embedding(config.vocab_size, config.word_dim)
        self.fc1 = nn.Linear(config.word_dim, config.text_hidden_dim)
        self.fc2 = nn.Linear(config.text_hidden_dim, config.embedding_dim)

    def forward(self, ids: Tensor) -> Tensor:
        """(N, max_words) int64, 0 = padding -> (N, embedding_dim); padding takes part in the maximum."""
        hidden = F.relu(self.fc1(self.word_embd(ids)))  # (N, max_words, text_hidden_dim)
        return self.fc2(hidden.amax(dim=1))


class S3D(PreTrainedModel):
    """Clips and sentences into one space.

    Args:
        config: the network's sizes.
        words: the text tower's vocabulary, without the padding; None where only clips are encoded.
    """

    config_class = S3DConfig
    base_model_prefix = "s3d"
    main_input_name = "video"

    def __init__(self, config: S3DConfig, words: Sequence[str] | None = None) -> None:
        super().__init__(config)
        c1, c2 = config.stem_channels, config.conv_2c_channels
        self.conv1 = ConvUnit(RGB * CELL**3, c1, STEM_KERNEL, STEM_PADDING, separable=False)
        self.maxpool_2a = SamePool((1, 3, 3), (1, 2, 2))
        self.conv_2b = ConvUnit(c1, c1)
        self.conv_2c = ConvUnit(c1, c2, (3, 3, 3), (1, 1, 1))
        self.gating = SelfGating(c2)
        self.maxpool_3a = SamePool((1, 3, 3), (1, 2, 2))
        self.maxpool_4a = SamePool((3, 3, 3), (2, 2, 2))
        self.maxpool_5a = SamePool((2, 2, 2), (2, 2, 2))
        channels = c2
        for name, widths in config.blocks.items():
            block = InceptionBlock(channels, widths)
            self.add_module(name, block)
            channels = block.outputs
        self.fc = nn.Linear(channels, config.embedding_dim)
        self.text_module = WordTower(config)
        self.words: list[str] = []
        if words is not None:
            self.set_words(words)
        self.post_init()

    def forward(self, video: Tensor) -> S3DOutput:
        """Encode clips.

        Args:
            video: (B, 3, T, H, W) float, RGB in 0..1 (divided by 255, nothing else); T, H and W even.

        Returns:
            `video_embedding` (B, embedding_dim) and `mixed_5c` (B, 1024).

        Raises:
            ValueError: the shape is none that the network can read.
        """
        check_clip_shape(video.shape)
        x = self.conv1(space_to_depth(video))[:, :, 1:, 1:, 1:]  # (B, 24, T/2, H/2, W/2) -> (B, 64, T/2, H/2, W/2)
        x = self.conv_2c(self.conv_2b(self.maxpool_2a(x)))
        x = self.maxpool_3a(self.gating(x))
        for name, block in self.blocks():
            x = block(self.pools[name](x) if name in self.pools else x)
        pooled = x.mean(dim=(2, 3, 4))  # (B, 1024, T/8, H/32, W/32) -> (B, 1024)
        return S3DOutput(video_embedding=self.fc(pooled), mixed_5c=pooled)

    def blocks(self) -> list[tuple[str, InceptionBlock]]:
        """List the Inception blocks with their names, in the order in which they run."""
        return [(name, cast(InceptionBlock, self.get_submodule(name))) for name in self.config.blocks]

    @property
    def pools(self) -> dict[str, SamePool]:
        """The poolings between blocks, by the name of the block that comes after."""
        return {"mixed_4b": self.maxpool_4a, "mixed_5b": self.maxpool_5a}

    def get_video_features(self, video: Tensor) -> Tensor:
        """Encode clips: what `forward` calls `video_embedding`.

        Args:
            video: (B, 3, T, H, W) float in 0..1.

        Returns:
            (B, embedding_dim) float.

        Raises:
            ValueError: as for `forward`.
        """
        embedding = self(video).video_embedding
        assert embedding is not None
        return embedding

    def get_text_features(self, sentences: Sequence[str]) -> Tensor:
        """Encode sentences: `encode_words` under the name that the other models use.

        Args:
            sentences: N texts.

        Returns:
            (N, embedding_dim) float.

        Raises:
            ValueError: the model was made without a vocabulary.
        """
        return self.encode_words(sentences)

    def encode_words(self, sentences: Sequence[str]) -> Tensor:
        """Encode sentences with the text tower.

        Args:
            sentences: N texts; lower-cased, split at whatever is neither letter, digit nor apostrophe, words outside
                the vocabulary dropped, cut to `config.max_words`.

        Returns:
            (N, embedding_dim) float.

        Raises:
            ValueError: the model was made without a vocabulary.
        """
        return self.text_module(self.word_ids(sentences).to(self.device))

    def word_ids(self, sentences: Sequence[str]) -> Tensor:
        """Turn sentences into the text tower's input.

        Args:
            sentences: N texts.

        Returns:
            (N, max_words) int64 on the CPU, 0 = padding.

        Raises:
            ValueError: the model was made without a vocabulary.
        """
        if not self.words:
            raise ValueError(
                "this S3D has no vocabulary, so it cannot read sentences; "
                "give load_s3d the dictionary (s3d_dict.npy), or S3D(config, words)"
            )
        ids = torch.zeros(len(sentences), self.config.max_words, dtype=torch.long)
        for row, sentence in zip(ids, sentences, strict=True):
            known = [self._ids[word] for word in WORD.findall(sentence.lower()) if word in self._ids]
            known = known[: self.config.max_words]
            row[: len(known)] = torch.tensor(known, dtype=torch.long)
        return ids

    def set_words(self, words: Sequence[str]) -> None:
        """Give the text tower its vocabulary.

        Args:
            words: word i has embedding row i + 1; of a word listed twice the later row counts.

        Raises:
            ValueError: their number does not fit the embedding.
        """
        if len(words) + 1 != self.config.vocab_size:
            raise ValueError(
                f"got a vocabulary of {len(words)} words for a word embedding of {self.config.vocab_size} rows "
                f"(padding and {self.config.vocab_size - 1} words); weights and dictionary belong to different models"
            )
        self.words = [str(word) for word in words]
        self._ids = {word: row for row, word in enumerate(self.words, start=1)}

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:
        """Write config.json, model.safetensors and, where there is a vocabulary, words.json.

        Args:
            save_directory: the folder; made when absent.
            kwargs: as in transformers.
        """
        if self.words:
            with atomic_path(Path(save_directory) / WORDS_FILE) as path:
                path.write_text(json.dumps(self.words, ensure_ascii=False), encoding="utf-8")
        super().save_pretrained(save_directory, **kwargs)

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike[str], *args: Any, **kwargs: Any) -> Self:  # pyright: ignore
        """Read a folder (or hub name) that `save_pretrained` wrote.

        Args:
            name: the folder or hub name.
            args: as in transformers.
            kwargs: as in transformers.

        Returns:
            The model in eval mode (with `output_loading_info=True`: the model and that information).
        """
        loaded = super().from_pretrained(name, *args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        hub = {key: kwargs[key] for key in ("cache_dir", "revision", "token", "local_files_only") if key in kwargs}
        path = cached_file(name, WORDS_FILE, _raise_exceptions_for_missing_entries=False, **hub)
        if path is not None:
            model.set_words(json.loads(Path(path).read_text(encoding="utf-8")))
        return loaded

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv3d):
            # with filters of zero mean, an untrained network's output depends on its input, not on its brightness
            nn.init.normal_(module.weight, std=GAIN / math.sqrt(module.weight[0].numel()))
            module.weight -= module.weight.mean(dim=(1, 2, 3, 4), keepdim=True)
        elif isinstance(module, nn.Linear):
            nn.init.xavier_normal_(module.weight)
            nn.init.zeros_(module.bias)
        else:
            super()._init_weights(module)
        if isinstance(module, SelfGating):
            nn.init.constant_(module.fc.bias, OPEN_GATE)


def _part(channels: int, width: float) -> int:
    return max(1, round(channels * width))


AutoConfig.register(S3DConfig.model_type, S3DConfig)
AutoModel.register(S3DConfig, S3D)
