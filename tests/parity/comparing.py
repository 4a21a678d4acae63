"""How close is equal."""

import torch

ABSOLUTE = 2e-5  # the bar, fp32
# Above about 7 the bar is finer than fp32 itself: exact arithmetic differs from the recorded logits (up to 37) by up to
# 4.3e-5. Such tensors are held to 25 roundings of their largest value instead.
RELATIVE = 3e-6
S3D = 1e-4  # the bar for S3D's outputs, fp32


def assert_close(actual: torch.Tensor, recorded: torch.Tensor, what: str, *, absolute: float = ABSOLUTE) -> None:
    """Hold two tensors to the bar.

    Args:
        actual: ours.
        recorded: the original's.
        what: named in the failure.
        absolute: the bar.
    """
    assert actual.shape == recorded.shape, f"{what}: {tuple(actual.shape)}, recorded {tuple(recorded.shape)}"
    assert torch.isfinite(actual).all(), f"{what}: not finite"
    if recorded.dtype in (torch.bool, torch.int64):
        assert torch.equal(actual.to(recorded.dtype), recorded), f"{what}: differs"
        return
    allowed = max(absolute, RELATIVE * float(recorded.abs().max())) if recorded.numel() else 0.0
    difference = float((actual - recorded).abs().max()) if recorded.numel() else 0.0
    assert difference <= allowed, f"{what}: differs by {difference:.2e}, allowed are {allowed:.2e}"
