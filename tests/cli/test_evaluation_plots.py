"""Pictures of evaluations show what was answered, and are made by the command."""

import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from mmpt.cli.evaluation_plots import Pictures, _of_actions, _of_retrieval, _spread, plot_answers
from mmpt.cli.main import main
from mmpt.cli.plots_ranking import draw_choices, draw_confusion, draw_moments_marked, draw_ranks, draw_similarity
from mmpt.cli.plots_timeline import OTHER, RIGHT_DOT, WRONG_DOT, RankedMoments, draw_labels, draw_moments, draw_steps
from mmpt.config.schema import DatasetConfig
from mmpt.evaluators.actions import ActionAnswers
from mmpt.evaluators.captioning import CaptionAnswers
from mmpt.evaluators.moments import MOMENTS, MomentAnswers
from mmpt.evaluators.qa import ChoiceAnswers
from mmpt.evaluators.retrieval import RetrievalAnswers, RetrievalMetric
from mmpt.evaluators.segmentation import LabelledVideo
from mmpt.evaluators.steps import StepVideo
from mmpt.processors.base import Listing, MetaProcessor


def bars(figure: Figure, axes: int = 0) -> list[float]:
    return [bar.get_height() for bar in figure.axes[axes].patches]  # pyright: ignore[reportAttributeAccessIssue]


def words(figure: Figure) -> str:
    texts = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    texts += [text for legend in figure.legends for text in legend.get_texts()]
    return "\n".join(text.get_text() for text in texts)


def drawn_inside(figure: Figure) -> None:
    """Nothing that is drawn or written is cut off."""
    figure.draw_without_rendering()
    box = figure.get_tightbbox()
    wide, high = figure.get_size_inches()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= wide and box.y1 <= high, box


# --- ranks and choices ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("candidates", [1, 5, 30, 31, 1000, 20000])
def test_every_text_is_in_one_bar_of_the_ranks(candidates: int) -> None:
    ranks = np.random.default_rng(0).integers(1, candidates + 1, 700).astype(float)
    ranks[:2] = 1, candidates
    figure = draw_ranks(ranks, candidates, "Rank", chance=True)
    assert sum(bars(figure)) == 700
    lines: Any = figure.axes[0].collections[0]
    expected = [segment[0][1] for segment in lines.get_segments()]
    assert sum(expected) == pytest.approx(700)  # chance is drawn of as many texts
    recall: Any = figure.axes[1].lines[0].get_ydata()
    assert recall[0] == (ranks == 1).mean() and recall[-1] == 1
    drawn_inside(figure)


def test_the_recall_that_is_drawn_is_the_cards_also_with_equal_scores() -> None:
    rng = np.random.default_rng(0)
    texts, videos = (rng.integers(-1, 2, (40, 3)).astype(np.float32) for _ in range(2))
    answers = RetrievalAnswers(texts, videos)
    figure = next(_of_retrieval(answers))[1]
    drawn: Any = figure.axes[1].lines[0].get_ydata()
    measures = RetrievalMetric().compute(answers)
    assert [drawn[k - 1] for k in (1, 5, 10)] == pytest.approx([measures[f"R{k}"].value for k in (1, 5, 10)])
    assert drawn[-1] == pytest.approx(1) and len(drawn) == 40


def test_one_candidate_is_a_dot() -> None:
    figure = draw_ranks(np.ones(3), 1, "Rank", chance=True)
    assert [line.get_marker() for line in figure.axes[1].lines] == ["o", "o"]


def test_a_confusion_says_what_its_accuracy_counts() -> None:
    answers = ActionAnswers(np.eye(2), np.array([0, 0]), np.full((3, 2), 2))
    figure = next(_of_actions(answers, Listed()))[1]
    assert "2 videos of 3 splits, accuracy over all of them 0.500" in words(figure)
    drawn_inside(figure)


def test_what_has_no_rank_has_a_bar_of_its_own() -> None:
    figure = draw_ranks(np.array([1.0, 1.5, 21.0, 22.0, np.inf]), 21, "Rank", chance=False)
    assert bars(figure) == [2, *[0] * 19, 1, 2]
    assert figure.axes[0].get_xticklabels()[-1].get_text() == "none"
    assert figure.axes[1].lines[0].get_ydata()[-1] == pytest.approx(0.6)  # pyright: ignore[reportIndexIssue]


def test_similarities_are_those_of_texts_and_videos() -> None:
    texts, videos = np.random.default_rng(0).normal(size=(2, 20, 4)).astype(np.float32)
    ids = [f"a long name of a clip {n}" for n in range(20)]
    figure = draw_similarity(texts, videos, ids)
    np.testing.assert_allclose(figure.axes[0].images[0].get_array(), texts @ videos.T, atol=1e-5)  # pyright: ignore
    assert figure.axes[0].get_xticklabels()[3].get_text() == "a long name of a …"
    drawn_inside(figure)


def test_of_many_pairs_some_are_shown_from_first_to_last() -> None:
    vectors = np.random.default_rng(0).normal(size=(1700, 4)).astype(np.float32)
    figure = draw_similarity(vectors, vectors, [])
    shown: Any = figure.axes[0].images[0].get_array()
    assert shown.shape == (500, 500)
    assert shown[0, -1] == pytest.approx(float(vectors[0] @ vectors[-1]), abs=1e-5)
    assert "500 of 1,700 pairs" in words(figure)
    drawn_inside(figure)


def test_choices_are_counted_by_the_right_place() -> None:
    figure = draw_choices(np.array([0, 0, 1, 4]), np.array([0, 1, 1, 4]), 5)
    shares: Any = figure.axes[0].images[0].get_array()
    assert shares[1].tolist() == [0.5, 0.5, 0, 0, 0]
    assert np.ma.getmaskarray(shares)[2].all() or np.isnan(shares[2]).all()  # no video has its sentence there
    accuracy = next(axes for axes in figure.axes if axes.get_ylabel().startswith("accuracy"))
    assert [bar.get_height() for bar in accuracy.patches][:2] == [1, 0.5]  # pyright: ignore
    assert "accuracy 0.750" in words(figure)
    drawn_inside(figure)


def test_confusions_are_drawn_of_many_classes() -> None:
    right = np.repeat(np.arange(51), 4)
    figure = draw_confusion(np.where(np.arange(204) % 4, right, 0), right, [f"class {n}" for n in range(51)])
    shares: Any = figure.axes[0].images[0].get_array()
    assert shares[7, 7] == 0.75 and shares[7, 0] == 0.25
    drawn_inside(figure)


def test_moments_are_counted() -> None:
    figure = draw_moments_marked([(0, 0), (0, 2)], [(0, 0), (5, 5), (5, 5), (1, 2)])
    annotators, model = (axes.images[0].get_array() for axes in figure.axes)
    assert annotators[5, 5] == 0.5 and model[0, 2] == 0.5  # pyright: ignore[reportOptionalSubscript]
    drawn_inside(figure)


# --- timelines --------------------------------------------------------------------------------------------------------


def spans(figure: Figure, lane: int, colour: str | None = None) -> list[tuple[float, float]]:
    """(begin, end) of the bars whose middle is at a height."""
    found = []
    for bar in figure.axes[0].patches:
        rectangle: Any = bar
        if abs(rectangle.get_y() + rectangle.get_height() / 2 - lane) < 1e-6:
            face = "#" + "".join(f"{round(value * 255):02x}" for value in rectangle.get_facecolor()[:3])
            if colour is None or face == colour:
                found.append((rectangle.get_x(), rectangle.get_x() + rectangle.get_width()))
    return found


def test_labels_stand_where_they_are() -> None:
    true = np.array([0, 7, 7, 7, 0, 3, 3, 7, 0, 0])
    found = np.array([0, 0, 7, 7, 9, 9, 3, 3, 0, 0])
    figure = draw_labels(true, found, {7: "pour $2 of milk", 3: "stir_it^up"}, "video: 50 %")
    assert spans(figure, 1)[1:] == [(1, 4), (7, 8), (5, 7)]  # the first bar is the ground
    assert spans(figure, 0, OTHER) == [(4, 6)]
    assert "1  pour $2 of milk" in words(figure) and "2  stir_it^up" in words(figure)
    drawn_inside(figure)


@pytest.mark.parametrize(("labels", "seconds"), [(1, 1), (14, 900), (0, 30)])
def test_videos_of_any_length_and_number_of_steps(labels: int, seconds: int) -> None:
    true = np.arange(seconds) * (labels + 1) // seconds
    names = dict.fromkeys(range(labels + 1), "a very long name of a step that goes on and on and on and on " * 2)
    figure = draw_labels(true, true[::-1].copy(), names, "t" * 300, [np.zeros((8, 8, 3), np.uint8)] * 10)
    drawn_inside(figure)
    legend = figure.legends[0].get_window_extent()
    assert legend.y0 >= figure.axes[0].get_window_extent().y1 and legend.x1 <= figure.bbox.x1
    assert legend.y1 <= figure.texts[0].get_window_extent().y0 + 3


def test_steps_are_told_apart_by_what_was_found() -> None:
    true, found = np.zeros((20, 3), bool), np.zeros((20, 3), bool)
    true[2:6, 0] = true[10:12, 0] = true[8:9, 1] = True
    found[5, 0] = found[9, 1] = found[15, 2] = True
    figure = draw_steps(true, found, ["first", "second", "never"], "video")
    assert spans(figure, 0) == [(2, 6), (10, 12)] and spans(figure, 1) == [(8, 9)] and spans(figure, 2) == []
    dots = {(line.get_xdata()[0], line.get_color()) for line in figure.axes[0].lines if len(line.get_xdata()) == 1}  # pyright: ignore
    assert dots == {(5.5, RIGHT_DOT), (9.5, WRONG_DOT), (15.5, OTHER)}
    drawn_inside(figure)


def test_moments_lie_below_their_sentence() -> None:
    strip = [np.zeros((8, 8, 3), np.uint8)] * 12
    ranked = [
        RankedMoments("a dog jumps", "dog.mov", [(0, 5), (0, 10)], (5, 15), 3.67, strip),
        RankedMoments("a very long sentence " * 20, "v" * 90, [(0, 5)] * 5, (0, 30), float("inf")),
    ]
    figure = draw_moments(ranked, 30)
    assert "rank 3.67" in words(figure) and "not ranked" in words(figure)
    drawn_inside(figure)
    boxes = [text.get_window_extent() for text in figure.texts]
    assert not any(a.overlaps(b) for number, a in enumerate(boxes) for b in boxes[:number])


# --- which pictures there are -----------------------------------------------------------------------------------------


class Listed(MetaProcessor):
    """Lists what it is given."""

    def __init__(self, *items: tuple[Any, Any]) -> None:
        super().__init__(DatasetConfig(bert_name="none"))
        self._items = items

    def read(self) -> Listing:
        return Listing(self._items or [(None, None)], "given")

    labels = ("run", "jump")
    text_labels = ("stir", "pour")


def _vectors() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)


def _labelled() -> list[LabelledVideo]:
    few, many = np.array([0, 1, 1, 0]), np.array([1, 0, 2, 1])
    return [LabelledVideo("few/steps", few, few), LabelledVideo("many", many, many)]


def _steps() -> tuple[list[StepVideo], Listed]:
    true = np.eye(4, 2, dtype=bool)
    items = Listed(*((SimpleNamespace(task="91", video=name, steps=("a", "b")), None) for name in ("x", "y")))
    return [StepVideo("91", "x", true, true), StepVideo("91", "y", true, None)], items


CASES: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "retrieval": (
        lambda: (RetrievalAnswers(_vectors(), _vectors(), tuple("abcdef")), Listed()),
        ["ranks", "similarity"],
    ),
    "shared": (
        lambda: (RetrievalAnswers(_vectors(), _vectors()[:2], own=np.array([0, 0, 0, 1, 1, 1])), Listed()),
        ["ranks", "similarity"],
    ),
    "choices": (lambda: (ChoiceAnswers(np.array([0, 1]), np.array([0, 0])), Listed()), ["choices"]),
    "actions": (
        lambda: (ActionAnswers(np.eye(2), np.array([0, 0]), np.full((1, 2), 2)), Listed()),
        ["confusion"],
    ),
    "moments": (
        lambda: (MomentAnswers([MOMENTS] * 2, [[(0, 0)] * 4] * 2), Listed(("v.mov", "a"), ("w.mov", "b"))),
        ["ranks", "marked", "moments"],
    ),
    "labels": (lambda: (_labelled(), Listed()), ["timeline_many", "timeline_few_steps"]),
    "steps": (_steps, ["timeline_91_x"]),
    "captions": (lambda: (CaptionAnswers(["a"], [["b"]]), Listed()), []),
}


@pytest.mark.parametrize("name", CASES)
def test_each_task_has_its_pictures(name: str, tmp_path: Path) -> None:
    make, expected = CASES[name]
    answers, meta = make()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        files = plot_answers(answers, meta, tmp_path / "new", Pictures())
    assert [path.stem for path in files] == expected
    assert all(imread(path).std() > 0.02 for path in files)  # something is drawn
    assert len(list(tmp_path.rglob("*"))) == len(files) + bool(files)  # nothing else is left


def test_as_many_videos_as_asked_for_those_with_most_steps_first(tmp_path: Path) -> None:
    [only] = plot_answers(_labelled(), Listed(), tmp_path, Pictures(count=1))
    assert only.name == "timeline_many.png"


def test_sentences_are_taken_from_all_over() -> None:
    assert sorted(_spread(9)) == list(range(9)) and _spread(0) == []
    assert sorted(_spread(1000)[:3]) == [250, 500, 750]


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def command(
    golden_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clip: Path
) -> Iterator[Callable[..., tuple[int, Path]]]:
    """Evaluates a recorded run, and gives the exit code and the folder of its results."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MMPT_CACHE", str(tmp_path / "cache"))
    folder = golden_dir / "14_eval"
    (tmp_path / "data").symlink_to(folder / "data")
    (tmp_path / "tiny-bert").symlink_to(golden_dir / "common" / "tiny-bert")
    (tmp_path / "films").mkdir()
    shutil.copy(clip, tmp_path / "films" / "p01.mp4")

    def evaluate(name: str, *options: str) -> tuple[int, Path]:
        recorded = json.loads((folder / "eval.json").read_text())["runs"][name]
        (tmp_path / "runs" / name).mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / recorded["checkpoint"].split()[1], tmp_path / "runs" / name / "checkpoint_best.pt")
        code = main(["evaluate", str(folder / recorded["config"]), *options])
        return code, tmp_path / "runs" / name / "eval"

    yield evaluate


@pytest.mark.parametrize(
    ("name", "pictures"),
    [
        ("test_youcook_zs", {"ranks", "similarity"}),
        ("test_vttqa_zs", {"choices"}),
        ("test_crosstask", {"timeline_91_p03", "timeline_91_p06", "timeline_92_p01", "timeline_92_p04"}),
        ("test_didemo_zs", {"ranks", "marked", "moments"}),
    ],
)
def test_pictures_lie_beside_the_card(
    command: Callable[..., tuple[int, Path]], name: str, pictures: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, folder = command(name, "--plot")
    assert code == 0 and (folder / "card.json").is_file()
    assert {path.stem for path in folder.glob("*.png")} == pictures
    assert f"pictures: {folder.relative_to(Path.cwd())}/" in capsys.readouterr().out


def test_thumbnails_are_of_the_video_with_that_name(command: Callable[..., tuple[int, Path]], tmp_path: Path) -> None:
    code, _ = command("test_coin", "--plot", "pictures", "--videos", "films", "--plot-videos", "2")
    assert code == 0
    heights = {path.name: imread(path).shape[0] for path in (tmp_path / "pictures").iterdir()}
    assert len(heights) == 2 and "timeline_p01.png" in heights  # a video that is there is drawn before others
    yellow = (np.abs(imread(tmp_path / "pictures" / "timeline_p01.png")[..., :3] * 255 - (220, 180, 40)) < 12).all(-1)
    assert yellow.sum() > 500  # the clip's bar


def test_a_video_that_cannot_be_read_costs_its_thumbnails_only(
    command: Callable[..., tuple[int, Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "films" / "p01.mp4").write_bytes(b"no video")
    code, folder = command("test_coin", "--plot", "--videos", "films", "--plot-videos", "1")
    assert code == 0 and (folder / "timeline_p01.png").is_file()
    assert "no thumbnails of films/p01.mp4" in capsys.readouterr().err


def test_each_checkpoint_of_a_sweep_has_its_pictures(command: Callable[..., tuple[int, Path]], tmp_path: Path) -> None:
    code, folder = command("test_vttqa", "--all-checkpoints", "--plot")
    assert code == 0 and (folder / "checkpoint_best" / "choices.png").is_file()
    code, _ = command("test_vttqa", "--all-checkpoints", "--plot", "pictures")
    assert code == 0 and (tmp_path / "pictures" / "checkpoint_best" / "choices.png").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--videos", "films"), "ask for them with --plot"),
        (("--plot", "--plot-videos", "0"), "--plot-videos is 0"),
        (("--plot", "--videos", "nowhere"), "--videos nowhere: there is no such folder"),
        (("--plot", "films/p01.mp4"), "that is a file; name a folder"),
        (("--plot", "films/p01.mp4/deeper"), "that is no folder"),
        (("--plot", "some.yaml"), "that is a configuration file"),
    ],
)
def test_what_cannot_be_drawn_is_told_before_any_work(
    command: Callable[..., tuple[int, Path]], options: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, folder = command("test_coin", *options)
    assert code == 2
    assert message in capsys.readouterr().err
    assert not folder.exists()
