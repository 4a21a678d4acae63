"""Where commands write: results to `out`, progress and notes to `err`, so that a pipe gets results only."""

from rich.console import Console

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)
