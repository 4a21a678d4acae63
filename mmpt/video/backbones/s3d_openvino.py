"""S3D's video part in OpenVINO: faster on a CPU than PyTorch, for the same numbers.

The graph is built layer by layer from the trained weights, BatchNorm folded and each gate applied after the pooling
that follows it; that takes a moment where tracing would take ten seconds. What OpenVINO compiles is kept in the cache
folder, so that the next start needs neither the weights nor the graph.
"""

import hashlib
import io
import logging
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmpt.utils.files import atomic_path, cache_dir
from mmpt.utils.optional import require
from mmpt.video.backbones.s3d_layers import (
    BYTE,
    CELL,
    CELL_CHANNELS,
    MIDDLE,
    ConvUnit,
    SamePool,
    SelfGating,
    cells_of_frames,
    fold_batch_norm,
    fold_stem,
    pad_cells,
)
from mmpt.video.backbones.s3d_model import S3D, S3DOutput

DEVICE = "CPU"
HINTS = {"fp32": "f32", "bf16": "bf16"}
UNPADDED = (0, 0, 0)
DIGEST = hashlib.sha256().digest_size
Node = Any  # openvino's own types are known only where it is installed

logger = logging.getLogger(__name__)


class S3DOpenVINO:
    """A compiled network for clips of one shape; made by `compile_s3d`.

    Args:
        compiled: OpenVINO's compiled model.
        frames: frames of a clip.
        size: side of its square frames, in pixels.
    """

    def __init__(self, compiled: Any, frames: int, size: int) -> None:
        self.request = compiled.create_infer_request()
        self.shape = (frames, size, size, 3)

    def encode_frames(self, frames: Tensor) -> S3DOutput:
        """Encode clips.

        Args:
            frames: (B, T, size, size, 3) uint8, RGB, of the shape that the network was compiled for.

        Returns:
            What `S3D.forward` returns for the frames divided by 255, in float32.

        Raises:
            ValueError: frames of another shape, or not bytes.
        """
        if frames.dtype != torch.uint8 or tuple(frames.shape[1:]) != self.shape:
            raise ValueError(
                f"got frames of {frames.dtype} and shape {tuple(frames.shape)}; this compiled S3D reads uint8 "
                f"(B, {', '.join(map(str, self.shape))}), and the torch runtime reads other sizes"
            )
        cells = (pad_cells(cells_of_frames(clip), -MIDDLE, torch.int8) for clip in frames.cpu().split(1))
        rows = [self._encode(cell) for cell in cells]
        embedding, pooled = (torch.from_numpy(np.concatenate(part)) for part in zip(*rows, strict=True))
        return S3DOutput(video_embedding=embedding, mixed_5c=pooled)

    def _encode(self, cells: Tensor) -> tuple[np.ndarray, np.ndarray]:
        results = self.request.infer([cells.numpy()])
        return results[0].copy(), results[1].copy()  # what infer returns is overwritten by the next one


def compile_s3d(
    load_model: Callable[[], S3D], *, version: str, precision: str, frames: int = 30, size: int = 224
) -> S3DOpenVINO:
    """Compile S3D, or take up what an earlier call compiled.

    Args:
        load_model: gives the trained network; called only when nothing fitting is in the cache folder.
        version: of the weights; names what is kept.
        precision: ``"fp32"`` or ``"bf16"``.
        frames: frames of a clip.
        size: side of its square frames, in pixels.

    Returns:
        The compiled network, on as many threads as PyTorch uses.

    Raises:
        ModuleNotFoundError: OpenVINO is not installed.
        ValueError: the precision is none of the two.
    """
    if precision not in HINTS:
        raise ValueError(f"precision is {precision!r}; the OpenVINO runtime computes in {' or '.join(HINTS)}")
    openvino = require("openvino", extra="openvino")
    settings = {
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    key = f"{version}-{precision}-{frames}x{size}-{openvino.get_version()}"
    kept = cache_dir() / "openvino" / f"s3d-{re.sub(r'[^A-Za-z0-9._-]', '_', key)}.bin"
    core = openvino.Core()
    compiled = _take_up(core, kept, settings)
    if compiled is None:
        compiled = core.compile_model(build_graph(load_model(), frames, size), DEVICE, settings)
        _keep(compiled, kept)
    return S3DOpenVINO(compiled, frames, size)


def build_graph(model: S3D, frames: int, size: int) -> Any:
    """Build S3D's video part as an OpenVINO model.

    Args:
        model: the trained network.
        frames: frames of a clip, even.
        size: side of its square frames in pixels, even.

    Returns:
        A model from padded cells, int8 (1, frames/2 + 1, size/2 + 3, size/2 + 3, 24), to `video_embedding` and
        `mixed_5c`.
    """
    openvino, op = (require(name, extra="openvino") for name in ("openvino", "openvino.opset13"))
    graph = _Graph(op)
    side = size // CELL + 3
    cells = op.parameter([1, frames // CELL + 1, side, side, CELL_CHANNELS], np.int8)
    x = op.convert(op.transpose(cells, graph.integers(0, 4, 1, 2, 3)), "f32")  # (1, 24, T, H, W)
    x = graph.conv(x, *fold_stem(model.conv1, MIDDLE, BYTE), UNPADDED, UNPADDED)
    x = graph.unit(graph.unit(graph.pool(x, model.maxpool_2a), model.conv_2b), model.conv_2c)
    x, gate = graph.pool(x, model.maxpool_3a), graph.gate(x, model.gating)
    for name, block in model.blocks():
        if name in model.pools:
            x = graph.pool(x, model.pools[name])
        x, gate = graph.block(op.multiply(x, graph.expand(gate)), block)
    pooled = op.multiply(graph.mean(x), gate)
    embedding = graph.linear(pooled, model.fc)
    return openvino.Model([op.result(embedding), op.result(pooled)], [cells], "s3d")


class _Graph:
    """S3D's layers in OpenVINO's operators; activations are (1, C, T, H, W)."""

    def __init__(self, op: Any) -> None:
        self.op = op

    def integers(self, *values: int) -> Node:
        return self.op.constant(np.array(values, np.int64))

    def floats(self, tensor: Tensor) -> Node:
        return self.op.constant(np.ascontiguousarray(tensor.detach().float().cpu().numpy()))

    def conv(self, x: Node, weight: Tensor, bias: Tensor, begin: Sequence[int], end: Sequence[int]) -> Node:
        steps = [1, 1, 1]
        y = self.op.convolution(x, self.floats(weight), steps, list(begin), list(end), steps)
        return self.op.relu(self.op.add(y, self.floats(bias.view(1, -1, 1, 1, 1))))

    def unit(self, x: Node, unit: ConvUnit) -> Node:
        for conv, norm in unit.pairs():
            x = self.conv(x, *fold_batch_norm(conv, norm), conv.padding, conv.padding)  # pyright: ignore
        return x

    def pool(self, x: Node, pool: SamePool) -> Node:
        extra = [max(kernel - step, 0) for kernel, step in zip(pool.kernel, pool.stride, strict=True)]
        begin, end = [e // 2 for e in extra], [e - e // 2 for e in extra]
        return self._max_pool(x, pool.kernel, pool.stride, begin, end)

    def _max_pool(self, x: Node, kernel: Sequence[int], stride: Sequence[int], begin: list, end: list) -> Node:
        pooled = self.op.max_pool(x, list(stride), [1, 1, 1], begin, end, list(kernel), "ceil", "explicit")
        return pooled.output(0)  # the second output says where each maximum was

    def mean(self, x: Node) -> Node:
        return self.op.reduce_mean(x, self.integers(2, 3, 4), False)  # (1, C)

    def linear(self, x: Node, layer: nn.Linear) -> Node:
        return self.op.add(self.op.matmul(x, self.floats(layer.weight), False, True), self.floats(layer.bias[None]))

    def gate(self, x: Node, gating: SelfGating) -> Node:
        return self.op.sigmoid(self.linear(self.mean(x), gating.fc))  # (1, C)

    def expand(self, gate: Node) -> Node:
        return self.op.reshape(gate, self.integers(1, -1, 1, 1, 1), False)

    def block(self, x: Node, block: Any) -> tuple[Node, Node]:
        """An Inception block without its gates, and the gates (1, C)."""
        ones = [1, 1, 1]
        branches = [
            self.unit(x, block.conv_b0),
            self.unit(self.unit(x, block.conv_b1_a), block.conv_b1_b),
            self.unit(self.unit(x, block.conv_b2_a), block.conv_b2_b),
            self.unit(self._max_pool(x, (3, 3, 3), ones, ones, ones), block.conv_b3_b),
        ]
        gatings = (block.gating_b0, block.gating_b1, block.gating_b2, block.gating_b3)
        gates = [self.gate(branch, gating) for branch, gating in zip(branches, gatings, strict=True)]
        return self.op.concat(branches, 1), self.op.concat(gates, 1)


def _take_up(core: Any, kept: Any, settings: dict) -> Any:
    """Read what an earlier process compiled; None when there is nothing, or it cannot be used."""
    try:
        content = kept.read_bytes()
    except OSError:
        return None
    digest, blob = content[:DIGEST], content[DIGEST:]
    if hashlib.sha256(blob).digest() != digest:  # OpenVINO itself would take damaged weights without a word
        logger.warning("%s is damaged; compiling again", kept)
        return None
    try:
        return core.import_model(blob, DEVICE, settings)  # the settings count: without them bf16 may be chosen
    except RuntimeError as error:
        logger.info("%s does not fit this machine (%s); compiling again", kept, str(error).splitlines()[0])
        return None


def _keep(compiled: Any, kept: Any) -> None:
    exported = compiled.export_model()
    blob = exported.getvalue() if isinstance(exported, io.BytesIO) else bytes(exported)
    try:
        with atomic_path(kept) as path, path.open("wb") as file:
            file.write(hashlib.sha256(blob).digest())
            file.write(blob)
    except OSError as error:
        logger.info("cannot keep the compiled network in %s (%s); the next start compiles again", kept.parent, error)
