"""docs/known-inputs.md names tests that are there."""

import re

import pytest

from tests.conftest import ROOT

NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py(?:::test_\w+)?)`", (ROOT / "docs" / "known-inputs.md").read_text())))


@pytest.mark.parametrize("name", NAMED)
def test_a_test_that_the_table_names_is_there(name: str) -> None:
    path, _, test = name.partition("::")
    assert not test or re.search(rf"^(?:async )?def {test}\(", (ROOT / path).read_text(), re.MULTILINE)


def test_every_row_names_a_test() -> None:
    rows = [line for line in (ROOT / "docs" / "known-inputs.md").read_text().splitlines() if line.endswith(" |")]
    assert len(rows) > 80 and all("`tests/" in row for row in rows if not row.startswith("| input "))
