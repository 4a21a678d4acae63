"""S3D: the trained form, and the files it is read from."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModel

from mmpt.video.backbones.s3d import S3D, S3DConfig, load_s3d
from mmpt.video.backbones.s3d_inference import S3DInference
from tests.video.small_s3d import (
    WORDS,
    as_clips,
    plain,
    random_frames,
    save_as_published,
    small_config,
    small_s3d,
)


@pytest.fixture(scope="module")
def model() -> S3D:
    return small_s3d()


# --- the trained form -------------------------------------------------------------------------------------------------


def test_odd_shapes_are_refused(model: S3D) -> None:
    for shape in ((1, 3, 7, 32, 32), (1, 3, 8, 31, 32), (1, 4, 8, 32, 32), (3, 8, 32, 32), (1, 3, 0, 32, 32)):
        with pytest.raises(ValueError, match=r"S3D reads \(B, 3, T, H, W\)"):
            model(torch.zeros(shape))
        with pytest.raises(ValueError, match=r"S3D reads \(B, 3, T, H, W\)"):
            S3DInference(model)(torch.zeros(shape))


def test_it_can_be_trained() -> None:
    model = small_s3d().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    loss = (model(torch.rand(2, 3, 8, 32, 32)).video_embedding * model.encode_words(["fry", "chop the onion"])).sum()
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    moved = [name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])]
    assert {name.rsplit(".", 1)[1] for name in moved} == {"running_mean", "running_var", "num_batches_tracked"}


def test_an_untrained_network_tells_inputs_apart() -> None:
    torch.manual_seed(0)
    rows = plain(S3D(small_config()).eval(), as_clips(random_frames((2, 8, 32, 32))))["video_embedding"]
    assert (rows[0] - rows[1]).norm() > 0.05 * rows[0].norm()


def test_words(model: S3D) -> None:
    ids = model.word_ids(["Chop THE onion, don't!", "", "unknown fry_fry fry", "the " * 40])
    assert ids[0].tolist() == [1, 2, 3, 4] + 12 * [0]
    assert ids[1].tolist() == 16 * [0]
    assert ids[2].tolist() == [5] + 15 * [0]
    assert ids[3].tolist() == 16 * [2]
    assert model.encode_words(["fry", ""]).shape == (2, 20)


def test_a_word_listed_twice_has_the_later_row() -> None:
    model = small_s3d()
    model.set_words(["fry", "the", "onion", "fry", "pan"])
    assert model.word_ids(["fry"])[0, 0] == 4


def test_without_a_vocabulary() -> None:
    with pytest.raises(ValueError, match="no vocabulary"):
        S3D(small_config()).encode_words(["fry"])
    with pytest.raises(ValueError, match=r"2 words .* 6 rows"):
        S3D(small_config(), ["fry", "chop"])


def test_blocks_must_be_the_networks() -> None:
    with pytest.raises(ValueError, match="six widths for each of mixed_3b"):
        S3DConfig(blocks={"mixed_3b": [1, 2, 3, 4, 5, 6]})


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_folder_holds_all_of_it(model: S3D, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "s3d")
    for loaded in (
        load_s3d(tmp_path / "s3d"),
        S3D.from_pretrained(tmp_path / "s3d"),
        AutoModel.from_pretrained(tmp_path / "s3d"),
    ):
        assert type(loaded) is S3D
        assert not loaded.training
        assert loaded.words == WORDS
        assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in model.state_dict().items())
    assert isinstance(AutoConfig.from_pretrained(tmp_path / "s3d"), S3DConfig)


def test_published_files(model: S3D, tmp_path: Path) -> None:
    loaded = load_s3d(*save_as_published(model, tmp_path), config=small_config())
    assert not loaded.training
    assert loaded.words == WORDS
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in model.state_dict().items())


def test_old_and_half_precision_files(model: S3D, tmp_path: Path) -> None:
    state = {
        name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in model.state_dict().items()
    }
    state = {name: tensor for name, tensor in state.items() if "num_batches_tracked" not in name}
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    loaded = load_s3d(tmp_path / "old.pth", config=small_config()).state_dict()
    for name, tensor in state.items():
        assert loaded[name].dtype == torch.float32
        assert torch.equal(loaded[name], tensor.float())


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_tensors_that_do_not_fit_are_listed(model: S3D, tmp_path: Path, kind: str) -> None:
    state = {**model.state_dict(), "extra.weight": torch.zeros(1), "fc.bias": torch.zeros(3)}
    del state["conv_2b.bn1.bias"]
    if kind == "file":
        torch.save(state, tmp_path / "s3d.pth")
        path = tmp_path / "s3d.pth"
    else:
        path = tmp_path / "s3d"
        model.save_pretrained(path)
        save_file(state, path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError) as error:
        load_s3d(path, config=small_config())
    for part in ("1 missing: conv_2b.bn1.bias", "1 not part of S3D: extra.weight", "fc.bias: (3,), not (20,)"):
        assert part in str(error.value)
    assert str(path) in str(error.value)


def test_missing_files_name_the_command(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"s3d\.pth; get them with: mmpt download s3d"):
        load_s3d(tmp_path / "s3d.pth")
    torch.save(small_s3d().state_dict(), tmp_path / "s3d.pth")
    with pytest.raises(FileNotFoundError, match=r"dict\.npy; get it with: mmpt download s3d"):
        load_s3d(tmp_path / "s3d.pth", tmp_path / "dict.npy", config=small_config())
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"empty has no config\.json"):
        load_s3d(tmp_path / "empty")


class _Touch:
    """Unpickling it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def test_a_hostile_weight_file_runs_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    torch.save({"conv1.conv1.weight": _Touch(mark)}, tmp_path / "bad.pth")
    (tmp_path / "bare.pth").write_bytes(pickle.dumps(_Touch(mark), protocol=2))
    for name in ("bad.pth", "bare.pth"):
        with pytest.raises(ValueError, match="nothing in it was run"):
            load_s3d(tmp_path / name)
    assert not mark.exists()


def test_a_hostile_dictionary_runs_nothing(model: S3D, tmp_path: Path) -> None:
    weights, dictionary = save_as_published(model, tmp_path)
    mark = tmp_path / "ran"
    np.save(dictionary, np.array([_Touch(mark)], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="unpickling could run code"):
        load_s3d(weights, dictionary, config=small_config())
    assert not mark.exists()


@pytest.mark.parametrize("array", [np.arange(5), np.array([["a", "b"]]), np.array(["a", "b"])], ids=str)
def test_a_dictionary_that_does_not_fit(model: S3D, tmp_path: Path, array: np.ndarray) -> None:
    weights, dictionary = save_as_published(model, tmp_path)
    np.save(dictionary, array)
    with pytest.raises(ValueError, match=r"row of unicode strings|2 words"):
        load_s3d(weights, dictionary, config=small_config())


@pytest.mark.parametrize("content", [b"", b"not weights", b"\x80\x02", b"PK\x03\x04 cut off"])
def test_files_that_hold_no_weights(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "s3d.pth").write_bytes(content)
    with pytest.raises(ValueError, match="cannot be read as a state dict"):
        load_s3d(tmp_path / "s3d.pth")
    (tmp_path / "s3d_dict.npy").write_bytes(content)
    torch.save(small_s3d().state_dict(), tmp_path / "s3d.pth")
    with pytest.raises(ValueError, match="cannot be read as an array of words"):
        load_s3d(tmp_path / "s3d.pth", tmp_path / "s3d_dict.npy", config=small_config())


def test_something_else_in_a_weight_file(tmp_path: Path) -> None:
    torch.save([torch.zeros(1)], tmp_path / "s3d.pth")
    with pytest.raises(ValueError, match="holds no state dict"):
        load_s3d(tmp_path / "s3d.pth")


def test_a_damaged_folder(model: S3D, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    content = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(content[:1000])
    with pytest.raises(ValueError, match="cannot be read"):
        load_s3d(tmp_path)


def test_features_have_the_names_that_the_other_models_use(model: S3D) -> None:
    clips = as_clips(random_frames((2, 8, 32, 32)))
    with torch.no_grad():
        assert torch.equal(model.get_video_features(clips), model(clips).video_embedding)
        assert torch.equal(model.get_text_features(WORDS[:2]), model.encode_words(WORDS[:2]))
