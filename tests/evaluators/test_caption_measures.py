"""Measures of captions against what the COCO caption tools say, and a whole evaluation."""

import json
import logging
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmpt.cli.main import main
from mmpt.evaluators import meteor
from mmpt.evaluators.bootstrap import interval
from mmpt.evaluators.caption_scores import longest_common
from mmpt.evaluators.caption_statistics import bleu
from mmpt.evaluators.caption_statistics import meteor as corpus_meteor
from mmpt.evaluators.caption_words import WIDE, words
from mmpt.evaluators.captioning import CaptionAnswers, NLGMetric, NLGPredictor
from mmpt.evaluators.cards import read_card
from tests.evaluators.caption_oracle import RECORDED, cut, measure

NUMBERS: dict[str, Any] = json.loads(RECORDED.read_text(encoding="utf-8"))
EQUAL = 1e-6
BARE = ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L", "CIDEr")  # that need no Java
needs_java = pytest.mark.skipif(meteor.why_absent() is not None, reason=f"{meteor.why_absent()}")


@pytest.fixture
def without_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


def answers_of(case: dict[str, Any]) -> CaptionAnswers:
    return CaptionAnswers(case["captions"], case["references"])


def values(measures: dict) -> dict[str, float]:
    return {name: measure.value for name, measure in measures.items()}


@pytest.mark.parametrize("text", NUMBERS["words"])
def test_words_are_those_of_the_tools(text: str) -> None:
    assert " ".join(words(text)) == NUMBERS["words"][text]


@pytest.mark.parametrize("case", NUMBERS["cases"], ids=lambda case: case["what"])
@pytest.mark.parametrize("protocol", ["fixed", "paper"])
def test_measures_are_those_of_the_tools(case: dict, protocol: Any, without_java: None) -> None:
    ours = values(NLGMetric().compute(answers_of(case), protocol))
    assert ours == pytest.approx({name: case["measures"][protocol][name] for name in BARE}, abs=EQUAL)


@pytest.mark.parametrize("case", NUMBERS["cases"], ids=lambda case: case["what"])
def test_meteor_is_computed_of_its_counts(case: dict) -> None:
    counts = np.array([[float(number) for number in row.split()] for row in case["meteor_counts"]])
    assert corpus_meteor(counts) == pytest.approx(case["measures"]["fixed"]["METEOR"], abs=EQUAL)


@needs_java
@pytest.mark.slow
def test_the_tools_themselves_agree() -> None:
    rng = random.Random(0)
    vocabulary = [word for text in NUMBERS["words"] for word in text.split()]
    truths = [[" ".join(rng.choices(vocabulary, k=rng.randint(2, 12))) for _ in range(1 + n % 3)] for n in range(40)]
    said = [" ".join(word for word in rng.choice(texts).split() if rng.random() < 0.8) or "man" for texts in truths]
    said[7] = truths[7][0]
    captions = [" ".join(words(text)) for text in said]
    flat = cut([*said, *(text for texts in truths for text in texts)])
    assert captions == flat[: len(said)]
    places = iter(flat[len(said) :])
    theirs = measure(captions, [[next(places) for _ in texts] for texts in truths])
    assert values(NLGMetric().compute(CaptionAnswers(said, truths))) == pytest.approx(theirs, abs=EQUAL)


@needs_java
@pytest.mark.slow
def test_a_meteor_that_dies_is_told_and_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert meteor.meteor_counts(["a cat ||| sat"], [["a cat sat"]])[0, 0] == 3
    meteor._running()[0].kill()
    with pytest.raises(RuntimeError, match=r"the METEOR programme stopped at 'SCORE \|\|\| b \|\|\| a'"):
        meteor.meteor_counts(["a"], [["b"]])
    assert meteor.meteor_counts(["a"], [["b"]]).shape == (1, 23)


def test_without_java_meteor_is_left_out_and_that_is_told(without_java: None, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        measures = NLGMetric().compute(answers_of(NUMBERS["cases"][0]))
    assert set(measures) == set(BARE)
    assert "METEOR is left out: Java is not installed" in caplog.text


def test_spaces_alone_count_in_the_papers_way(without_java: None) -> None:
    answers = CaptionAnswers(["Mix the flour.", "stir"], [["mix the flour"], ["stir"]])
    assert NLGMetric().compute(answers)["Bleu_1"].value == pytest.approx(1)
    assert NLGMetric().compute(answers, "paper")["Bleu_1"].value == pytest.approx(0.5)


def test_a_mixed_number_is_one_word() -> None:
    assert words("Chop 1 1/2 onions") == ["chop", f"1{WIDE}1/2", "onions"]


def test_common_words_in_order() -> None:
    assert longest_common(["a", "b", "c", "d"], ["b", "x", "d", "a"]) == 2
    assert longest_common([], ["a"]) == longest_common(["a"], []) == 0


def test_no_caption_has_no_value() -> None:
    assert np.isnan(bleu(np.zeros((0, 10)))) and np.isnan(corpus_meteor(np.zeros((0, 23))))
    assert corpus_meteor(np.zeros((1, 23))) == 0


@pytest.mark.parametrize("references", [[["a"]], [["a"], []]])
def test_captions_without_references_are_told(references: list) -> None:
    with pytest.raises(ValueError, match="each caption takes at least one"):
        NLGMetric().compute(CaptionAnswers(["a", "b"], references))


def test_no_caption_at_all_is_told() -> None:
    for judge in (NLGMetric().compute, NLGMetric().baselines):
        with pytest.raises(ValueError, match="there is no caption to measure"):
            judge(CaptionAnswers([], []))


def test_intervals_draw_captions(without_java: None) -> None:
    measures = NLGMetric().compute(answers_of(NUMBERS["cases"][0]))
    for name, measured in measures.items():
        low, high = interval(measured, draws=300)
        assert low < measured.value < high, name


def test_baselines_do_not_look_at_the_captions(without_java: None) -> None:
    references = [["pour water"], ["stir the pot"], ["stir the pot"], ["chop an onion"]]
    answers = CaptionAnswers([""] * 4, references, videos=["a", "a", "b", "b"])
    baselines = NLGMetric().baselines(answers)
    same = values(NLGMetric().compute(CaptionAnswers(["stir the pot"] * 4, references)))
    assert baselines["most frequent sentence"] == same
    # "a" has "pour water" alone that "b" has not, and the other way round: no sentence but the shared one can match
    assert 0 <= baselines["sentence of another video"]["Bleu_1"] <= 0.5
    assert list(NLGMetric().baselines(CaptionAnswers(["a"], [["a"]]))) == ["most frequent sentence"]


def test_all_that_was_written_of_a_clip_is_a_reference_of_one_caption() -> None:
    rows = [
        {"id": "v 0 5", "video": "v", "caption": "", "reference": "stir"},
        {"id": "w 0 5", "video": "w", "caption": "chop", "reference": "cut"},
        {"id": "v 0 5", "video": "v", "caption": "", "reference": "mix"},
    ]
    fixed, paper = (NLGPredictor().gather(rows, protocol) for protocol in ("fixed", "paper"))
    assert (fixed.captions, fixed.references) == (["", "chop"], [["stir", "mix"], ["cut"]])
    assert (fixed.ids, fixed.videos) == (["v 0 5", "w 0 5"], ["v", "w"])
    assert (paper.captions, paper.references) == (["none", "chop", "none"], [["stir"], ["cut"], ["mix"]])


@pytest.mark.parametrize(
    ("param", "message"),
    [({"beams": 5}, "did you mean 'num_beams'"), ({"num_beams": 2, "num_return_sequences": 2}, "one")],
)
def test_a_search_that_cannot_be_is_told_at_once(param: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NLGPredictor(**param)


YAML = """
dataset:
  bert_name: tiny-bert
  split: test
  max_video_len: 32
  max_len: 96
  vfeat_dir: feat
  test_path: list.txt
  trainval_annotation: ann.json
  meta_processor: YoucookNLGMetaProcessor
  video_processor: YoucookVideoProcessor
  text_processor: {text}
  aligner: {aligner}
model: {{model_cls: {model}, mm_encoder_cls: {encoder}, max_decode_length: 24}}
eval: {{save_path: out}}
fairseq: {{dataset: {{batch_size: 3}}, common_eval: {{path: best.pt}}}}
metric: NLGMetric
predictor: NLGPredictor
gen_param: {{num_beams: 5}}
"""


@pytest.fixture
def project(tmp_path: Path, golden_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three made-up videos with two clips each, and a small captioning model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MMPT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "tiny-bert").symlink_to(golden_dir / "common" / "tiny-bert")
    shutil.copy(golden_dir / "01_checkpoints" / "nlg.pt", tmp_path / "best.pt")
    (tmp_path / "feat").mkdir()
    rng, videos = np.random.default_rng(0), ("a", "b", "c")
    texts = iter(("pour water into the pot", "stir it", "chop an onion", "stir it", "bake the bread", "fry the fish"))
    for video in videos:
        np.save(tmp_path / "feat" / f"{video}.npy", rng.normal(size=(20, 512)).astype(np.float16))
    clips = {
        video: {
            "annotations": [{"segment": [s, s + 6], "id": n, "sentence": next(texts)} for n, s in enumerate((2, 9))]
        }
        for video in videos
    }
    (tmp_path / "ann.json").write_text(json.dumps({"database": clips}))
    (tmp_path / "list.txt").write_text("".join(f"1/{video}\n" for video in videos))
    return tmp_path


def write_yaml(folder: Path, **changes: str) -> str:
    names = {"model": "MMFusionNLG", "encoder": "MMBertForNLG", "aligner": "DSNLGAligner", "text": "NLGTextProcessor"}
    (folder / "cap.yaml").write_text(YAML.format(**{**names, **changes}))
    return "cap.yaml"


def test_captions_are_written_and_measured(project: Path, without_java: None) -> None:
    assert main(["evaluate", write_yaml(project)]) == 0
    card = read_card(project / "out")
    assert set(card.results["fixed"]) == set(card.results["paper"]) == set(BARE)
    assert (card.baselines["most frequent sentence"]["Bleu_1"] or 0) > 0.1
    assert len(card.examples) == len(card.parts["Bleu_4"]) == 6
    assert card.protocol["search"] == "num_beams 5"
    assert card.protocol["METEOR"].startswith("left out: Java is not installed")
    assert "| Bleu_4 |" in (project / "out" / "card.md").read_text()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"aligner": "DSAligner", "text": "TextProcessor"}, "DSAligner gives no sentence to compare with"),
        ({"model": "MMFusionMFMMLM", "encoder": "MMBertForMFMMLM"}, "NLGPredictor takes model.model_cls: MMFusionNLG"),
    ],
)
def test_what_writes_no_captions_is_told_before_anything_runs(
    project: Path, capsys: pytest.CaptureFixture, changes: dict, message: str
) -> None:
    assert main(["evaluate", write_yaml(project, **changes)]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (project / "out").exists()


@pytest.mark.parametrize("beams", [1, 5])
def test_captions_of_a_model_of_nan_are_refused(
    project: Path, without_java: None, capsys: pytest.CaptureFixture, beams: int
) -> None:
    stored = torch.load(project / "best.pt", weights_only=False)
    for name, tensor in stored["model"].items():
        if "encoder.layer" in name:
            tensor.fill_(float("nan"))
    torch.save(stored, project / "best.pt")
    assert main(["evaluate", write_yaml(project), f"gen_param.num_beams={beams}"]) == 2
    assert "are not finite" in " ".join(capsys.readouterr().err.split())
    assert not (project / "out" / "card.json").exists()
