"""Captioning: a sentence for each clip, measured against what people wrote (BLEU, METEOR, ROUGE-L, CIDEr)."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from mmpt.datasets.mmdataset import MMDataset
from mmpt.evaluators.base import Measure, Metric, Protocol
from mmpt.evaluators.caption_scores import NGRAMS, Words, bleu_counts, cider, rouge_l
from mmpt.evaluators.caption_words import words
from mmpt.evaluators.meteor import meteor_counts, why_absent
from mmpt.evaluators.predicting import Item, Predictor, Row, require_finite, stack
from mmpt.models.base import MMPTPreTrainedModel
from mmpt.models.captioning import MMFusionNLG, read_decoding
from mmpt.processors.ds import DSNLGAligner
from mmpt.utils.registry import register

logger = logging.getLogger(__name__)

EMPTY = "none"  # what the original writes for a caption without words


@dataclass(frozen=True, eq=False)
class CaptionAnswers:
    """A caption for each clip.

    Attributes:
        captions: the texts.
        references: for each what people wrote, at least one text.
        videos: the videos that the clips are cut from; each clip's own where there are none.
        ids: of the clips.
    """

    captions: Sequence[str]
    references: Sequence[Sequence[str]]
    videos: Sequence[str] = ()
    ids: Sequence[str] = ()


@register("metric")
class NLGMetric(Metric):
    """BLEU-1 to 4, ROUGE-L and CIDEr, as the COCO caption tools give them, under those tools' names; METEOR where Java
    and its programme are installed.

    The fixed protocol takes words as those tools do. The papers' numbers were made with nlg-eval, which cuts texts at
    spaces and nowhere else.
    """

    def compute(self, answers: CaptionAnswers, protocol: Protocol = "fixed") -> dict[str, Measure]:
        """Compute the measures.

        Args:
            answers: the captions.
            protocol: how texts are cut into words.

        Returns:
            `Bleu_1` to `Bleu_4`, `METEOR` where it can be computed, `ROUGE_L`, from 0 to 1, and `CIDEr`, from 0 to 10.
            CIDEr's intervals leave open how rare a word is: that is counted on all references, once.

        Raises:
            ValueError: there is no caption, or one has no reference.
        """
        _check(answers)
        cut = words if protocol == "fixed" else str.split
        captions = [cut(text) for text in answers.captions]
        references = [[cut(text) for text in texts] for texts in answers.references]
        result = _bleu(bleu_counts(_parted(captions), [_parted(truths) for truths in references]))
        if (reason := why_absent()) is None:
            counts = meteor_counts([" ".join(w) for w in captions], [[" ".join(w) for w in ws] for ws in references])
            result["METEOR"] = Measure.of(counts, "meteor")
        elif protocol == "fixed":
            logger.warning("METEOR is left out: %s", reason)
        result["ROUGE_L"] = Measure.of(rouge_l(captions, references))
        result["CIDEr"] = Measure.of(cider(_parted(captions), [_parted(truths) for truths in references]))
        return result

    def baselines(self, answers: CaptionAnswers) -> dict[str, dict[str, float]]:
        """Compute what one gets with the same caption everywhere, and with what was written of another video.

        Args:
            answers: only references and videos are read.

        Returns:
            `most frequent sentence`, counted on these very references, and `sentence of another video`, drawn, where
            there is more than one video.
        """
        _check(answers)
        texts = [text for truths in answers.references for text in truths]
        frequent = Counter(texts).most_common(1)[0][0]
        written: dict[str, Sequence[str]] = {"most frequent sentence": [frequent] * len(answers.references)}
        if (others := _of_other_videos(answers)) is not None:
            written["sentence of another video"] = others
        return {
            name: {key: m.value for key, m in self.compute(replace(answers, captions=captions)).items()}
            for name, captions in written.items()
        }


@register("predictor")
class NLGPredictor(Predictor):
    """Writes captions.

    Args:
        gen_param: how to search; the fields of `mmpt.models.generation.Decoding`.

    Raises:
        ValueError: one of them is not known or out of its range.
    """

    items_at_once = 32  # so that the rows of five beams fit a small machine
    task = "captioning: a sentence for each clip, whose beginning and end are given"
    pooling = "none: a word sees each second"

    def __init__(self, **gen_param: Any) -> None:
        self.decoding = read_decoding(gen_param)
        if self.decoding.num_return_sequences != 1:
            raise ValueError(
                f"gen_param.num_return_sequences is {self.decoding.num_return_sequences}; an evaluation takes one "
                "caption for each clip"
            )

    def prepare(self, model: MMPTPreTrainedModel, dataset: MMDataset) -> None:
        """Take the tokenizer, and see that model and data set are made for captions; see `Predictor.prepare`."""
        if not isinstance(model, MMFusionNLG):
            raise ValueError(
                f"{type(model).__name__} writes no captions; NLGPredictor takes model.model_cls: MMFusionNLG"
            )
        aligner, split = dataset.aligner, dataset.aligner.config.split
        if not isinstance(aligner, DSNLGAligner) or split != "test":
            raise ValueError(
                f"{type(aligner).__name__} gives no sentence to compare with for the split {split!r}; NLGPredictor "
                "takes dataset.aligner: DSNLGAligner and dataset.split: test"
            )
        self.tokenizer = dataset.text.tokenizer

    def answer(self, model: MMPTPreTrainedModel, items: Sequence[Item]) -> list[Row]:
        """Write a caption for each clip.

        Args:
            model: a captioning model.
            items: of `DSNLGAligner`, split test.

        Returns:
            For each: `id` and `video`, `caption` and `reference`.
        """
        assert isinstance(model, MMFusionNLG), "prepare has looked"
        vfeats, vmasks = stack(items, "vfeats", "vmasks", device=model.device)
        found = model.captions(vfeats.to(model.dtype), vmasks, self.decoding)
        require_finite((item["video_id"] for item in items), (np.array(best.score) for (best,) in found))
        texts = self.tokenizer.batch_decode([best.tokens for (best,) in found], skip_special_tokens=True)
        return [
            {**_named(item["video_id"]), "caption": text, "reference": item["ref"]}
            for item, text in zip(items, texts, strict=True)
        ]

    def gather(self, rows: Sequence[Row], protocol: Protocol) -> CaptionAnswers:
        """Put captions and references beside each other.

        Args:
            rows: as `answer` gives them.
            protocol: the fixed one takes all that was written of a clip as references of one caption. The original
                takes each as a case of its own, and writes "none" where the model wrote nothing.

        Returns:
            The captions.
        """
        if protocol == "paper":
            captions = [row["caption"] or EMPTY for row in rows]
            ids, videos = ([row[key] for row in rows] for key in ("id", "video"))
            return CaptionAnswers(captions, [[row["reference"]] for row in rows], videos, ids)
        first = {row["id"]: row for row in reversed(rows)}
        ids = list(dict.fromkeys(row["id"] for row in rows))
        references: dict[str, list[str]] = {name: [] for name in ids}
        for row in rows:
            references[row["id"]].append(row["reference"])
        captions, videos = ([first[name][key] for name in ids] for key in ("caption", "video"))
        return CaptionAnswers(captions, list(references.values()), videos, ids)

    def notes(self, rows: Sequence[Row]) -> Mapping[str, str]:
        """Say how captions were searched for and measured; see `Predictor.notes`."""
        absent = why_absent()
        default = {entry.name: entry.default for entry in fields(self.decoding)}
        search = {key: value for key, value in vars(self.decoding).items() if value != default[key]}
        return {
            "search": ", ".join(f"{key} {value}" for key, value in search.items()) or "greedy",
            "captions without words": str(sum(not row["caption"] for row in rows)),
            "words": "cut as the COCO caption tools do; in the paper's way at spaces, as nlg-eval does",
            "METEOR": f"left out: {absent}" if absent else "version 1.5, English, by its own programme",
        }


def _named(video_id: Any) -> dict[str, str]:
    """A clip's names: its id is a video, or begins with one."""
    parts = [str(part) for part in video_id] if isinstance(video_id, tuple) else [str(video_id)]
    return {"id": " ".join(parts), "video": parts[0]}


def _check(answers: CaptionAnswers) -> None:
    if not answers.captions:
        raise ValueError("there is no caption to measure")
    if len(answers.captions) != len(answers.references) or not all(answers.references):
        raise ValueError(
            f"{len(answers.captions)} captions have {len(answers.references)} lists of references, "
            f"{sum(not texts for texts in answers.references)} of them empty; each caption takes at least one"
        )


def _parted(texts: Sequence[Words]) -> list[list[str]]:
    """Where spaces alone count, `1 1/2` is two words."""
    return [" ".join(text).split() for text in texts]


def _bleu(counts: np.ndarray) -> dict[str, Measure]:
    """BLEU-n of the columns of `bleu_counts` that it needs."""
    matches, possible = counts[:, 2 : 2 + NGRAMS], counts[:, 2 + NGRAMS :]
    return {
        f"Bleu_{n}": Measure.of(np.hstack([counts[:, :2], matches[:, :n], possible[:, :n]]), "bleu")
        for n in range(1, NGRAMS + 1)
    }


def _of_other_videos(answers: CaptionAnswers) -> Sequence[str] | None:
    """For each clip a sentence of a clip of another video, drawn; None where there is one video only."""
    videos = np.array(answers.videos if answers.videos else range(len(answers.captions)))
    if len(np.unique(videos)) < 2:
        return None
    rng = np.random.default_rng(0)
    drawn = [int(rng.choice(np.flatnonzero(videos != video))) for video in videos]
    return [answers.references[other][0] for other in drawn]
