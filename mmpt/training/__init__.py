"""The training loop, and what it keeps: checkpoints, the state to go on from, and the log."""
