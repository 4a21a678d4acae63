"""S3D at full size, with weights from the recorded recipe: what comes out, and what passes through on the way."""

import functools
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mmpt.video.backbones.s3d import S3D, S3DConfig, load_s3d
from mmpt.video.backbones.s3d_inference import S3DInference
from tests.parity.recipes import s3d_video, s3d_weights, s3d_words

COVERS = "05_s3d"
BAR = 1e-4  # absolute, for outputs and recorded activations
VIDEO = re.compile(r"video\((\d+), (\d+), (\d+), (\d+), (\d+)\)")
CLIP_KEYS, TEXT_KEYS = {"input", "input_sum", "activations"}, {"sentences", "note"}
ACTIVATION_KEYS = {"shape", "mean", "std", "flat_index", "values"}
BATCH = 3


class Case(NamedTuple):
    folder: Path
    file: str
    name: str
    form: str

    def __str__(self) -> str:
        return f"{self.name}-{self.form}"

    @property
    def about(self) -> dict[str, Any]:
        return _cases(self.folder / self.file)[self.name]

    def outputs(self) -> dict[str, torch.Tensor]:
        tensors = _tensors(self.folder / _read(self.folder / self.file)["file"])
        mine = {key: tensor for key, tensor in tensors.items() if key.startswith(f"{self.name}/out/")}
        return {key.rsplit("/", 1)[1]: tensor for key, tensor in mine.items()}

    def clips(self) -> torch.Tensor:
        recipe = VIDEO.fullmatch(self.about["input"])
        assert recipe, f"this suite does not know how to make {self.about['input']!r}"
        seed, *shape = map(int, recipe.groups())
        video = torch.from_numpy(s3d_video(seed, *shape))  # type: ignore[call-arg]
        assert video.double().sum().item() == pytest.approx(self.about["input_sum"], rel=1e-12)
        return video


def list_cases(folder: Path) -> list[Case]:
    """Every case with every form of S3D; the fast form has no text tower."""
    cases = []
    for file in sorted(folder.glob("*.json")):
        for name, about in _cases(file).items():
            cases += [Case(folder, file.name, name, "plain")]
            cases += [Case(folder, file.name, name, "fast")] * ("sentences" not in about)
    return cases


@functools.cache
def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def _cases(path: Path) -> dict[str, dict[str, Any]]:
    return _read(path)["cases"]


def _is_text(about: dict[str, Any]) -> bool:
    """Whether sentences go in; neither those nor clips: a case that nobody checks."""
    known = set(about) <= TEXT_KEYS if "sentences" in about else CLIP_KEYS >= set(about) > {"input"}
    assert known, f"this suite does not know a case with {sorted(about)}"
    return "sentences" in about


@functools.cache
def _tensors(path: Path) -> dict[str, torch.Tensor]:
    return load_file(path)


class Forms(NamedTuple):
    """What is held to the recorded numbers."""

    plain: S3D
    fast: S3DInference


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Both forms of a recorded set's S3D, loaded from files as the published ones are."""

    @functools.cache
    def load(about: Path) -> Forms:
        recorded, folder = _read(about), tmp_path_factory.mktemp("s3d")
        arrays = s3d_weights({key: entry["shape"] for key, entry in recorded["state_dict"].items()}, recorded["seed"])
        torch.save({key: torch.from_numpy(np.asarray(array)) for key, array in arrays.items()}, folder / "s3d.pth")
        words = s3d_words(recorded["seed"])
        assert hashlib.sha256(words.tobytes()).hexdigest() == recorded["dict_npy_sha256_of_utf32_bytes"]
        np.save(folder / "s3d_dict.npy", words)
        plain = load_s3d(folder / "s3d.pth", folder / "s3d_dict.npy")
        return Forms(plain, S3DInference(plain))

    yield load
    load.cache_clear()


def test_every_file_belongs_to_a_case(golden_dir: Path) -> None:
    folder, files = golden_dir / COVERS, set()
    for about in folder.glob("*.json"):
        files |= {about.name, _read(about)["file"]}
        outputs = {
            name: ("text_embedding", "token_ids") if _is_text(case) else ("video_embedding", "mixed_5c")
            for name, case in _cases(about).items()
        }
        claimed = {f"{name}/out/{key}" for name, keys in outputs.items() for key in keys}
        assert claimed == set(_tensors(folder / _read(about)["file"]))
    assert {path.name for path in folder.iterdir()} == files


def test_parameters(golden_dir: Path, models: Any) -> None:
    """The names and shapes are the original's, and the recipe gives the recorded weights."""
    for about in (golden_dir / COVERS).glob("*.json"):
        own = models(about).plain.state_dict()
        recorded = _read(about)["state_dict"]
        assert {name: list(tensor.shape) for name, tensor in own.items()} == {
            name: entry["shape"] for name, entry in recorded.items()
        }
        with torch.device("meta"):
            fresh = S3D(S3DConfig()).state_dict()
        assert {name: tensor.shape for name, tensor in fresh.items()} == {n: t.shape for n, t in own.items()}
        for name, entry in recorded.items():
            assert own[name].double().abs().sum().item() == pytest.approx(entry["abs_sum"], rel=1e-6), name


@torch.no_grad()
def test_recorded_case(case: Case, models: Any) -> None:
    model = getattr(models(case.folder / case.file), case.form)
    if _is_text(case.about):
        sentences = case.about["sentences"]
        actual = {"text_embedding": model.encode_words(sentences), "token_ids": model.word_ids(sentences)}
        _compare(actual, case.outputs())
        alone = torch.cat([model.encode_words([sentence]) for sentence in sentences])
        _close(alone, case.outputs()["text_embedding"], "text_embedding, one at a time")
        return
    recorded = (case.about.get("activations") or {}) if case.form == "plain" else {}
    seen: dict[str, torch.Tensor] = {}
    hooks = [
        model.get_submodule(name).register_forward_hook(lambda _, __, out, name=name: seen.__setitem__(name, out))
        for name in recorded
    ]
    try:
        actual = dict(model(case.clips()))
    finally:
        for hook in hooks:
            hook.remove()
    _compare(actual, case.outputs())
    for name, entry in recorded.items():
        _compare_activation(seen[name], entry, name)


@pytest.mark.parametrize("form", Forms._fields)
@torch.no_grad()
def test_batch_of_three(golden_dir: Path, models: Any, form: str) -> None:
    """Recorded clips of one shape, run together: every row is what it is alone."""
    groups: dict[tuple, list[Case]] = {}
    for case in list_cases(golden_dir / COVERS):
        if case.form == form and not _is_text(case.about):
            groups.setdefault((case.file, *case.clips().shape[1:]), []).append(case)
    smallest = min(groups, key=lambda key: key[2] * key[3] * key[4] / len(groups[key]))
    cases = groups[smallest]
    clips = torch.cat([case.clips() for case in cases])
    rows = torch.arange(BATCH) % len(clips)
    actual = dict(getattr(models(cases[0].folder / cases[0].file), form)(clips[rows]))
    outputs = [case.outputs() for case in cases]
    _compare(actual, {key: torch.cat([output[key] for output in outputs])[rows] for key in outputs[0]})


def _compare(actual: dict[str, torch.Tensor], recorded: dict[str, torch.Tensor]) -> None:
    assert set(actual) == set(recorded)
    for name, tensor in recorded.items():
        _close(actual[name], tensor, name)


def _close(actual: torch.Tensor, recorded: torch.Tensor, name: str) -> None:
    assert actual.shape == recorded.shape, f"{name}: {tuple(actual.shape)}, recorded {tuple(recorded.shape)}"
    if not recorded.is_floating_point():
        assert torch.equal(actual, recorded), name
        return
    difference = float((actual.double() - recorded.double()).abs().max())
    assert difference <= BAR, f"{name}: differs by {difference:.2e}, allowed are {BAR:.0e}"


def _compare_activation(actual: torch.Tensor, recorded: dict[str, Any], name: str) -> None:
    assert set(recorded) == ACTIVATION_KEYS, f"{name}: this suite does not know {sorted(recorded)}"
    assert list(actual.shape) == recorded["shape"], name
    wide = actual.double()
    assert wide.mean().item() == pytest.approx(recorded["mean"], abs=BAR), f"{name}: mean"
    assert wide.std().item() == pytest.approx(recorded["std"], abs=BAR), f"{name}: standard deviation"
    _close(actual.flatten()[recorded["flat_index"]], torch.tensor(recorded["values"]), f"{name}: values")
