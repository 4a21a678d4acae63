"""A library used from another folder, or moved: where its model is found, and what is said when it is not."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from mmpt.cli.main import main
from mmpt.models.scorer import load
from mmpt.search.identity import describe, fingerprint
from mmpt.search.library import VideoLibrary
from mmpt.search.own_model import describe_place
from mmpt.search.store import Store
from tests.search.entries import random_entry
from tests.search.making import make_grid_model

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()  # what fixtures print
        code = main(list(map(str, words)))
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def project(tmp_path: Path, grid_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model and an indexed video, and the current one; there is another folder beside it."""
    folder = tmp_path / "project"
    shutil.copytree(grid_model, folder / "models" / "toy")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MMPT_HOME", raising=False)
    make_library(folder / "library", "models/toy")
    return folder


@pytest.fixture(scope="session")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_grid_model(tmp_path_factory.mktemp("other-model"), seed=9)


def make_library(folder: Path, model: str) -> Store:
    scorer = load(model)
    store = Store.create(folder, describe(scorer), describe_place(scorer.place, folder))
    store.put_many([random_entry(1, dim=scorer.model.config.hidden_size)])
    return store


def as_made_before(folder: Path) -> None:
    """Take away what earlier versions did not keep."""
    Store.open(folder)._database._table("about").drop_columns(["model_place"])


def search(run: Run, library: object) -> tuple[int, str, str]:
    code, out, err = run("search", "a dog", "--library", library, "--threshold", "none", "--mode", "seen")
    return code, out, "".join(line for line in err.splitlines(keepends=True) if "too few windows" not in line)


@pytest.mark.parametrize("moved", [False, True])
def test_a_library_finds_its_model_from_another_folder(
    run: Run, project: Path, moved: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.parent / "elsewhere")
    if moved:  # with the model
        project = project.rename(project.parent / "renamed")
    code, out, err = search(run, project / "library")
    assert code == 0 and "00001.mp4" in out and err == ""
    code, out, _ = run("library", "stats", "--library", project / "library")
    assert "models/toy (weights" in out


def test_a_library_that_is_moved_alone_finds_its_model(run: Run, project: Path) -> None:
    (project / "library").rename(project.parent / "elsewhere" / "films")
    assert search(run, project.parent / "elsewhere" / "films")[0] == 0


def test_another_model_of_the_same_name_in_the_current_folder_is_not_taken(
    run: Run, project: Path, other_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(other_model, project.parent / "elsewhere" / "models" / "toy")
    monkeypatch.chdir(project.parent / "elsewhere")
    assert search(run, project / "library")[0] == 0
    as_made_before(project / "library")
    code, _, err = search(run, project / "library")
    assert code == 0 and f"it was found at {project / 'models' / 'toy'}" in err


@pytest.mark.parametrize("place", ["library", "data/films/library"])
def test_the_model_of_a_library_of_an_earlier_version_is_looked_for_above_it(
    run: Run, project: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / place).parent.mkdir(parents=True, exist_ok=True)
    (project / "library").rename(project / place)
    as_made_before(project / place)
    assert search(run, project / place)[2] == ""  # from where it was made all is as it was
    monkeypatch.chdir(project.parent / "elsewhere")
    code, _, err = search(run, project / place)
    assert code == 0 and "calls its model 'models/toy'" in err and str(project / "models" / "toy") in err


def test_an_update_where_the_model_is_found_keeps_its_place(
    run: Run, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_made_before(project / "library")
    assert run("index", "update")[0] == 0
    monkeypatch.chdir(project.parent / "elsewhere")
    shutil.move(project / "library", "library")
    code, _, err = search(run, "library")
    assert (code, err) == (0, "")


def test_a_model_that_is_not_found_is_told_and_may_be_handed_over(
    run: Run, project: Path, other_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = fingerprint(load("models/toy").model)[:12]
    hidden = shutil.move(project / "models" / "toy", project.parent / "hidden")
    for _ in range(2):
        code, out, err = search(run, "library")
        assert (code, out) == (2, "") and "Traceback" not in err
        assert f"needs the model models/toy (weights {known})" in err and str(project / "models" / "toy") in err
        assert "--model PATH" in err
    assert search(run, "library")[0] == 2
    code, _, err = run("search", "a dog", "--model", other_model)
    assert code == 2 and "not of one space" in err
    assert run("search", "a dog", "--threshold", "none", "--model", hidden)[0] == 0
    assert run("search", "a dog", "--mode", "said")[0] == 0  # which no model is needed for
    assert run("index", "update", "--model", hidden)[0] == 0
    assert search(run, "library")[0] == 0  # it is remembered


def test_a_model_whose_weights_have_changed_is_told(run: Run, project: Path, other_model: Path) -> None:
    shutil.rmtree(project / "models" / "toy")
    shutil.copytree(other_model, project / "models" / "toy")
    code, _, err = search(run, "library")
    assert code == 2 and "other weights" in err and "--model PATH" in err and err.count("models/toy") >= 2


def test_what_a_model_lacks_is_still_told(run: Run, project: Path) -> None:
    (project / "models" / "toy" / "model.safetensors").unlink()
    code, _, err = search(run, "library")
    assert code == 2 and "models/toy" in err and "needs the model" not in err


@pytest.mark.parametrize("what", ["yaml", "name"])
def test_models_of_yaml_files_and_names_are_found_from_another_folder(
    run: Run, tiny_home: Path, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_home)
    monkeypatch.delenv("MMPT_HOME", raising=False)
    (tmp_path / "own.yaml").write_text(
        yaml.safe_dump({"includes": [str(tiny_home / "projects/retri/videoclip/how2.yaml")]})
    )
    make_library(tmp_path / "library", str(tmp_path / "own.yaml") if what == "yaml" else "videoclip")
    monkeypatch.chdir(tmp_path)
    assert search(run, "library")[0] == 0
    if what == "name":
        as_made_before(tmp_path / "library")
        code, _, err = search(run, "library")
        assert code == 2 and "needs the model videoclip (weights" in err and "checkpoint_best.pt" in err


def test_another_model_is_refused_also_when_nothing_is_new(
    run: Run, project: Path, videos: Path, other_model: Path
) -> None:
    assert run("index", videos)[0] == 0
    before = Store.open("library").sources()
    shutil.copytree(videos, videos.with_name("copies"))
    for words in ([videos], ["update"], [videos.with_name("copies")]):
        code, out, err = run("index", *words, "--model", other_model)
        assert (code, out) == (2, "") and "models/toy (weights" in err and str(other_model) in err
    assert run("index", videos, "--model", "nothing")[0] == 2
    assert Store.open("library").sources() == before
    assert run("index", videos, "--model", "models/toy")[0] == 0


def test_a_home_of_the_user_is_written_with_a_tilde(
    run: Run, project: Path, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(project.parent))
    words = ["--library", "~/own", "--model", "~/project/models/toy"]
    assert run("index", "~/videos", "--captions", "~/videos/kitchen", *words)[0] == 0
    assert Store.open(project.parent / "own").sources()[0].path == str(videos)
    assert search(run, "~/own")[0] == 0 and run("index", "remove", "~/videos/garden", "--library", "~/own")[0] == 0


def test_a_relative_library_stays_where_it_was_when_the_current_folder_changes(
    project: Path, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, new = VideoLibrary("library"), VideoLibrary("new", "models/toy")
    monkeypatch.chdir(project.parent / "elsewhere")
    library.add(videos / "garden")
    assert library.search("a dog", threshold=None).moments and library.check()[0].kind == "missing file"
    monkeypatch.chdir(project)
    new.scorer.encode_text(["a dog"])
    monkeypatch.chdir(project.parent / "elsewhere")
    assert len(new.add(videos / "garden").added) == 1
    assert not any(Path().iterdir()) and (project / "new").is_dir()


def test_what_could_not_be_indexed_is_not_tried_for_ever(run: Run, project: Path, videos: Path) -> None:
    (videos / "notes.txt").write_text("no video")
    (project / "code").mkdir()
    (project / "code" / "main.ts").write_text("export {}")
    code, _, err = run("index", videos / "garden", videos / "notes.txt", videos / "nowhere.mp4", "code")
    assert code == 1 and "notes.txt" in err and "nowhere.mp4" in err and "main.ts" in err
    assert [source.path for source in Store.open("library").sources()] == [str(videos / "garden")]
    assert run("index", "update")[0] == 0
    (videos / "garden" / "broken.mp4").write_text("no video")  # below a folder that holds others it is told each time
    assert (run("index", "update")[0], run("index", "update")[0]) == (1, 1)


def test_a_folder_without_a_video_is_told_and_the_others_are_indexed(run: Run, project: Path, videos: Path) -> None:
    (project / "empty").mkdir()
    code, out, err = run("index", "empty", videos / "garden")
    assert (code, out.split(":")[0]) == (1, "1 added, 0 known, 1 failed") and "empty is a folder that holds no" in err
    assert [source.path for source in Store.open("library").sources()] == [str(videos / "garden")]


def test_what_an_earlier_version_keeps_trying_is_told_once_more(run: Run, project: Path, videos: Path) -> None:
    from mmpt.search.store_tables import Source

    (videos / "notes.txt").write_text("no video")
    Store.open("library").remember([Source(str(videos / "notes.txt")), Source(str(videos / "nowhere.mp4"))])
    assert run("index", "update")[0] == 1 and run("index", "update")[0] == 0


def test_a_folder_is_no_source_when_the_model_could_not_be_loaded(run: Run, project: Path, videos: Path) -> None:
    shutil.rmtree(project / "models")
    code, _, err = run("index", videos)
    assert code == 2 and "needs the model" in err and Store.open("library").sources() == []
