"""Names in YAML files -> classes."""

import subprocess
import sys
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmpt.utils import registry
from mmpt.utils.registry import alias, lookup, names, register


@pytest.fixture
def kind(monkeypatch: pytest.MonkeyPatch) -> str:
    """A kind of its own, so that the real ones stay as they are."""
    monkeypatch.setattr(registry, "_CLASSES", dict(registry._CLASSES))
    monkeypatch.setattr(registry, "_ALIASES", dict(registry._ALIASES))
    return "thing"


def test_own_name_other_names_and_the_class_itself(kind: str) -> None:
    @register(kind)
    class First:
        pass

    @register(kind, "Second", "TheSecond")
    class Other:
        pass

    assert lookup(kind, "First") is First
    assert lookup(kind, "Second") is lookup(kind, "TheSecond") is Other
    assert names(kind) == ["First", "Second", "TheSecond"]
    assert Other.__name__ == "Other", "the decorator gives the class back as it is"


def test_one_name_may_stand_for_two_kinds(kind: str) -> None:
    class One:
        pass

    class Two:
        pass

    register(kind, "Same")(One)
    register("other thing", "Same")(Two)
    assert lookup(kind, "Same") is One
    assert lookup("other thing", "Same") is Two


def test_a_name_is_registered_once(kind: str) -> None:
    class One:
        pass

    register(kind, "Name")(One)
    register(kind, "Name")(One)  # the same class again is no conflict
    with pytest.raises(AssertionError, match="registered twice"):
        register(kind, "Name")(type("Two", (), {}))


def test_a_wrong_name_gets_the_nearest_one(kind: str) -> None:
    for name in ("DSAligner", "MFMMLMAligner"):
        register(kind, name)(type(name, (), {}))
    with pytest.raises(ValueError) as error:
        lookup(kind, "DSAlinger", where="projects/task/vtt.yaml")
    expected = "thing 'DSAlinger' (projects/task/vtt.yaml) is not registered; did you mean 'DSAligner'?"
    assert str(error.value) == expected


def test_a_name_like_no_other_gets_the_list(kind: str) -> None:
    register(kind, "DSAligner")(type("DSAligner", (), {}))
    with pytest.raises(ValueError, match="thing 'xyz' is not registered; known are: DSAligner"):
        lookup(kind, "xyz")


def test_an_old_name_stands_for_the_right_one_with_a_warning(kind: str) -> None:
    class Right:
        pass

    register(kind)(Right)
    alias(kind, "Wrong", "Right")
    with pytest.warns(UserWarning, match=r"thing 'Wrong' \(own\.yaml\) is an old name for 'Right'; write that"):
        assert lookup(kind, "Wrong", where="own.yaml") is Right
    assert names(kind) == ["Right"], "lists and hints offer right names only"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> Iterator[Path]:
    """A package outside the tree."""
    folder = tmp_path / "outside_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [name for name in sys.modules if name.split(".")[0] == "outside_package"]:
        del sys.modules[name]


def test_a_folder_is_walked_at_the_first_look_up(package: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_FOLDERS", {kind: "outside_package", "second": "outside_package"})
    monkeypatch.setattr(registry, "_WALKED", set())
    for name in ("one", "two"):
        (package / f"{name}.py").write_text(
            f"from mmpt.utils.registry import register\n@register('{kind}')\nclass {name.title()}: pass\n"
        )
    assert "outside_package.one" not in sys.modules
    assert lookup(kind, "Two").__module__ == "outside_package.two"
    assert names(kind) == ["One", "Two"], "adding a file is all it takes"
    assert names("second") == []


def test_a_broken_file_is_told_each_time(package: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_FOLDERS", {kind: "outside_package"})
    monkeypatch.setattr(registry, "_WALKED", set())
    (package / "broken.py").write_text("import surely_absent_module\n")
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="surely_absent_module"):
            lookup(kind, "Anything")


def test_a_class_outside_the_tree(package: Path, kind: str) -> None:
    (package / "own.py").write_text("class Mine: pass\nclass Outer:\n    pass\nfunction = len\n")
    assert lookup(kind, "outside_package.own:Mine", may_import=True).__name__ == "Mine"
    assert lookup(kind, "collections:OrderedDict") is OrderedDict
    with pytest.raises(ValueError, match=r"thing 'outside_package\.own:function' is a builtin_function.*, not a class"):
        lookup(kind, "outside_package.own:function")


@pytest.mark.parametrize(
    "name", ["outside_package.absent:X", "outside_package:Absent", "surely_absent_module:X", ":X", "a:", ".own:X"]
)
def test_a_class_outside_the_tree_that_is_not_there(package: Path, kind: str, name: str) -> None:
    with pytest.raises(ValueError) as error:
        lookup(kind, name, where="own.yaml", may_import=True)
    assert f"thing {name!r} (own.yaml) cannot be imported (" in str(error.value)
    assert "write package.module:Class" in str(error.value)


# the names that the original's YAML files use
ORIGINAL = {
    "model": [
        *("MMFusionSeparate", "MMFusionShare", "MMFusionJoint", "MMFusionMFMMLM", "MMFusionMTM", "MMFusionNLG"),
        *(
            f"MMFusion{form}Action{kind}"
            for form in ("", "Separate", "Share")
            for kind in ("Segmentation", "Localization")
        ),
    ],
    "encoder": [
        "BertModel",
        *(f"MMBertFor{kind}" for kind in ("Encoder", "Joint", "MFMMLM", "MTM", "NLG", "TokenClassification")),
    ],
}


@pytest.mark.parametrize("kind", ORIGINAL)
def test_the_names_of_the_original_are_known(kind: str) -> None:
    assert set(ORIGINAL[kind]) <= set(names(kind))
    assert all(isinstance(lookup(kind, name), type) for name in names(kind))


def test_a_backbone_is_found_without_loading_the_others() -> None:
    code = (
        "import sys; from mmpt.utils.registry import lookup; print(lookup('backbone', 'grid').__name__); "
        "assert 'mmpt.video.backbones.s3d' not in sys.modules"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "GridBackbone"
