"""`mmpt download` against a server on this machine that has the layout of a working folder."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmpt.cli.main import main
from mmpt.models.original import read_original
from mmpt.utils.published import PUBLISHED, check_content, command_for, mirrors
from tests.utils.servers import Site, serve

GOLDEN = Path(__file__).parents[1] / "golden"
CHECKPOINT = (GOLDEN / "01_checkpoints/videoclip.pt").read_bytes()
BERT = GOLDEN / "13_init_from_bert/bert-with-weights"
PLACES = [file.place for published in PUBLISHED.values() for file in published.files]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Serve every published file, and make the publishers' addresses lead to paths where nothing is."""
    np.save(tmp_path / "dict.npy", np.array(["a", "word"]))
    contents = {"pt": CHECKPOINT, "pth": CHECKPOINT, "npy": (tmp_path / "dict.npy").read_bytes()}
    for name in ("config.json", "tokenizer_config.json", "vocab.txt"):
        contents[name] = (BERT / name).read_bytes()
    (tmp_path / "dict.npy").unlink()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MMPT_HOME", raising=False)
    monkeypatch.delenv("MMPT_MIRRORS", raising=False)
    files = {f"/{p}": contents.get(Path(p).name) or contents[p.rpartition(".")[2]] for p in PLACES}
    with serve(Site(files=files, headers={"ETag": '"1"'})) as running:
        for name, published in PUBLISHED.items():
            own = tuple(replace(file, url=f"{running.url}/own/{Path(file.place).name}") for file in published.files)
            monkeypatch.setitem(PUBLISHED, name, replace(published, files=own))
        yield running


def test_everything_comes_from_a_mirror_to_its_documented_place(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["download", *PUBLISHED, "--mirror", f"{site.url}/"]) == 0
    for place in PLACES:
        assert (tmp_path / place).read_bytes() == site.files[f"/{place}"], place
    assert len(read_original(tmp_path / "runs/retri/videoclip/checkpoint_best.pt").state) == 102
    shown = capsys.readouterr()
    assert shown.out == "", "standard output is for results"
    assert shown.err.count("is complete") == len(PLACES)
    assert "CC-BY-NC" in shown.err


def test_brackets_in_a_folders_name_are_no_markup(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["download", "bert", "--mirror", f"{site.url}/", "--to", "[red]folder :smile:"]) == 0
    assert "[red]folder :smile:/pretrained_models" in capsys.readouterr().err


def test_the_documented_places_are_the_tutorials() -> None:
    assert set(PLACES) >= {
        *("runs/retri/videoclip/checkpoint_best.pt", "runs/mtm/vlm/checkpoint_best.pt"),
        *("pretrained_models/s3d_howto100m.pth", "pretrained_models/s3d_dict.npy"),
    }


@pytest.mark.parametrize("name", ["videoclip", "vlm"])
def test_the_licence_is_told_even_when_it_fails(site: Site, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["download", name]) == 1
    assert "CC-BY-NC" in capsys.readouterr().err


def test_a_second_call_asks_for_nothing(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["download", "vlm", "--mirror", site.url]) == 0
    site.asked.clear()
    assert main(["download", "vlm", "vlm"]) == 0
    assert site.asked == []
    assert "is there already" in capsys.readouterr().err


def test_all_failures_are_listed_and_the_rest_is_fetched(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del site.files["/pretrained_models/s3d_dict.npy"]
    site.files["/runs/mtm/vlm/checkpoint_best.pt"] = b"not a checkpoint at all"
    assert main(["download", "s3d", "vlm", "videoclip", "--mirror", site.url]) == 1
    shown = capsys.readouterr().err
    assert "2 of 4 files are missing" in shown
    assert "s3d_dict.npy could not be fetched" in shown
    assert "own/s3d_dict.npy: 404 Not Found" in shown
    assert "what came is not a file that torch.save wrote" in shown
    assert (tmp_path / "runs/retri/videoclip/checkpoint_best.pt").exists()
    assert (tmp_path / "pretrained_models/s3d_howto100m.pth").exists()
    assert not (tmp_path / "runs/mtm/vlm/checkpoint_best.pt").exists()


def test_a_cut_transfer_goes_on_at_the_next_command(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site.cuts, site.statuses = [500_000], [200, 404, 404]
    assert main(["download", "videoclip", "--mirror", site.url]) == 1
    assert "500,000 bytes are kept" in capsys.readouterr().err
    site.asked.clear()
    assert main(["download", "videoclip", "--mirror", site.url]) == 0
    assert site.asked == [("/runs/retri/videoclip/checkpoint_best.pt", "bytes=500000-")]
    assert (tmp_path / "runs/retri/videoclip/checkpoint_best.pt").read_bytes() == CHECKPOINT


def test_to_and_mmpt_home_choose_the_folder(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMPT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MMPT_MIRRORS", f"{site.url}/absent, {site.url}/")
    assert main(["download", "vlm"]) == 0
    assert main(["download", "vlm", "--to", str(tmp_path / "to")]) == 0
    for folder in ("home", "to"):
        assert (tmp_path / folder / "runs/mtm/vlm/checkpoint_best.pt").exists()


def test_a_mirror_on_disk(site: Site, tmp_path: Path) -> None:
    assert main(["download", "s3d", "--mirror", site.url]) == 0
    assert main(["download", "s3d", "--mirror", tmp_path.as_uri(), "--to", "copy"]) == 0
    assert (tmp_path / "copy/pretrained_models/s3d_dict.npy").exists()


def test_sha256(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    right, wrong = hashlib.sha256(CHECKPOINT).hexdigest(), "0" * 64
    assert main(["download", "vlm", "--mirror", site.url, "--sha256", wrong]) == 1
    assert f"not the expected {wrong}" in capsys.readouterr().err
    assert main(["download", "vlm", "--mirror", site.url, "--sha256", right.upper()]) == 0
    assert main(["download", "s3d", "--mirror", site.url, "--sha256", f"s3d_howto100m.pth={right}"]) == 0
    assert main(["download", "vlm", "--sha256", wrong]) == 1
    assert "move it away to fetch it again" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("00", "64 hexadecimal digits"),
        ("z" * 64, "64 hexadecimal"),
        ("0" * 64, "fits 2 files"),
        (f"x={'0' * 64}", "fits 0"),
    ],
)
def test_a_sha256_that_fits_no_file(site: Site, given: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["download", "s3d", "--sha256", given]) == 2
    assert message in capsys.readouterr().err
    assert site.asked == []


def test_an_unknown_name_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["download", "clip"])
    assert stop.value.code == 2
    assert "'videoclip', 'vlm', 's3d', 'bert'" in capsys.readouterr().err


def test_an_address_of_another_kind_is_told(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["download", "vlm", "--mirror", "ftp://example.org"]) == 1
    assert "an address begins with one of http, https, file" in capsys.readouterr().err


def test_help_has_an_example_and_fits_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["download", "--help"])
    shown = capsys.readouterr().out
    assert "mmpt download videoclip s3d bert" in shown
    assert max(map(len, shown.splitlines())) <= 80


# --- mmpt/utils/published.py --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "content", "message"),
    [
        ("a.pt", b"<html>", "not a file that torch.save wrote"),
        ("a.pt", CHECKPOINT[:-100], "damaged checkpoint"),
        ("a.pth", CHECKPOINT.replace(CHECKPOINT[500_000:500_016], b"0123456789abcdef"), "the checksum of"),
        ("a.npy", b"PK", "not a numpy file"),
        ("config.json", b"{", "not a JSON file"),
        ("vocab.txt", b"words\n", "not a BERT vocabulary"),
    ],
)
def test_wrong_content_is_found(tmp_path: Path, place: str, content: bytes, message: str) -> None:
    path = tmp_path / "x.partial"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        check_content(path, place)


def test_right_content_is_left_alone(tmp_path: Path) -> None:
    check_content(GOLDEN / "01_checkpoints/actionseg.pt", "a.pt")  # the old container
    check_content(BERT / "vocab.txt", "b/vocab.txt")
    (tmp_path / "c.json").write_text(json.dumps({"a": 1}))
    check_content(tmp_path / "c.json", "c.json")


def test_the_command_that_fetches_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMPT_HOME", str(tmp_path))
    assert command_for("runs/retri/videoclip/checkpoint_best.pt") == "mmpt download videoclip"
    assert command_for("runs/mtm/vlm") == "mmpt download vlm"
    assert command_for(tmp_path / "pretrained_models/s3d_dict.npy") == "mmpt download s3d"
    assert command_for("./pretrained_models/bert-base-uncased/") == "mmpt download bert"
    assert command_for("pretrained_models") is None
    assert command_for("data/feat") is None


def test_mirrors_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMPT_MIRRORS", "http://b/, ,http://c/x/")
    assert mirrors(["http://a"]) == ["http://a", "http://b", "http://c/x"]
    monkeypatch.delenv("MMPT_MIRRORS")
    assert mirrors() == []
