"""A library whose captions were indexed as earlier versions did: searched as before, and brought up to date."""

import hashlib
import json
import logging
from dataclasses import replace
from pathlib import Path

import lancedb
import pyarrow as pa
import pytest
from lancedb.index import FTS

from mmpt.cli.main import main
from mmpt.models.scorer import Scorer
from mmpt.search.library import VideoLibrary
from mmpt.search.store import Store
from mmpt.search.store_tables import CAPTIONS
from tests.search.making import subtitles
from tests.search.tools import encodings, ids

EARLIER = pa.schema([field for field in CAPTIONS if field.name not in ("language", "words")])


def make_earlier(folder: Path, subtitles: dict[str, Path]) -> None:
    """Give a library the captions table, and videos the digests of their subtitles, that earlier versions wrote."""
    store = Store.open(folder)
    digests = {video: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for video, path in subtitles.items()}
    store.change([replace(store.videos()[video], subtitles=digest) for video, digest in digests.items()])
    tables = lancedb.connect(folder)
    rows = tables.open_table("captions").to_arrow().select(EARLIER.names)
    table = tables.create_table("captions", data=rows, schema=EARLIER, mode="overwrite")
    config = FTS(language="English", stem=True, remove_stop_words=True, ascii_folding=True)
    table.create_index("text", config=config)


@pytest.fixture
def earlier(videos: Path, tmp_path: Path, grid_scorer: Scorer) -> VideoLibrary:
    """A library of `videos` in the earlier form, with captions in French and Korean."""
    (videos / "kitchen" / "soup.srt").unlink()
    (videos / "kitchen" / "soup.fr.srt").write_text(subtitles(["On verse la crème brûlée.", "Deux chevaux."]), "utf-8")
    (videos / "garden" / "dog.srt").write_text(subtitles(["고양이 잔다"]), "utf-8")
    library = VideoLibrary(tmp_path / "library", grid_scorer)
    library.add(videos)
    make_earlier(tmp_path / "library", {ids(library)["soup.mp4"]: videos / "kitchen" / "soup.fr.srt"})
    return VideoLibrary(tmp_path / "library", grid_scorer)


def find(library: VideoLibrary, text: str) -> list[str | None]:
    return [moment.said for moment in library.search(text, mode="said").moments]


def test_until_then_words_are_found_as_before_and_what_to_do_is_told(earlier: VideoLibrary, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        assert find(earlier, "flipping pancakes") == ["Now flip the pancake."]
        assert find(earlier, "creme") == find(earlier, "crème") == ["On verse la crème brûlée."]
    assert [record.getMessage().endswith(f"mmpt index update --library {earlier.address}") for record in caplog.records]
    assert len(caplog.records) == 1
    assert len(earlier.captions(ids(earlier)["pancake.mp4"])) == 3
    assert earlier.check() == []


def test_an_update_indexes_the_words_and_reads_no_video(earlier: VideoLibrary, monkeypatch, caplog) -> None:
    counted = encodings(monkeypatch)
    before = {name: earlier.captions(video) for name, video in ids(earlier).items()}
    report = earlier.update()
    assert counted == [] and not report.failed and len(report.captions) == 1  # the French ones, for their stems
    for name, video in ids(earlier).items():
        assert [replace(line, language="") for line in earlier.captions(video)] == before[name]
    with caplog.at_level(logging.WARNING):
        assert find(earlier, "고양이") == ["고양이 잔다"]
        assert find(earlier, "on") == ["It is golden on both sides.", "On verse la crème brûlée."]
        assert find(earlier, "cheval") == ["Deux chevaux."]  # the subtitle's name says that it is French
        assert find(earlier, "flip the pancakes") == ["Now flip the pancake."]
    assert not caplog.records
    store = Store.open(earlier.address)
    assert store.languages() == ["", "fr"]
    assert list(store._database.text_indices("captions")) == ["words"]
    assert earlier.update().known == 3  # and there it ends


def test_a_stopped_update_is_taken_up_again(earlier: VideoLibrary, monkeypatch) -> None:
    store = earlier.store
    monkeypatch.setattr("mmpt.search.store_upkeep.WORDS_PORTION", 2)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(store._database), "index_terms", stop)
        with pytest.raises(KeyboardInterrupt):
            store.index_words()
    assert find(earlier, "flipping pancakes") == ["Now flip the pancake."]  # as before
    assert store.index_words() == 0
    assert find(earlier, "고양이") == ["고양이 잔다"]


def test_captions_that_an_earlier_version_adds_later_are_indexed_too(earlier: VideoLibrary) -> None:
    earlier.update()
    store = earlier.store
    rows = store._database.rows("captions", EARLIER.names)
    store._database.drop("captions", "revision", sorted({row["revision"] for row in rows}))
    store._database.append("captions", pa.Table.from_pylist(rows, schema=EARLIER))
    assert find(earlier, "고양이") == []
    assert store.index_words() == len(rows)
    assert find(earlier, "고양이") == ["고양이 잔다"]


def test_what_is_added_to_an_earlier_library_brings_it_up_to_date(earlier: VideoLibrary, videos: Path) -> None:
    store = Store.open(earlier.address)
    entries = list(store.entries())
    store.put_many(entries)
    assert find(earlier, "고양이") == ["고양이 잔다"]
    assert {len(entry.captions) for entry in store.entries()} == {1, 2, 3}


def test_words_of_a_caption_are_found_on_the_command_line(earlier: VideoLibrary, capsys) -> None:
    """The case said-english-forms, from the subtitles to the answer."""
    assert main(["index", "update", "--library", earlier.address, "--model", str(earlier.scorer.name)]) == 0
    capsys.readouterr()
    assert main(["search", "creme brulees", "--mode", "said", "--library", earlier.address, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["match"] is True and found["moments"][0]["score"] == pytest.approx(2.6)
