"""The grammar: every sentence tells what it is about, and no word means two things."""

from mmpt.toy.words import ACTIONS, COLOURS, SHAPES, SIZES, TEXTURES, Thing, plain_step, sentence, spoken
from mmpt.utils.seeding import generator

THING = Thing("cup", "purple", "big", "dotted")


def test_no_name_is_that_of_two_things() -> None:
    names = [name for words in (SHAPES, COLOURS, SIZES, TEXTURES, ACTIONS) for row in words.values() for name in row]
    assert len(names) == len(set(names))
    assert len(SHAPES) * len(COLOURS) * len(ACTIONS) >= 600


def test_a_sentence_names_action_shape_and_colour_with_all_its_synonyms() -> None:
    said = {sentence("cut", THING, generator(0, index)) for index in range(300)}
    for text in said:
        assert any(name in text.split() for name in SHAPES["cup"])
        assert any(name in text.split() for name in COLOURS["purple"])
        assert text.split()[0] in {"cut", "slice", "chop"}
    for name in (*SHAPES["cup"], *COLOURS["purple"], *SIZES["big"], *TEXTURES["dotted"], "cut", "slice", "chop"):
        assert any(name in text.split() for text in said), name


def test_plain_objects_are_not_told_to_be_so_and_others_often_are_not() -> None:
    plain = Thing("cup", "purple", "big", "plain")
    words = [sentence("cut", plain, generator(0, index)).split() for index in range(50)]
    assert not any(name in text for text in words for names in TEXTURES.values() for name in names)
    dotted = [sentence("cut", THING, generator(0, index)) for index in range(200)]
    told = sum("dotted" in text or "spotted" in text for text in dotted)
    assert 50 < told < 120


def test_the_narrator_says_all_first_and_then_less_or_nothing() -> None:
    told = [spoken("stir", THING, generator(1, index)) for index in range(200)]
    for first, *_ in told:
        assert any(name in first.split() for name in SHAPES["cup"])
        assert any(name in first.split() for name in COLOURS["purple"])
        assert "with a spoon" in first
    assert {len(lines) for lines in told} == {1, 2, 3}
    assert any("with a spoon" not in line for lines in told for line in lines[1:])


def test_a_step_without_its_object() -> None:
    assert plain_step("cut") == "cut it in half"
    assert len({plain_step(action) for action in ACTIONS}) == len(ACTIONS)
