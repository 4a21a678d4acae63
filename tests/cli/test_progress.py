"""The bar shows names as they are, and nothing where nobody watches."""

import io

import pytest
from rich.console import Console

from mmpt.cli.progress import second_bar


@pytest.mark.parametrize(("terminal", "shown"), [(True, True), (False, False)])
def test_names_are_no_markup(monkeypatch: pytest.MonkeyPatch, terminal: bool, shown: bool) -> None:
    written = io.StringIO()
    monkeypatch.setattr("mmpt.cli.progress.err", Console(file=written, force_terminal=terminal, width=120))
    with second_bar() as bar:
        bar.begin("[/red] and [bold].mp4", 2, 3, 2.5)
        bar.advance(1)
    assert ("2/3 [/red] and [bold].mp4" in written.getvalue()) == shown
    assert bool(written.getvalue()) == shown
