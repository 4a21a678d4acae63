"""What the COCO caption tools say; they need Java and `pip install 'mmpt[caption]'`.

Run `python -m tests.evaluators.caption_oracle` to record caption_numbers.json anew.
"""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

from mmpt.evaluators.meteor import meteor_counts

RECORDED = Path(__file__).with_name("caption_numbers.json")
Texts = list[str]


def cut(texts: Texts) -> list[str]:
    """Words as the tools take them, separated by spaces."""
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer  # pyright: ignore[reportMissingImports]

    with contextlib.redirect_stderr(io.StringIO()):
        found = PTBTokenizer().tokenize({number: [{"caption": text}] for number, text in enumerate(texts)})
    return [found[number][0] for number in range(len(texts))]


def measure(captions: Texts, references: list[Texts]) -> dict[str, float]:
    """The tools' numbers, of texts that are cut into words."""
    from pycocoevalcap.bleu.bleu import Bleu  # pyright: ignore[reportMissingImports]
    from pycocoevalcap.cider.cider import Cider  # pyright: ignore[reportMissingImports]
    from pycocoevalcap.meteor.meteor import Meteor  # pyright: ignore[reportMissingImports]
    from pycocoevalcap.rouge.rouge import Rouge  # pyright: ignore[reportMissingImports]

    true, said = dict(enumerate(references)), {number: [text] for number, text in enumerate(captions)}
    bleu, _ = Bleu(4).compute_score(true, said, verbose=0)
    others = {"ROUGE_L": Rouge(), "CIDEr": Cider(), "METEOR": Meteor()}
    found = {f"Bleu_{number}": float(value) for number, value in enumerate(bleu, 1)}
    return {**found, **{name: float(tool.compute_score(true, said)[0]) for name, tool in others.items()}}


def record() -> None:
    """Ask the tools about the captions in the file, and write their answers beside them."""
    about: dict[str, Any] = json.loads(RECORDED.read_text(encoding="utf-8"))
    texts = list(about["words"])
    about["words"] = dict(zip(texts, cut(texts), strict=True))
    for case in about["cases"]:
        case["measures"] = {}
        for protocol, cut_all in (("fixed", cut), ("paper", lambda texts: [" ".join(text.split()) for text in texts])):
            captions, references = cut_all(case["captions"]), [cut_all(texts) for texts in case["references"]]
            case["measures"][protocol] = measure(captions, references)
            if protocol == "fixed":
                counts = meteor_counts(captions, references)
                case["meteor_counts"] = [" ".join(f"{number:g}" for number in row) for row in counts]
    RECORDED.write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    record()
