"""The benchmarks of the data path run, all from one place."""

import re

import pytest

from benchmarks import data


@pytest.mark.slow
def test_parts_of_the_data_path_are_measured_from_one_place(capfd: pytest.CaptureFixture[str]) -> None:
    assert data.main(["--quick", "--only", "retrieval_data", "--only", "stores"]) == 0
    told = capfd.readouterr().out
    assert "retrieval data path, 200 videos" in told and "mmpt shard" in told
    assert "extraction" not in told and "tokenize" not in told
    memory = told[told.index("Peak memory") :]
    peaks = [int(found.replace(",", "")) for found in re.findall(r"videos +([\d,]+)", memory)]
    assert len(peaks) == 2 and max(peaks) < 500, "the memory of another part was counted"


def test_a_part_that_fails_is_told_and_counts(capfd: pytest.CaptureFixture[str]) -> None:
    assert data.main(["--quick", "--only", "captions", "--bert-name", "./none"]) == 1
    assert "./none" in capfd.readouterr().err


def test_a_part_that_there_is_not_is_an_error_that_names_all(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        data.main(["--only", "none"])
    told = capsys.readouterr().err
    assert all(name in told for name in ("extraction", "retrieval_data", "stores", "captions"))
