"""S3D for inference: the same numbers as `S3D` in eval mode, several times faster.

What is gained, and by what:
- BatchNorm is folded into the convolutions; the division by 255 and the centring of pixels into the first one.
- Channels come last in memory. A (1, 3, 3) convolution is a 2-D one over frames as a batch, a (3, 1, 1) one is a 2-D
  one over (T, H * W): both without moving a byte, and on kernels faster than the 3-D ones.
- The 1x1x1 convolutions that read the same tensor run as one, and each ReLU writes straight to where its result goes.
- Max pooling runs as elementwise maxima, one dimension after the other. A gate is positive, so it is applied after a
  pooling, to fewer numbers: max(g x) = g max(x).
- On a CPU clips run one at a time, and the first layers a few frames at a time, so that what a layer writes is still
  in the cache when the next one reads it.

Legend: B clips, C channels, T frames, H and W pixels; tensors are (B, T, H, W, C) unless said otherwise.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmpt.video.backbones.s3d_layers import (
    BYTE,
    CELL,
    MIDDLE,
    RGB,
    ConvUnit,
    InceptionBlock,
    SelfGating,
    cells_of_frames,
    check_clip_shape,
    fold_batch_norm,
    fold_stem,
    pad_cells,
)
from mmpt.video.backbones.s3d_model import S3D, S3DOutput

SPLIT_ON = ("cpu",)  # devices that gain from little at a time
FRAMES_AT_ONCE = 4  # frame pairs through the first layers there; 2 to 8 measured alike, 15 is 10 % slower
HALF = 0.5  # what centred float pixels are counted from

CellMaker = Callable[[Tensor, torch.dtype], Tensor]


class FoldedConv(nn.Module):
    """A 2-D convolution with its BatchNorm folded in, over (N, H, W, C) tensors.

    Args:
        weight: (O, I, kh, kw).
        bias: (O,).
        padding: zeros on both sides of (H, W).
        dtype: that it computes in.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, padding: tuple[int, int], dtype: torch.dtype) -> None:
        super().__init__()
        self.register_buffer("weight", weight.to(dtype).contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", bias.to(dtype))
        self.padding = padding

    def forward(self, x: Tensor, padding: tuple[int, int] | None = None) -> Tensor:
        """(N, H, W, I) -> (N, H', W', O), not yet rectified; `padding` in place of the layer's own."""
        image = x.permute(0, 3, 1, 2)
        return F.conv2d(image, self.weight, self.bias, padding=padding or self.padding).permute(0, 2, 3, 1)


class FoldedStem(nn.Module):
    """The first layer: a (2, 4, 4) convolution over cells, its asymmetric padding already in the input.

    Args:
        weight: (O, 24, 2, 4, 4).
        bias: (O,).
        dtype: that it computes in.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> None:
        super().__init__()
        self.register_buffer("weight", weight.to(dtype).contiguous(memory_format=torch.channels_last_3d))
        self.register_buffer("bias", bias.to(dtype))

    def forward(self, cells: Tensor) -> Tensor:
        """(B, n + 1, H + 3, W + 3, 24) -> (B, n, H, W, O), rectified."""
        return F.conv3d(cells.permute(0, 4, 1, 2, 3), self.weight, self.bias).relu_().permute(0, 2, 3, 4, 1)


class Gate(nn.Module):
    """Gates of one or several groups of channels that lie side by side.

    Args:
        gatings: the groups' gatings, in the channels' order.
    """

    def __init__(self, *gatings: SelfGating) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_frozen_linear(gating.fc) for gating in gatings)
        self.widths = [gating.fc.in_features for gating in gatings]

    def forward(self, mean: Tensor) -> Tensor:
        """(B, C) float32 means over time and space -> (B, C) factors between 0 and 1."""
        groups = zip(self.layers, mean.to(next(self.parameters()).dtype).split(self.widths, dim=-1), strict=True)
        return torch.sigmoid(torch.cat([layer(group) for layer, group in groups], dim=-1))


class Separable(nn.Module):
    """A 3x3x3 convolution as space, then time.

    Args:
        unit: the trained layer.
        dtype: that it computes in.
    """

    def __init__(self, unit: ConvUnit, dtype: torch.dtype) -> None:
        super().__init__()
        self.space = FoldedConv(*_fold(unit.conv1, unit.bn1, squeeze=2), (1, 1), dtype)
        self.time = FoldedConv(*_fold(unit.conv2, unit.bn2, squeeze=4), (1, 0), dtype)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, H, W, I) -> (B, T, H, W, O), not yet rectified."""
        b, t, h, w, _ = x.shape
        x = self.space(x.flatten(0, 1)).relu_()
        return self.time(x.reshape(b, t, h * w, -1)).unflatten(2, (h, w))


class FoldedBlock(nn.Module):
    """One Inception block.

    Args:
        block: the trained block.
        dtype: that it computes in.
    """

    def __init__(self, block: InceptionBlock, dtype: torch.dtype) -> None:
        super().__init__()
        heads = [_fold(unit.conv1, unit.bn1, squeeze=2) for unit in (block.conv_b0, block.conv_b1_a, block.conv_b2_a)]
        weights, biases = zip(*heads, strict=True)
        self.heads = FoldedConv(torch.cat(weights), torch.cat(biases), (0, 0), dtype)
        self.head_widths = [len(bias) for bias in biases]
        self.branch_1 = Separable(block.conv_b1_b, dtype)
        self.branch_2 = Separable(block.conv_b2_b, dtype)
        self.branch_3 = FoldedConv(*_fold(block.conv_b3_b.conv1, block.conv_b3_b.bn1, squeeze=2), (0, 0), dtype)
        self.gate = Gate(block.gating_b0, block.gating_b1, block.gating_b2, block.gating_b3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, H, W, I) -> (B, T, H, W, O) without its gate, and the gate (B, O)."""
        joined = x.new_empty(*x.shape[:-1], sum(self.gate.widths))
        out_0, out_1, out_2, out_3 = joined.split(self.gate.widths, dim=-1)
        frames = x.shape[:2]
        head_0, head_1, head_2 = self.heads(x.flatten(0, 1)).unflatten(0, frames).split(self.head_widths, dim=-1)
        torch.clamp_min(head_0, 0, out=out_0)
        torch.clamp_min(self.branch_1(_relu_packed(head_1)), 0, out=out_1)
        torch.clamp_min(self.branch_2(_relu_packed(head_2)), 0, out=out_2)
        pooled = _pool_around(_pool_around(_pool_around(x, 1), 2), 3)
        torch.clamp_min(self.branch_3(pooled.flatten(0, 1)).unflatten(0, frames), 0, out=out_3)
        return joined, self.gate(_mean(joined))


class S3DInference(nn.Module):
    """S3D's video part, folded and laid out for speed; made from a model, never trained or saved.

    Args:
        model: the trained network; its running statistics are used, whatever mode it is in.
        dtype: that the layers compute in, float32 or bfloat16. Gates and the last layer stay in float32.
    """

    def __init__(self, model: S3D, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        weight, bias = fold_stem(model.conv1, HALF, 1)
        # what lies contiguous in memory differs between float clips and byte frames, and so does the cells' order
        by_colour = weight.unflatten(1, (CELL, CELL, CELL, RGB)).transpose(3, 4).flatten(1, 4)
        self.stem = FoldedStem(by_colour, bias, dtype)
        self.stem_bytes = FoldedStem(*fold_stem(model.conv1, MIDDLE, BYTE), dtype)
        self.conv_2b = FoldedConv(*_fold(model.conv_2b.conv1, model.conv_2b.bn1, squeeze=2), (0, 0), dtype)
        self.conv_2c = Separable(model.conv_2c, dtype)
        self.gate = Gate(model.gating)
        self.blocks = nn.ModuleDict({name: FoldedBlock(block, dtype) for name, block in model.blocks()})
        self.pools = {name: pool.kernel for name, pool in model.pools.items()}  # all with stride 2
        self.fc = _frozen_linear(model.fc)

    @property
    def dtype(self) -> torch.dtype:
        """What the layers compute in."""
        return self.stem.weight.dtype

    @torch.no_grad()
    def forward(self, video: Tensor) -> S3DOutput:
        """Encode clips.

        Args:
            video: (B, 3, T, H, W) float, RGB in 0..1; T, H and W even.

        Returns:
            What `S3D.forward` returns, in float32.

        Raises:
            ValueError: the shape is none that the network can read.
        """
        check_clip_shape(video.shape)
        return self._by_clip(self.stem, video, _cells_of_video)

    @torch.no_grad()
    def encode_frames(self, frames: Tensor) -> S3DOutput:
        """Encode clips as a video reader gives them.

        Args:
            frames: (B, T, H, W, 3) uint8, RGB; T, H and W even.

        Returns:
            What `S3D.forward` returns for the frames divided by 255, in float32.

        Raises:
            ValueError: the shape is none that the network can read, or the frames are not bytes.
        """
        if frames.dtype != torch.uint8 or frames.ndim != 5:
            raise ValueError(
                f"got frames of {frames.dtype} and shape {tuple(frames.shape)}; "
                "encode_frames reads uint8 (B, T, H, W, 3), and float clips go through the module's call"
            )
        check_clip_shape([frames.shape[dim] for dim in (0, 4, 1, 2, 3)])
        return self._by_clip(self.stem_bytes, frames, _cells_of_bytes)

    def _by_clip(self, stem: FoldedStem, clips: Tensor, cells_of: CellMaker) -> S3DOutput:
        """Run the network one clip at a time on a CPU, all at once elsewhere."""
        parts = clips.split(1) if clips.device.type in SPLIT_ON else (clips,)
        pooled = torch.cat([self._pooled(stem, cells_of(part, self.dtype)) for part in parts])
        embedding = self.fc(pooled.to(self.fc.weight.dtype)).float()
        return S3DOutput(video_embedding=embedding, mixed_5c=pooled)

    def _pooled(self, stem: FoldedStem, cells: Tensor) -> Tensor:
        """(B, T + 1, H + 3, W + 3, 24) padded cells -> (B, 1024) float32."""
        x, gate = self._first_layers(stem, cells)
        for name, block in self.blocks.items():
            for dim, kernel in enumerate(self.pools.get(name, ()), start=1):
                x = _pool_down(x, dim, kernel)
            x, gate = block(x.mul_(_spread(gate, x)))
        return _mean(x) * gate

    def _first_layers(self, stem: FoldedStem, cells: Tensor) -> tuple[Tensor, Tensor]:
        """From the padded cells to after the second pooling, a few frames at a time; and the gate still to apply."""
        frames = cells.shape[1] - 1
        step = FRAMES_AT_ONCE if cells.device.type in SPLIT_ON else frames
        parts, sums, before = [], [], None
        for first in range(0, frames, step):
            last = min(first + step, frames)
            x = _halve_space(stem(cells[:, first : last + 1]))  # (B, n, H/2, W/2, 64); H and W are those of the cells
            x = self.conv_2b(x.flatten(0, 1)).relu_()
            x = self.conv_2c.space(x).unflatten(0, (-1, last - first))  # (B, n, H/2, W/2, 192)
            window = _time_window(x, before, at_end=last == frames)  # (B, m + 2, H/2, W/2, 192)
            before = window[:, -2:]
            x = self.conv_2c.time(window.flatten(2, 3), padding=(0, 0)).relu_()
            x = x.unflatten(2, window.shape[2:4])  # (B, m, H/2, W/2, 192)
            sums.append(_mean(x) * x.shape[1])
            parts.append(_halve_space(x))
        return torch.cat(parts, dim=1), self.gate(torch.stack(sums).sum(dim=0) / frames)


def _fold(conv: nn.Conv3d, norm: nn.BatchNorm3d, squeeze: int) -> tuple[Tensor, Tensor]:
    """Fold a BatchNorm; the kernel without the dimension along which it has no extent."""
    weight, bias = fold_batch_norm(conv, norm)
    return weight.squeeze(squeeze), bias


def _frozen_linear(layer: nn.Linear) -> nn.Linear:
    copy = nn.Linear(layer.in_features, layer.out_features, device=layer.weight.device)
    copy.load_state_dict(layer.state_dict())
    return copy.requires_grad_(False)


def _cells_of_video(video: Tensor, dtype: torch.dtype) -> Tensor:
    """(B, 3, T, H, W) float -> padded cells, each in the order (dt, dh, colour, dw), values -0.5 to 0.5."""
    b, _, t, h, w = video.shape
    # two neighbours in a row move as one number: half as many, and no colour is ever touched on its own
    pair = torch.int64 if dtype.itemsize == 4 else torch.int32
    pairs = (video - HALF).to(dtype).contiguous().view(pair).view(b, RGB, t // CELL, CELL, h // CELL, CELL, w // CELL)
    rows = pairs.permute(0, 2, 4, 3, 5, 1, 6).flatten(3, 5)  # (B, T, H, 12, W): rows stay whole
    return pad_cells(rows.transpose(3, 4).contiguous().view(dtype), -HALF, dtype)


def _cells_of_bytes(frames: Tensor, dtype: torch.dtype) -> Tensor:
    """(B, T, H, W, 3) uint8 -> padded cells, each in the order (dt, dh, dw, colour), values -128 to 127."""
    return pad_cells(cells_of_frames(frames), -MIDDLE, dtype)


def _time_window(x: Tensor, before: Tensor | None, *, at_end: bool) -> Tensor:
    """Rectify x (B, n, H, W, C) and put what a kernel of 3 frames needs before it, and at the end behind it.

    Returns:
        (B, m + 2, H, W, C) for m frames of output: all those whose right neighbour is known.
    """
    b, n, h, w, c = x.shape
    head = 1 if before is None else before.shape[1]
    window = x.new_empty(b, head + n + at_end, h, w, c)
    window[:, :head] = 0 if before is None else before
    torch.clamp_min(x, 0, out=window[:, head : head + n])
    if at_end:
        window[:, -1] = 0
    return window


def _relu_packed(x: Tensor) -> Tensor:
    """Rectify part of the channels of a tensor into a tensor of its own, without gaps."""
    return torch.clamp_min(x, 0, out=x.new_empty(x.shape))


def _spread(gate: Tensor, x: Tensor) -> Tensor:
    """(B, C) -> (B, 1, 1, 1, C) in the dtype of x."""
    return gate.to(x.dtype)[:, None, None, None]


def _mean(x: Tensor) -> Tensor:
    """(B, T, H, W, C) -> (B, C) float32, the mean over time and space."""
    if x.dtype == torch.float32:
        return x.mean(dim=(1, 2, 3))
    # avg_pool2d sums in float32 without a float32 copy of its input, which mean() makes
    frames = F.avg_pool2d(x.flatten(0, 1).permute(0, 3, 1, 2), x.shape[2:4]).view(*x.shape[:2], -1)
    return frames.float().mean(dim=1)


def _halve_space(x: Tensor) -> Tensor:
    """Max pooling (1, 3, 3), stride (1, 2, 2)."""
    return _pool_down(_pool_down(x, 2, 3), 3, 3)


def _pool_down(x: Tensor, dim: int, kernel: int) -> Tensor:
    """Max pooling of 2 or 3 neighbours with stride 2 along one dimension; past the end nothing counts."""
    even, odd = _every_second(x, dim, 0), _every_second(x, dim, 1)
    pairs, size = odd.shape[dim], even.shape[dim]
    if pairs == size:
        out = torch.maximum(even, odd)
    else:
        out = even.clone()
        _raise_to(out.narrow(dim, 0, pairs), odd)
    if kernel > CELL:
        _raise_to(out.narrow(dim, 0, size - 1), even.narrow(dim, 1, size - 1))
    return out


def _pool_around(x: Tensor, dim: int) -> Tensor:
    """Max pooling of 3 neighbours with stride 1 along one dimension; outside nothing counts."""
    size = x.shape[dim]
    out = torch.empty_like(x)
    out.narrow(dim, 0, 1).copy_(x.narrow(dim, 0, 1))
    torch.maximum(x.narrow(dim, 1, size - 1), x.narrow(dim, 0, size - 1), out=out.narrow(dim, 1, size - 1))
    _raise_to(out.narrow(dim, 0, size - 1), x.narrow(dim, 1, size - 1))
    return out


def _every_second(x: Tensor, dim: int, start: int) -> Tensor:
    return x[(slice(None),) * dim + (slice(start, None, 2),)]


def _raise_to(x: Tensor, other: Tensor) -> None:
    torch.maximum(x, other, out=x)
