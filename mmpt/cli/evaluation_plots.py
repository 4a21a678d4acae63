"""Pictures of an evaluation: which ones its answers have, of which videos, and where they go."""

import argparse
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

    from mmpt.evaluators.actions import ActionAnswers
    from mmpt.evaluators.moments import MomentAnswers
    from mmpt.evaluators.predicting import Row
    from mmpt.evaluators.qa import ChoiceAnswers
    from mmpt.evaluators.retrieval import RetrievalAnswers
    from mmpt.evaluators.running import Evaluation
    from mmpt.evaluators.segmentation import LabelledVideo
    from mmpt.evaluators.steps import StepVideo
    from mmpt.processors.base import MetaProcessor

Named = Iterator[tuple[str, "Figure"]]  # pictures under their names, one at a time
Entry = TypeVar("Entry")

VIDEOS = 8  # drawn over time unless another number is asked for
THUMBNAILS, SIDE = 10, 160  # of a video, and their side in pixels
MOMENT_THUMBNAILS = 12
WHITE = 255
PLAIN = re.compile(r"[^\w.-]+")  # letters of a video's id that a file's name goes without
NAME_LENGTH = 80


@dataclass(frozen=True)
class Pictures:
    """What pictures are wanted.

    Attributes:
        folder: where they go; None for where the results go.
        videos: a folder with the video files, for thumbnails; None for none.
        count: how many videos are drawn over time.
        several: whether several checkpoints are evaluated, each of which has a folder below `folder`.
    """

    folder: Path | None = None
    videos: Path | None = None
    count: int = VIDEOS
    several: bool = False


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments about pictures."""
    group = parser.add_argument_group("pictures")
    group.add_argument(
        "--plot", nargs="?", const=True, metavar="FOLDER", help="draw the answers as PNG files (beside card.json)"
    )
    group.add_argument("--videos", type=Path, metavar="FOLDER", help="video files, named by their ids: for thumbnails")
    group.add_argument(
        "--plot-videos", type=int, default=VIDEOS, metavar="N", help="videos drawn over time (%(default)s)"
    )


def read_arguments(args: argparse.Namespace) -> Pictures | None:
    """Say what pictures the arguments ask for, before any work is done.

    Args:
        args: what `configure` asked for.

    Returns:
        The pictures; None where none are wanted.

    Raises:
        ValueError: they could not be made, or the arguments do not go together.
        FileNotFoundError: the folder of videos is not there.
    """
    if args.plot is None:
        if args.videos is not None or args.plot_videos != VIDEOS:
            raise ValueError("--videos and --plot-videos are about pictures; ask for them with --plot")
        return None
    if args.plot_videos < 1:
        raise ValueError(f"--plot-videos is {args.plot_videos}; it is how many videos are drawn, 1 or more")
    if args.videos is not None and not args.videos.is_dir():
        raise FileNotFoundError(f"--videos {args.videos}: there is no such folder; name the one with the video files")
    folder = None if args.plot is True else Path(args.plot)
    if folder is not None:
        _check_folder(folder)
    return Pictures(folder, args.videos, args.plot_videos, args.all_checkpoints)


def draw(evaluation: "Evaluation", rows: "Sequence[Row]", folder: Path, pictures: Pictures) -> None:
    """Draw what was answered, and say where the pictures are.

    Args:
        evaluation: what was asked of whom.
        rows: the answers.
        folder: where the results go.
        pictures: which ones are wanted.
    """
    from mmpt.cli.console import err, out

    target = folder
    if pictures.folder is not None:  # one of several checkpoints has a folder of its own
        target = pictures.folder / folder.name if pictures.several else pictures.folder
    protocol: Any = evaluation.run.task.protocol
    answers = evaluation.predictor.gather(rows, protocol)
    with err.status("drawing"):
        files = plot_answers(answers, evaluation.dataset.meta, target, pictures)
    if files:
        out.print(f"pictures: {target}/{', '.join(file.name for file in files)}", soft_wrap=True)
    else:
        out.print(f"pictures: there are none of what {evaluation.run.task.predictor} answers")


def plot_answers(answers: Any, meta: "MetaProcessor", folder: Path, pictures: Pictures) -> list[Path]:
    """Draw what a task's answers look like.

    Args:
        answers: what the task's predictor gathers.
        meta: lists the items; knows names of labels, steps and sentences.
        folder: where the pictures go.
        pictures: which ones are wanted.

    Returns:
        The files; none for a task that has no pictures.
    """
    from mmpt.cli.plots import save_figure

    written = []
    for name, figure in _pictures(answers, meta, Strips(pictures.videos), pictures.count):
        written.append(folder / f"{name}.png")
        save_figure(written[-1], figure)
    return written


class Strips:
    """Finds video files by their ids, and takes thumbnails of them.

    Args:
        folder: the videos, also in folders below it; None for none.
    """

    def __init__(self, folder: Path | None) -> None:
        from mmpt.video.finding import ends_like_video

        self._files: dict[str, Path] = {}
        for path in sorted(folder.rglob("*")) if folder is not None else ():
            if ends_like_video(path.name):
                self._files.setdefault(path.stem, path)
                self._files.setdefault(path.name, path)  # DiDeMo's ids have the ending

    def __contains__(self, video: str) -> bool:
        return self._find(video) is not None

    def take(self, video: str, seconds: float, count: int = THUMBNAILS) -> "list[np.ndarray]":
        """Take thumbnails of a video's first seconds, white ones behind its end; none where no file can be read."""
        import numpy as np

        from mmpt.cli.console import err
        from mmpt.cli.plots import thumbnails
        from mmpt.video.errors import VideoError
        from mmpt.video.reader import probe

        path = self._find(video)
        if path is None:
            return []
        try:
            end = probe(path).duration or float("inf")
            taken = thumbnails(path, count, SIDE, seconds=seconds)
            return [frame if second < end else np.full_like(frame, WHITE) for second, frame in taken]
        except (VideoError, OSError) as error:
            err.print(f"no thumbnails of {path}: {error}", soft_wrap=True)
            return []

    def choose(self, entries: "Iterable[Entry]", count: int, video: Callable[[Entry], str]) -> "list[Entry]":
        """Take the first so many entries, those first whose video is there."""
        return sorted(entries, key=lambda entry: video(entry) not in self)[:count]

    def _find(self, video: str) -> Path | None:
        return self._files.get(video) or self._files.get(video.rpartition(".")[0])


def _pictures(answers: Any, meta: "MetaProcessor", strips: Strips, count: int) -> Named:
    """The pictures that such answers have."""
    from mmpt.evaluators.actions import ActionAnswers
    from mmpt.evaluators.moments import MomentAnswers
    from mmpt.evaluators.qa import ChoiceAnswers
    from mmpt.evaluators.retrieval import RetrievalAnswers
    from mmpt.evaluators.segmentation import LabelledVideo
    from mmpt.evaluators.steps import StepVideo

    if isinstance(answers, RetrievalAnswers):
        yield from _of_retrieval(answers)
    elif isinstance(answers, ChoiceAnswers):
        yield from _of_choices(answers)
    elif isinstance(answers, ActionAnswers):
        yield from _of_actions(answers, meta)
    elif isinstance(answers, MomentAnswers):
        yield from _of_moments(answers, meta, strips, count)
    elif isinstance(answers, Sequence) and all(isinstance(entry, LabelledVideo) for entry in answers):
        yield from _of_labels(answers, meta, strips, count)
    elif isinstance(answers, Sequence) and all(isinstance(entry, StepVideo) for entry in answers):
        yield from _of_steps(answers, meta, strips, count)


def _of_retrieval(answers: "RetrievalAnswers") -> Named:
    import numpy as np

    from mmpt.cli.plots_ranking import draw_ranks, draw_similarity

    better, tied = answers.places("fixed")
    ranks = better + (tied + 1) / 2
    yield "ranks", draw_ranks(ranks, len(answers.videos), "Rank of the right video", chance=True, tied=tied)
    own = np.arange(len(answers)) if answers.own is None else answers.own
    yield "similarity", draw_similarity(answers.texts, answers.videos[own], answers.ids)


def _of_choices(answers: "ChoiceAnswers") -> Named:
    from mmpt.cli.plots_ranking import draw_choices

    yield "choices", draw_choices(answers.chosen, answers.right, answers.choices)


def _of_actions(answers: "ActionAnswers", meta: Any) -> Named:
    from mmpt.cli.plots_ranking import draw_confusion

    which = f"of {len(answers.splits)} splits" if len(answers.splits) > 1 else ""
    yield "confusion", draw_confusion(answers.scores.argmax(axis=1), answers.right, list(meta.labels), which)


def _of_moments(answers: "MomentAnswers", meta: "MetaProcessor", strips: Strips, count: int) -> Named:
    import numpy as np

    from mmpt.cli.plots_ranking import draw_moments_marked, draw_ranks
    from mmpt.cli.plots_timeline import RankedMoments, draw_moments
    from mmpt.evaluators.moments import MOMENTS, PIECE, PIECES, mean_rank

    ranks = np.array([mean_rank(r, t) for r, t in zip(answers.rankings, answers.truths, strict=True)])
    yield "ranks", draw_ranks(ranks, len(MOMENTS), "Rank of the annotators' moments", chance=False)
    best = [ranking[0] for ranking in answers.rankings]
    yield "marked", draw_moments_marked(best, [moment for truth in answers.truths for moment in truth])

    def seconds(moment: tuple[int, int]) -> tuple[int, int]:
        return moment[0] * PIECE, (moment[1] + 1) * PIECE

    def shown(place: int) -> RankedMoments:
        video, sentence = meta[place]
        marked = sorted(map(seconds, answers.truths[place]))
        strip = strips.take(str(video), PIECES * PIECE, MOMENT_THUMBNAILS)
        return RankedMoments(str(sentence), str(video), marked, seconds(best[place]), ranks[place], strip)

    spread = _spread(len(ranks))
    chosen = sorted(strips.choose(spread, count, lambda place: str(meta[place][0])))
    yield "moments", draw_moments([shown(place) for place in chosen], PIECES * PIECE)


def _of_labels(answers: "Sequence[LabelledVideo]", meta: Any, strips: Strips, count: int) -> Named:
    from mmpt.cli.plots_timeline import draw_labels
    from mmpt.evaluators.segmentation import segments

    names = dict(enumerate(meta.text_labels, 1))
    most = sorted(answers, key=lambda entry: -len(segments(entry.true)))
    for entry in strips.choose(most, count, lambda entry: entry.video):
        right = float((entry.found == entry.true).mean()) if len(entry.true) else float("nan")
        title = f"{entry.video}: right in {100 * right:.0f} % of {len(entry.true):,} seconds"
        strip = strips.take(entry.video, len(entry.true))
        yield _file_name(entry.video), draw_labels(entry.true, entry.found, names, title, strip)


def _of_steps(answers: "Sequence[StepVideo]", meta: "MetaProcessor", strips: Strips, count: int) -> Named:
    from mmpt.cli.plots_timeline import draw_steps

    items: list[Any] = [meta[place][0] for place in range(len(meta))]
    names = {(str(item.task), str(item.video)): item.steps for item in items}
    marked = (entry for entry in answers if entry.true is not None)
    most = sorted(marked, key=lambda entry: -int(entry.true.any(axis=0).sum()))  # pyright: ignore - marked
    for entry in strips.choose(most, count, lambda entry: entry.video):
        true: Any = entry.true
        hits, there = int((entry.found & true).any(axis=0).sum()), int(true.any(axis=0).sum())
        title = f"{entry.video}: {hits} of the {there} steps that happen are found, task {entry.task}"
        steps = names[entry.task, entry.video]
        strip = strips.take(entry.video, len(true))
        yield _file_name(f"{entry.task}_{entry.video}"), draw_steps(true, entry.found, steps, title, strip)


def _spread(count: int) -> list[int]:
    """Places in such an order that the first so many are spread over all: halves, quarters, and so on."""
    order: dict[int, None] = {}
    parts = 1
    while len(order) < count:
        order |= dict.fromkeys(min(count - 1, (2 * part + 1) * count // (2 * parts)) for part in range(parts))
        parts *= 2
    return list(order)


def _file_name(video: str) -> str:
    return f"timeline_{PLAIN.sub('_', video)[:NAME_LENGTH]}"


def _check_folder(folder: Path) -> None:
    from mmpt.cli.plots import check_target

    if folder.suffix.lower() in (".yaml", ".yml"):
        raise ValueError(
            f"--plot {folder}: that is a configuration file; write --plot behind it, or name a folder first"
        )
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--plot {folder}: that is a file; name a folder for the pictures")
    check_target(folder / "ranks.png")
