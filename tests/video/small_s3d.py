"""An S3D of a few channels, with statistics as after training: fast, and with nothing that folding could miss."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mmpt.video.backbones.s3d import S3D, S3DConfig
from mmpt.video.backbones.s3d_model import BLOCKS

WORDS = ["chop", "the", "onion", "don't", "fry"]
WIDTHS = (8, 6, 8, 4, 6, 6)  # neither equal nor multiples of a vector's length


def small_config() -> S3DConfig:
    return S3DConfig(
        vocab_size=len(WORDS) + 1,
        word_dim=12,
        text_hidden_dim=24,
        embedding_dim=20,
        stem_channels=8,
        conv_2c_channels=12,
        blocks={name: [width + index % 3 for width in WIDTHS] for index, name in enumerate(BLOCKS)},
    )


@torch.no_grad()
def small_s3d(seed: int = 0) -> S3D:
    """A model in eval mode whose BatchNorms are far from neutral."""
    draw = torch.Generator().manual_seed(seed)
    model = S3D(small_config(), WORDS)
    for module in model.modules():
        if isinstance(module, nn.Conv3d | nn.Linear | nn.Embedding):
            scale = 1.8 / module.weight[0].numel() ** 0.5
            module.weight.copy_(scale * torch.randn(module.weight.shape, generator=draw))
        if isinstance(module, nn.BatchNorm3d):
            for tensor, low, high in (
                (module.weight, 0.5, 1.5),
                (module.bias, -0.3, 0.5),
                (module.running_mean, -0.5, 0.5),
                (module.running_var, 0.5, 2.0),
            ):
                assert tensor is not None
                tensor.uniform_(low, high, generator=draw)
    return model.eval()


def random_frames(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    """(B, T, H, W, 3) uint8."""
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8))


def as_clips(frames: torch.Tensor) -> torch.Tensor:
    """Frames as the plain form reads them: (B, 3, T, H, W) float in 0..1."""
    return (frames.permute(0, 4, 1, 2, 3).float() / 255).contiguous()


def save_as_published(model: S3D, folder: Path) -> tuple[Path, Path]:
    """Write a model as s3d_howto100m.pth and s3d_dict.npy."""
    torch.save(model.state_dict(), folder / "s3d_howto100m.pth")
    np.save(folder / "s3d_dict.npy", np.array(model.words))
    return folder / "s3d_howto100m.pth", folder / "s3d_dict.npy"


def plain(model: S3D, clips: torch.Tensor) -> dict[str, torch.Tensor]:
    """What the trained form makes of clips."""
    with torch.no_grad():
        return dict(model(clips))


def assert_near(actual: Any, expected: dict[str, torch.Tensor], bar: float) -> None:
    """Hold outputs to expected ones; the bar is relative to the largest value, absolute below 1."""
    assert set(actual) == set(expected)
    for name, tensor in expected.items():
        assert actual[name].dtype == torch.float32
        assert actual[name].shape == tensor.shape
        difference = float((actual[name] - tensor).abs().max())
        assert difference <= bar * max(1.0, float(tensor.abs().max())), f"{name} differs by {difference:.2e}"
