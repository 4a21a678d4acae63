"""The report of a demo, made of little: what is hostile in it stays text, and what is marked as good is."""

from dataclasses import replace

import numpy as np
import pytest

from mmpt.cli.console import out
from mmpt.cli.demo_measures import WANTED, show, told
from mmpt.cli.demo_moments import Step, shown
from mmpt.cli.report import Hit, Measured, Query, Report, Watched, page
from mmpt.cli.report_charts import Strip, loss_curve, strips
from mmpt.evaluators.cards import Card
from tests.cli.pages import Page

PLAIN = "a red ball"
HOSTILE = (
    """</script></style><script>alert(1)</script><img src=x onerror=alert(2)>"' onmouseover='alert(3)' &lt; \u202e"""
)
FRAME = np.zeros((8, 8, 3), np.uint8)
MEASURED = Measured("recall", 0.5, 0.4, 0.6, (("chance", 0.1),), 0.5)


def report(word: str) -> Report:
    """A report that says a word wherever it says any."""
    curve = np.arange(3.0), np.array([3.0, 2.0, 1.0])
    hit = Hit(word, 0, 6, b"film", FRAME, True, ((word, True), (word, False)))
    return Report(
        title=word,
        about=(word, word),
        tiles=((word, word),),
        training=curve,
        validation=curve,
        measures=(replace(MEASURED, what=word, baselines=((word, 0.1),)),),
        readers=((word, 0.5, 0.6), (word, 0.1, 0.2)),
        watched=Watched(word, b"film", [(0.0, FRAME)], [Strip(word, np.arange(4.0), 1, 2)]),
        queries=(Query(word, (hit,)),),
        commands=(word,),
    )


def test_hostile_captions_and_names_stay_text() -> None:
    hostile, plain = Page(page(report(HOSTILE))), Page(page(report(PLAIN)))
    assert hostile.tags == plain.tags and hostile.attributes == plain.attributes and hostile.open == []
    assert hostile.addresses == plain.addresses
    assert sum(HOSTILE in word for word in hostile.words) == sum(PLAIN in word for word in plain.words) > 8


@pytest.mark.parametrize(
    ("value", "goal", "above", "reached"),
    [(0.5, 0.5, False, True), (0.49, 0.5, False, False), (0.0, 0.0, True, False), (0.01, 0.0, True, True)],
)
def test_a_goal_is_reached_or_has_to_be_surpassed(value: float, goal: float, above: bool, reached: bool) -> None:
    measured = replace(MEASURED, value=value, goal=goal, above=above)
    assert measured.reached == reached
    text = page(replace(report(PLAIN), measures=(measured,)))
    assert (
        text.count(
            f'{"&gt; " if above else ""}{100 * goal:.{0 if goal else 1}f} % <span class="{"yes" if reached else "no"}">'
        )
        == 1
    )


def test_a_segmentation_that_finds_nothing_is_not_better_than_background_everywhere() -> None:
    wanted = next(each for each in WANTED if each.name == "F1@25")
    result = {each.name: {"value": 0.0, "low": 0.0, "high": 0.0} for each in WANTED}
    baselines = {name: {each.name: 0.0 for each in WANTED} for name in ("chance", "uniform", "all background")}
    card = Card("toy", {"fixed": result, "paper": {}}, baselines, {}, {}, 0.0)
    found = {each.what: each for each in told(dict.fromkeys((each.task for each in WANTED), card))}
    assert not found[wanted.what].reached and found[wanted.what].wanted == "> 0.0 %"


def test_a_moment_shows_the_step_that_fills_most_of_it_or_none() -> None:
    first, second = (Step("a", start, start + 5, PLAIN, {"colour": "red"}) for start in (1.0, 7.0))
    other = replace(first, video="b")
    assert shown(("a", 4, 10), [other, first, second]) == second
    assert shown(("a", 2, 8), [other, first, second]) == first
    assert shown(("a", 12, 18), [other, first, second]) is None  # the empty end of the video
    assert shown(("a", 11.5, 17.5), [other, first, second]) is None
    assert shown(("c", 0, 6), [other, first, second]) is None


@pytest.mark.parametrize(("best", "hit"), [(1, False), (2, True), (5, True), (6, False)])
def test_a_best_second_is_marked_as_right_where_it_shows_some_of_the_step(best: int, hit: bool) -> None:
    scores = np.zeros(9)
    scores[best] = 1.0
    assert f'class="strip {"hit" if hit else "miss"}"' in strips([Strip(PLAIN, scores, 2.5, 6.0)])


def test_a_curve_is_drawn_of_what_is_finite() -> None:
    updates, losses = np.arange(1.0, 5), np.array([3.0, np.nan, 2.0, np.inf])
    none = np.zeros(0), np.zeros(0)
    drawn = loss_curve((updates, losses), (updates[1:2], losses[1:2]))
    assert drawn == loss_curve((updates[::2], losses[::2]), none)
    assert "nan" not in drawn and "inf" not in drawn and "<path" in drawn
    assert loss_curve((updates[1:2], losses[1:2]), none) == loss_curve(none, none) == ""


def test_a_terminal_of_80_columns_shows_every_word(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(out, "width", 80)
    names = [each.what for each in WANTED]
    baselines = (("always the first piece", 0.17), ("chance", 0.05))
    show([replace(MEASURED, what=name, baselines=baselines, above=True) for name in names], [(PLAIN, 0.1, 0.5)])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert all(any(name in line for line in lines) for name in names)
    assert (
        " ".join(lines).count("always")
        == " ".join(lines).count("first")
        == " ".join(lines).count("piece")
        == len(names)
    )
