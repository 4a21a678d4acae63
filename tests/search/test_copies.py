"""Videos that lie in several files, and names that Unicode spells in two ways."""

import os
import shutil
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mmpt.cli.main import main
from mmpt.models.scorer import Scorer
from mmpt.search.ingest import Event
from mmpt.search.library import VideoLibrary
from mmpt.search.query import Filter, Query
from mmpt.search.sources import is_below
from mmpt.search.store_tables import VIDEOS
from tests.search.making import subtitles
from tests.search.tools import ids

NFC, NFD = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
NEW = ("stamp", "real_path", "depth", "copies", "captions_from")


@pytest.fixture
def films(rendered: Path, tmp_path: Path) -> Callable[..., Path]:
    """Makes copies of one video, with the subtitles that are given beside them."""

    def make(folder: str = "films", **said: dict[str, str]) -> Path:
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        for name, files in said.items():
            shutil.copy(rendered / "garden" / "dog.mp4", place / f"{name}.mp4")
            for ending, text in files.items():
                (place / f"{name}{ending}").write_text(subtitles([text]))
        return place

    return make


@pytest.fixture
def shop(tmp_path: Path, grid_scorer: Scorer) -> VideoLibrary:
    return VideoLibrary(tmp_path / "own", grid_scorer)


def said(library: VideoLibrary) -> list[str]:
    [record] = library.videos()
    captions = [caption.text for caption in library.captions(record.id)]
    assert record.captions == len(captions)
    return captions


def as_made_before(library: VideoLibrary) -> None:
    """Take the columns away that earlier versions did not have."""
    library.store._database._table("videos").drop_columns(list(NEW))
    library.store._widened = False


@pytest.mark.parametrize("first", ["a", "b"])
def test_the_subtitles_of_any_copy_are_the_videos(shop: VideoLibrary, films: Callable[..., Path], first: str) -> None:
    second = "b" if first == "a" else "a"
    folder = films(**{first: {}, second: {".en.vtt": "My favourite part."}})
    report = shop.add(folder)
    assert (len(report.added), report.failed) == (1, []) and said(shop) == ["My favourite part."]
    [record] = shop.videos()
    assert record.path == str(folder / "a.mp4") and record.copies == (str(folder / "b.mp4"),)
    version = shop.store.version()
    assert shop.add(folder).known == 2 and shop.store.version() == version  # nothing is written again


def test_copies_added_one_by_one_have_the_subtitles_of_all(shop: VideoLibrary, films: Callable[..., Path]) -> None:
    first, second = films("first", a={}), films("second", b={".en.vtt": "My favourite part."})
    shop.add(first)
    shop.add(second)
    assert said(shop) == ["My favourite part."]
    assert shop.add(first).known == 1  # which has none, and does not take them away
    assert said(shop) == ["My favourite part."]


def test_of_the_subtitles_of_several_copies_one_is_taken_as_of_one_videos(
    shop: VideoLibrary, films: Callable[..., Path]
) -> None:
    films("z", a={".en.srt": "English."})
    folder = films("y", b={".de.srt": "Deutsch."}, c={".srt": "Without a language."})
    shop.add([folder.parent / "z", folder])
    assert said(shop) == ["Without a language."]
    (folder / "c.srt").unlink()
    shop.update()
    assert said(shop) == ["Deutsch."]  # the first by path
    shop.add(folder.parent / "z", language="en")
    assert said(shop) == ["English."]  # the language that was asked for
    assert shop.update().known == 3


def test_captions_stay_when_the_copy_that_they_came_from_goes(shop: VideoLibrary, films: Callable[..., Path]) -> None:
    folder = films(a={".en.vtt": "My favourite part."}, b={})
    shop.add(folder)
    (folder / "a.mp4").unlink()
    (folder / "a.en.vtt").unlink()
    report = shop.update()
    assert [(Path(r.path).name, r.copies) for r in report.renamed] == [("b.mp4", ())] and report.captions == []
    assert said(shop) == ["My favourite part."] and report.gone == []
    films(a={})  # comes back without them
    shop.update()
    assert said(shop) == []
    films(a={".en.vtt": "My favourite part."})
    assert len(shop.update().captions) == 1 and said(shop) == ["My favourite part."]


@pytest.mark.parametrize("copied", [True, False])
def test_captions_go_when_their_file_is_beside_another_video(
    shop: VideoLibrary, films: Callable[..., Path], rendered: Path, copied: bool
) -> None:
    folder = films(a={".srt": "Of a."}, **({"b": {}} if copied else {}))
    shop.add(folder)
    if not copied:
        (folder / "a.mp4").rename(folder / "b.mp4")
    shutil.copy(rendered / "kitchen" / "soup.mp4", folder / "a.mp4")
    shop.update()
    found = {name: [caption.text for caption in shop.captions(key)] for name, key in ids(shop).items()}
    assert found == {"a.mp4": ["Of a."], "b.mp4": []}


def test_captions_stay_when_nothing_can_be_read_where_their_copy_was(
    shop: VideoLibrary, films: Callable[..., Path]
) -> None:
    folder = films(a={".srt": "Of a."}, b={})
    shop.add(folder)
    (folder / "a.mp4").unlink()
    (folder / "a.mp4").mkdir()
    assert shop.update().captions == [] and said(shop) == ["Of a."]


def test_a_copy_that_is_added_alone_takes_the_place_of_one_that_is_gone(
    shop: VideoLibrary, films: Callable[..., Path]
) -> None:
    folder = films(a={".en.vtt": "My favourite part."}, b={})
    shop.add(folder / "a.mp4")
    (folder / "a.mp4").unlink()
    shop.add(folder / "b.mp4")
    assert list(ids(shop)) == ["b.mp4"] and said(shop) == ["My favourite part."]


def test_subtitles_that_are_taken_away_are_no_longer_found(shop: VideoLibrary, films: Callable[..., Path]) -> None:
    folder = films(a={}, b={".srt": "Of b."}, c={".en.srt": "Of c."})
    shop.add(folder)
    for name, left in (("b.srt", ["Of c."]), ("c.en.srt", [])):
        (folder / name).unlink()
        shop.update()
        assert said(shop) == left


def test_subtitles_of_a_copy_that_cannot_be_read_take_nothing_away(
    shop: VideoLibrary, films: Callable[..., Path]
) -> None:
    folder = films(a={}, b={".srt": "Of b."})
    shop.add(folder)
    (folder / "b.srt").write_text("spoilt")
    assert len(shop.update().unread) == 1 and said(shop) == ["Of b."]


def test_an_update_mends_a_library_that_lost_a_copys_captions(shop: VideoLibrary, films: Callable[..., Path]) -> None:
    folder = films(a={})
    shop.add(folder)
    as_made_before(shop)
    films(b={".en.vtt": "My favourite part."})
    old = VideoLibrary(shop.address, shop.scorer)
    assert old.videos()[0].stamp == "" and old.video(ids(old)["a.mp4"]).copies == ()
    assert len(old.update().captions) == 1 and said(old) == ["My favourite part."]
    [record] = old.videos()
    assert record.stamp and record.real_path == str(folder / "a.mp4") and record.depth == 1
    assert old.check() == [] and old.update().captions == []


def test_a_library_of_an_earlier_version_is_searched_and_added_to(
    library: VideoLibrary, films: Callable[..., Path]
) -> None:
    as_made_before(library)
    old = VideoLibrary(library.address, library.scorer)
    assert len(old.search("a dog", threshold=None).moments) and old.check() == []
    assert list(old.store._database._table("videos").schema.names) == [
        name for name in VIDEOS.names if name not in NEW
    ]  # looking writes nothing
    old.remove(ids(old)["dog.mp4"])
    assert len(old.add(films(a={})).added) == 1 and len(old.videos()) == 3


def test_a_file_that_is_written_over_leaves_the_video_at_its_copy(
    shop: VideoLibrary, films: Callable[..., Path], rendered: Path
) -> None:
    folder = films(a={}, b={})
    shop.add(folder)
    shutil.copy(rendered / "kitchen" / "soup.mp4", folder / "a.mp4")
    assert len(shop.add(folder / "a.mp4").changed) == 1
    assert sorted(ids(shop)) == ["a.mp4", "b.mp4"] and shop.update().known == 2


def test_a_copy_stays_when_the_other_is_taken_out(shop: VideoLibrary, films: Callable[..., Path]) -> None:
    folder = films(a={".srt": "Of a."}, b={})
    shop.add(folder)
    told: list[Event] = []
    assert shop.remove(folder / "a.mp4", on_event=told.append) == 0
    assert [(Path(event.path).name, event.detail) for event in told] == [
        ("b.mp4", f"is a copy of {folder / 'a.mp4'}, and stays")
    ]
    assert list(ids(shop)) == ["b.mp4"] and said(shop) == ["Of a."]
    assert shop.update().known == 1 and said(shop) == ["Of a."]
    assert shop.remove(folder / "b.mp4") == 1 and shop.videos() == []
    assert shop.update().added == []
    assert shop.remove(folder / "b.mp4") == 0 and shop.update().added == []  # it is out already


def test_by_its_id_a_video_goes_with_all_copies(shop: VideoLibrary, films: Callable[..., Path]) -> None:
    folder = films(a={}, b={})
    shop.add(folder)
    assert shop.remove(ids(shop)["a.mp4"]) == 1
    assert shop.update().added == [] and shop.videos() == []
    assert len(shop.add(folder / "b.mp4").added) == 1


def test_a_folder_with_a_copy_finds_the_video(shop: VideoLibrary, films: Callable[..., Path], capsys) -> None:
    first, second = films("first", a={}), films("second", b={})
    shop.add([first, second])
    for folder, name in ((first, "a.mp4"), (second, "b.mp4")):
        [found] = shop.search_many([Query("a dog", threshold=None, where=Filter(str(folder)))])
        assert {moment.video.path for moment in found.moments} == {str(folder / name)}
    assert main(["index", "remove", str(first), "--library", shop.address]) == 0
    assert f"note: {second / 'b.mp4'} is a copy of {first / 'a.mp4'}, and stays" in capsys.readouterr().err


def test_both_spellings_of_a_name_lie_below_a_folder_of_either() -> None:
    for folder in (NFC, NFD):
        for name in (NFC, NFD):
            assert is_below(f"/films/{name}/x.mp4", f"/films/{folder}") and is_below(f"/{name}", f"/{folder}")
    assert not is_below(f"/films/{NFC}t/x.mp4", f"/films/{NFD}")


@pytest.mark.parametrize(("written", "asked"), [(NFD, NFC), (NFC, NFD)])
def test_a_name_in_another_spelling_is_the_same_name(
    shop: VideoLibrary, films: Callable[..., Path], capsys, written: str, asked: str
) -> None:
    folder = films(f"t{written}")
    films(f"t{written}", **{f"cr{written}me": {".srt": "Boil the cream."}})
    other = folder.parent / f"t{asked}"
    assert not other.exists()
    assert len(shop.add(other).added) == 1 and shop.store.sources()[0].path == str(folder)
    video = other / f"cr{asked}me.mp4"
    assert shop.add(video).known == 1 and len(shop.videos()) == 1
    for asked_folder in (other, folder):
        assert (
            main(["search", "a dog", "--library", shop.address, "--folder", str(asked_folder), "--mode", "said"]) == 0
        )
        [found] = shop.search_many([Query("a dog", threshold=None, where=Filter(str(asked_folder)))])
        assert found.moments
    assert shop.remove(video) == 1 and shop.update().added == []
    assert len(shop.add(video).added) == 1  # wanted again
    assert shop.update().known == 1 and shop.remove(other) == 1 and shop.store.sources() == []


def test_a_folder_whose_names_are_spelled_anew_is_renamed_and_stays_out(
    shop: VideoLibrary, films: Callable[..., Path]
) -> None:
    films("films", **{f"a{NFD}": {}})
    folder = films("films", **{f"b{NFD}": {}})
    shop.add(folder)
    shop.remove(folder / f"a{NFC}.mp4")
    for name in "ab":
        (folder / f"{name}{NFD}.mp4").rename(folder / f"{name}{NFC}.mp4")
    report = shop.update()
    assert [record.path for record in report.renamed] == [str(folder / f"b{NFC}.mp4")]
    assert (report.gone, report.captions, report.failed) == ([], [], []) and shop.videos()[0].copies == ()


def test_two_spellings_of_one_file_are_no_copies(shop: VideoLibrary, films: Callable[..., Path]) -> None:
    folder = films(**{NFD: {}})
    (folder / f"{NFC}.mp4").hardlink_to(folder / f"{NFD}.mp4")  # as a disk that takes both for one shows them
    shop.add(folder)
    assert shop.videos()[0].copies == ()


def test_of_two_files_whose_names_differ_in_spelling_only_the_named_one_is_taken_out(
    shop: VideoLibrary, films: Callable[..., Path], rendered: Path
) -> None:
    folder = films(**{NFD: {}})
    shutil.copy(rendered / "kitchen" / "soup.mp4", folder / f"{NFC}.mp4")
    shop.add(folder)
    assert shop.remove(folder / f"{NFC}.mp4") == 1
    assert [record.path for record in shop.videos()] == [str(folder / f"{NFD}.mp4")]


def test_what_is_known_of_a_file_is_brought_up_to_date(
    own: VideoLibrary, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmpt.utils.content.SETTLED", -1)
    before = own.video(ids(own)["dog.mp4"])
    os.utime(before.path, (5, 5))
    report = own.update()
    after = own.video(before.id)
    assert (report.known, report.captions) == (3, []) and after.modified == 5.0
    assert after == replace(before, modified=5.0, stamp=after.stamp) and after.stamp != before.stamp
    version = own.store.version()
    assert own.update().known == 3 and own.store.version() == version
