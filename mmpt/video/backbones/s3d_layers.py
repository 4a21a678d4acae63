"""The layers that S3D is made of, for training and as the reference for its faster form.

Legend: B clips, C channels, T frames, H and W pixels.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RGB = 3
CELL = 2  # space-to-depth folds cells of 2 frames x 2 x 2 pixels into channels
CELL_CHANNELS = RGB * CELL**3
BYTE = 255  # the brightest value of a frame; frames are divided by it, and nothing else is done to them
MIDDLE = 128  # what centred bytes are counted from


class ConvUnit(nn.Module):
    """Convolution, BatchNorm, ReLU; a kernel with extent in time and space runs as space, then time.

    Args:
        inputs: channels read.
        outputs: channels written.
        kernel: extent in (T, H, W).
        padding: zeros on both sides in (T, H, W).
        separable: run (t, k, k) as (1, k, k) and (t, 1, 1), each with its BatchNorm and ReLU.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: tuple[int, int, int] = (1, 1, 1),
        padding: tuple[int, int, int] = (0, 0, 0),
        separable: bool = True,
    ) -> None:
        super().__init__()
        (t, h, w), (pad_t, pad_h, pad_w) = kernel, padding
        split = separable and t > 1
        self.conv1 = nn.Conv3d(
            inputs,
            outputs,
            (1, h, w) if split else kernel,
            padding=(0, pad_h, pad_w) if split else padding,
            bias=False,
        )
        self.bn1 = nn.BatchNorm3d(outputs)
        if split:
            self.conv2 = nn.Conv3d(outputs, outputs, (t, 1, 1), padding=(pad_t, 0, 0), bias=False)
            self.bn2 = nn.BatchNorm3d(outputs)
        self.split = split

    def pairs(self) -> list[tuple[nn.Conv3d, nn.BatchNorm3d]]:
        """List the convolutions with their BatchNorms, in the order in which they run."""
        return [(self.conv1, self.bn1), (self.conv2, self.bn2)] if self.split else [(self.conv1, self.bn1)]

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, T, H, W) -> (B, outputs, T', H', W')."""
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x))) if self.split else x


class SelfGating(nn.Module):
    """Scales each channel by a gate computed from all channels' means (S3D-G)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> the same shape."""
        gate = torch.sigmoid(self.fc(x.mean(dim=(2, 3, 4))))  # (B, C)
        return x * gate[:, :, None, None, None]


class SamePool(nn.Module):
    """Max pooling that gives ceil(size / stride) outputs: what TensorFlow's SAME padding gives on even sizes.

    The padding is zeros, which never win: what is pooled has passed a ReLU and a positive gate.
    """

    def __init__(self, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        extra = [max(k - s, 0) for k, s in zip(kernel, stride, strict=True)]
        # F.pad counts from the last dimension; the smaller half goes in front
        self.padding = [side for e in reversed(extra) for side in (e // 2, e - e // 2)]

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, C, T', H', W')."""
        return F.max_pool3d(F.pad(x, self.padding), self.kernel, self.stride, ceil_mode=True)


class InceptionBlock(nn.Module):
    """Four branches side by side, each gated, joined along the channels.

    Args:
        inputs: channels read.
        widths: the block's six widths, in the order of `BLOCKS`.
    """

    def __init__(self, inputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        b0, b1_a, b1_b, b2_a, b2_b, b3 = widths
        self.conv_b0 = ConvUnit(inputs, b0)
        self.conv_b1_a = ConvUnit(inputs, b1_a)
        self.conv_b1_b = ConvUnit(b1_a, b1_b, (3, 3, 3), (1, 1, 1))
        self.conv_b2_a = ConvUnit(inputs, b2_a)
        self.conv_b2_b = ConvUnit(b2_a, b2_b, (3, 3, 3), (1, 1, 1))
        self.conv_b3_b = ConvUnit(inputs, b3)
        self.gating_b0 = SelfGating(b0)
        self.gating_b1 = SelfGating(b1_b)
        self.gating_b2 = SelfGating(b2_b)
        self.gating_b3 = SelfGating(b3)
        self.outputs = b0 + b1_b + b2_b + b3

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, T, H, W) -> (B, outputs, T, H, W)."""
        branches = (
            self.gating_b0(self.conv_b0(x)),
            self.gating_b1(self.conv_b1_b(self.conv_b1_a(x))),
            self.gating_b2(self.conv_b2_b(self.conv_b2_a(x))),
            self.gating_b3(self.conv_b3_b(F.max_pool3d(x, 3, stride=1, padding=1))),
        )
        return torch.cat(branches, dim=1)


def space_to_depth(video: Tensor) -> Tensor:
    """Fold cells of 2 frames x 2 x 2 pixels into channels.

    Args:
        video: (B, 3, T, H, W).

    Returns:
        (B, 24, T/2, H/2, W/2); channels are in the order (dt, dh, dw, colour) of the cell's pixels.
    """
    b, c, t, h, w = video.shape
    cells = video.reshape(b, c, t // CELL, CELL, h // CELL, CELL, w // CELL, CELL)
    return cells.permute(0, 3, 5, 7, 1, 2, 4, 6).reshape(b, c * CELL**3, t // CELL, h // CELL, w // CELL)


def check_clip_shape(shape: Sequence[int]) -> None:
    """Refuse what S3D cannot read.

    Args:
        shape: that of the clips, (B, 3, T, H, W) expected.

    Raises:
        ValueError: another number of dimensions or colours, or an odd number of frames or pixels.
    """
    if len(shape) != 5 or shape[1] != RGB or any(size % CELL or not size for size in shape[2:]):
        raise ValueError(
            f"got clips of shape {tuple(shape)}; S3D reads (B, 3, T, H, W) with even T, H and W, for example "
            "(1, 3, 30, 224, 224) for one second"
        )


def cells_of_frames(frames: Tensor) -> Tensor:
    """Fold frames as a video reader gives them into cells.

    Args:
        frames: (B, T, H, W, 3) uint8.

    Returns:
        (B, T/2, H/2, W/2, 24) int8, bytes less `MIDDLE`, channels in the order (dt, dh, dw, colour), without gaps.
    """
    b, t, h, w, _ = frames.shape
    rows = frames.contiguous().view(b, t, h, w * RGB)
    pairs = rows.view(torch.int16)  # two bytes move as one number: a cell's row is six bytes
    cells = pairs.view(b, t // CELL, CELL, h // CELL, CELL, w // CELL, RGB).permute(0, 1, 3, 5, 2, 4, 6)
    return (cells.flatten(4).view(torch.uint8) ^ MIDDLE).view(torch.int8)  # flipping the first bit subtracts 128


def pad_cells(cells: Tensor, dark: float, dtype: torch.dtype) -> Tensor:
    """Surround cells with what the stem's padding and crop come to: darkness.

    The stem pads by (1, 2, 2) and drops the first of each dimension of what it computes; that leaves nothing before
    and one behind in time, one before and two behind in space.

    Args:
        cells: (B, T, H, W, 24).
        dark: the value that stands for black.
        dtype: of the result.

    Returns:
        (B, T + 1, H + 3, W + 3, 24).
    """
    b, t, h, w, c = cells.shape
    padded = torch.full((b, t + 1, h + 3, w + 3, c), dark, dtype=dtype, device=cells.device)
    padded[:, :-1, 1:-2, 1:-2] = cells
    return padded


def fold_batch_norm(conv: nn.Conv3d, norm: nn.BatchNorm3d) -> tuple[Tensor, Tensor]:
    """Fold a BatchNorm's running statistics into the convolution before it.

    Args:
        conv: the convolution, without a bias.
        norm: the BatchNorm.

    Returns:
        Kernel (O, I, t, h, w) and bias (O,), float64.
    """
    assert norm.running_mean is not None and norm.running_var is not None, "S3D's BatchNorms track their statistics"
    scale = norm.weight.detach().double() / torch.sqrt(norm.running_var.double() + norm.eps)
    bias = norm.bias.detach().double() - norm.running_mean.double() * scale
    return conv.weight.detach().double() * scale.view(-1, 1, 1, 1, 1), bias


def fold_stem(unit: ConvUnit, middle: float, bright: float) -> tuple[Tensor, Tensor]:
    """Fold the first layer for centred input: pixels less `middle`, where `bright` is white.

    Centred numbers are half as large and of both signs, so that sums over a filter stay small; the rounding of this
    layer is most of what a fast form adds, in fp32 and in bf16, and is halved.

    Args:
        unit: the layer.
        middle: what is subtracted from every pixel, and from the black around the picture.
        bright: the largest value of a pixel before that.

    Returns:
        Kernel (O, 24, 2, 4, 4) and bias (O,), float64.
    """
    weight, bias = fold_batch_norm(unit.conv1, unit.bn1)
    weight = weight / bright
    return weight, bias + middle * weight.sum(dim=(1, 2, 3, 4))
