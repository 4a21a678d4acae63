"""S3D on one-second clips: every form against the trained one in eager fp32, one clip at a time.

    python -m benchmarks.s3d [--turns 15] [--compile]

Weights are seeded, at the published size; differences are the largest over a few clips, for inputs of the same bytes.
"""

import argparse
import importlib.util
import os
import platform
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.paired import run_paired, show
from mmpt.video.backbones.s3d import S3D, S3DBackbone, S3DConfig
from mmpt.video.backbones.s3d_inference import S3DInference
from tests.parity.recipes import s3d_video, s3d_weights

HEADER = ("one second, 30 x 224 x 224", "plain ms", "ms", "ratio", "max abs diff", "least cosine")
CLIPS = (401, 402, 403)  # seeds
SEED = 11  # that of the recorded numbers in tests/golden
Form = Callable[[Tensor, Tensor], Tensor]  # float clip (1, 3, 30, 224, 224) and its bytes -> (1, 512)


def seeded_s3d(seed: int = SEED) -> S3D:
    """Make an S3D of the published size.

    Args:
        seed: of the weights.

    Returns:
        The model, in eval mode, without a vocabulary.
    """
    with torch.device("meta"):
        model = S3D(S3DConfig())
    arrays = s3d_weights({name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}, seed)
    model.load_state_dict({name: torch.from_numpy(np.asarray(array)) for name, array in arrays.items()}, assign=True)
    return model.eval()


def forms(model: S3D, *, compiled: bool = False) -> dict[str, Form]:
    """List the forms to measure.

    Args:
        model: the trained network.
        compiled: also torch.compile of the plain form, which takes a minute to prepare.

    Returns:
        Name -> form; the first is the plain one.
    """
    fp32, bf16 = S3DInference(model), S3DInference(model, torch.bfloat16)
    listed: dict[str, Form] = {
        "plain, eager fp32": lambda clip, _: model(clip).video_embedding,
        "fp32, float clip": lambda clip, _: _embedding(fp32(clip)),
        "fp32, bytes": lambda _, frames: _embedding(fp32.encode_frames(frames)),
        "bf16, float clip": lambda clip, _: _embedding(bf16(clip)),
        "bf16, bytes": lambda _, frames: _embedding(bf16.encode_frames(frames)),
    }
    if importlib.util.find_spec("openvino"):
        for precision in ("fp32", "bf16"):
            backbone = S3DBackbone(model, precision=precision, runtime="openvino")
            listed[f"{precision}, bytes, OpenVINO"] = lambda _, frames, backbone=backbone: backbone(frames)
    if compiled:
        whole = torch.compile(model, fullgraph=False)
        listed["plain, torch.compile"] = lambda clip, _: whole(clip).video_embedding
    return listed


@torch.no_grad()
def run(turns: int = 15, *, compiled: bool = False) -> list[tuple[str, ...]]:
    """Measure every form.

    Args:
        turns: counted turns.
        compiled: also torch.compile.

    Returns:
        Rows with the cells that `HEADER` names.
    """
    listed = forms(seeded_s3d(), compiled=compiled)
    inputs = [_inputs(seed) for seed in CLIPS]
    results = {name: torch.cat([form(*both) for both in inputs]) for name, form in listed.items()}
    plain, *others = run_paired(
        {name: lambda form=form: form(*inputs[0]) for name, form in listed.items()}, turns=turns
    )
    rows = []
    for timed in others:
        expected, actual = results[plain.name], results[timed.name]
        difference = float((actual - expected).abs().max())
        cosine = float(F.cosine_similarity(actual, expected).min())
        milliseconds = (f"{form.seconds * 1e3:.0f}" for form in (plain, timed))
        rows.append((timed.name, *milliseconds, f"{timed.ratio:.2f}", f"{difference:.1e}", f"{cosine:.5f}"))
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print.

    Args:
        arguments: of the command line; by default those of the process.

    Returns:
        0.
    """
    parser = argparse.ArgumentParser(description="S3D's forms against the plain one.")
    parser.add_argument("--turns", type=int, default=15, help="counted turns (default: 15)")
    parser.add_argument("--compile", action="store_true", help="also torch.compile, which takes minutes to prepare")
    args = parser.parse_args(arguments)
    where = f"torch {torch.__version__}, {platform.machine()}, {torch.get_num_threads()} of {os.cpu_count()} cores"
    show(f"S3D: {where}, {args.turns} turns", HEADER, run(args.turns, compiled=args.compile))
    return 0


def _inputs(seed: int) -> tuple[Tensor, Tensor]:
    video = torch.from_numpy(s3d_video(seed, 1, 30, 224, 224))
    frames = (video * 255).round().to(torch.uint8).permute(0, 2, 3, 4, 1).contiguous()
    return (frames.permute(0, 4, 1, 2, 3).float() / 255).contiguous(), frames


def _embedding(output: object) -> Tensor:
    embedding = getattr(output, "video_embedding", None)
    assert isinstance(embedding, Tensor)
    return embedding


if __name__ == "__main__":
    raise SystemExit(main())
