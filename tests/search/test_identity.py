"""Which model a library was made with."""

import copy

import torch

from mmpt.models.scorer import Scorer, load
from mmpt.search.identity import describe, fingerprint
from tests.search.making import make_grid_model


def test_the_same_weights_have_the_same_fingerprint(grid_scorer: Scorer, tmp_path) -> None:
    assert fingerprint(load(make_grid_model(tmp_path / "again")).model) == fingerprint(grid_scorer.model)
    assert fingerprint(load(make_grid_model(tmp_path / "other", seed=1)).model) != fingerprint(grid_scorer.model)


def test_any_one_number_matters(grid_scorer: Scorer) -> None:
    before = fingerprint(grid_scorer.model)
    names = [name for name, tensor in grid_scorer.model.state_dict().items() if tensor.is_floating_point()]
    for name in (names[0], max(names, key=lambda name: grid_scorer.model.state_dict()[name].numel()), names[-1]):
        model = copy.deepcopy(grid_scorer.model)
        numbers = model.state_dict()[name].view(-1)
        with torch.no_grad():
            numbers[len(numbers) // 3 + 1] += 1e-3
        assert fingerprint(model) != before


def test_a_library_says_what_it_is(grid_scorer: Scorer) -> None:
    about = describe(grid_scorer)
    assert about["model"] == {"name": grid_scorer.name, "sha256": fingerprint(grid_scorer.model)}
    assert (about["backbone"], about["version"], about["dim"]) == ("grid", "grid-1", 48)
    assert about["l2_normalized"] is True and about["windows"] == [4, 8, 16, 32]
