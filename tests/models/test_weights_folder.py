"""Weights folders that are damaged, absurd or hostile: a message each, before memory or time is spent."""

import ast
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmpt.cli.main import main
from mmpt.config import parse_config
from mmpt.models.build import build_model
from mmpt.models.checkpoints import load_folder, to_original
from mmpt.models.configuration import MMPTConfig
from mmpt.models.pretrained import make_aligner
from mmpt.text.tokenizer import load_tokenizer
from mmpt.utils.registry import lookup
from tests.conftest import ROOT
from tests.models.test_models import tiny_config, tiny_model

MISSING = object()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    tiny_model().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    target = tmp_path / "folder"
    target.mkdir()
    for file in whole.iterdir():
        (target / file.name).symlink_to(file)
    return target


def change(folder: Path, key: str, value: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    *above, last = key.split(".")
    block = config
    for name in above:
        block = block[name]
    block[last] = value
    if value is MISSING:
        del block[last]
    replace(folder / "config.json", json.dumps(config).encode())


def replace(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


ABSURD = [
    ("bert_config.hidden_act", MISSING, "bert_config.hidden_act is missing"),
    ("bert_config.hidden_act", None, "bert_config.hidden_act is None; it must be an activation's name"),
    ("bert_config.hidden_act", "nothing", "bert_config.hidden_act is 'nothing'"),
    ("bert_config.num_hidden_layers", 1_000_000, "bert_config.num_hidden_layers is 1000000; it must be"),
    ("bert_config.num_hidden_layers", 900, "bert_config.num_hidden_layers is 900, and model.safetensors has 3 layers"),
    ("bert_config.num_hidden_layers", -1, "bert_config.num_hidden_layers is -1; it must be"),
    ("bert_config.num_hidden_layers", 3.0, "bert_config.num_hidden_layers is 3.0; it must be"),
    ("bert_config.num_hidden_layers", True, "bert_config.num_hidden_layers is True; it must be"),
    ("bert_config.hidden_size", 10**9, "bert_config.hidden_size is 1000000000; it must be"),
    ("bert_config.hidden_size", 64, "bert_config.hidden_size is 64, and .*word_embeddings.weight in model.safetensors"),
    ("bert_config.num_attention_heads", 5, "which is not a multiple of the 5 of num_attention_heads"),
    ("bert_config.vocab_size", 61, "bert_config.vocab_size is 61, and .* is of shape"),
    ("bert_config.vocab_size", 10**30, "bert_config.vocab_size is 10{30}; it must be"),
    ("bert_config.layer_norm_eps", float("nan"), "bert_config.layer_norm_eps is nan"),
    ("bert_config.pad_token_id", 60, "bert_config.pad_token_id is 60"),
    ("bert_config.is_decoder", True, "bert_config.is_decoder is True"),
    ("bert_config", None, "bert_config is None"),
    ("bert_config", [], r"bert_config is \[\]"),
    ("model_cls", None, "model_cls is None; it must be the name of a class"),
    ("model_cls", MISSING, "model_cls is missing"),
    ("model_cls", "MMFusionSeperate", "did you mean 'MMFusionSeparate'"),
    ("video_encoder_cls", ["a"], r"video_encoder_cls is \['a'\]; it must be the name of a class or null"),
    ("max_len", "96", "max_len is '96'; it must be"),
    ("max_len", 10**9, "max_len is 1000000000; it must be"),
    ("max_video_len", 600, "max_len is 24 and max_video_len 600"),
    ("video_dim", 0, "video_dim is 0; it must be"),
    ("video_dim", 25, "video_dim is 25, and video_encoder.videomlp.linear1.weight in model.safetensors"),
    ("num_hidden_video_layers", 0, "num_hidden_video_layers is 0; it must be null or"),
    ("features", None, "features is missing"),
    ("features", {"backbone": None}, "features is .*; it must be a block"),
    ("cls_token_id", 60, "cls_token_id is 60, and the vocabulary has 60 words"),
    ("use_seg_emb", "yes", "use_seg_emb is 'yes'; it must be true or false"),
]


@pytest.mark.parametrize(("key", "value", "message"), ABSURD)
def test_an_absurd_config_json_names_its_key(folder: Path, key: str, value: Any, message: str) -> None:
    change(folder, key, value)
    start = time.perf_counter()
    with pytest.raises(ValueError, match=rf"(?s)config\.json.*{message}"):
        load_folder(folder)
    assert time.perf_counter() - start < 2, "something was built first"


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"[" * 100_000, b"\xff\xfe{}", b" " * (1 << 21)])
def test_a_config_json_that_is_none_is_told(folder: Path, content: bytes) -> None:
    replace(folder / "config.json", content)
    with pytest.raises(ValueError, match=r"config\.json"):
        load_folder(folder)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda raw: raw[:-100],
    "half": lambda raw: raw[: len(raw) // 2],
    "no header": lambda raw: raw[:7],
    "empty": lambda raw: b"",
    "long header": lambda raw: b"\xff" * 8 + raw[8:],
    "other header": lambda raw: raw[:8] + b"{" * 50 + raw[58:],
    "a byte too many": lambda raw: raw + b"x",
    "a pickle": lambda raw: b"\x80\x02}q\x00." * 9,
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_weights_are_told(folder: Path, tmp_path: Path, kind: str) -> None:
    replace(folder / "model.safetensors", DAMAGE[kind]((folder / "model.safetensors").read_bytes()))
    for use in (load_folder, lambda place: to_original(place, tmp_path / "x.pt")):
        with pytest.raises(ValueError, match=r"model\.safetensors cannot be read: cut off or damaged"):
            use(folder)
    assert not (tmp_path / "x.pt").exists()


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64, torch.uint8])
def test_tensors_of_another_kind_are_told(folder: Path, dtype: torch.dtype) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["text_encoder.pooler.dense.bias"] = tensors["text_encoder.pooler.dense.bias"].to(dtype)
    (folder / "model.safetensors").unlink()
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ValueError, match=rf"pooler.dense.bias is {dtype}, not of floating point"):
        load_folder(folder)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("model_cls", "transformers:AutoModelForCausalLM"),
        ("model_cls", "transformers:BertModel"),
        ("model_cls", "torch.nn:Linear"),
        ("model_cls", "os:getcwd"),
        ("model_cls", "pathlib:Path"),
        ("video_encoder_cls", "transformers:AutoModel"),
        ("text_encoder_cls", "torch.nn:Identity"),
        ("text_encoder_cls", "subprocess:Popen"),
    ],
)
def test_a_folder_names_classes_of_this_project_only(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, name: str
) -> None:
    mark = tmp_path / "ran"
    (folder / "evil.py").write_text(f"open({str(mark)!r}, 'w')\nclass Evil: pass\n")
    change(folder, "auto_map", {"AutoModelForCausalLM": "evil.Evil", "AutoModel": "evil.Evil"})
    change(folder, key, name)
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a question was asked"))
    with pytest.raises(ValueError, match=r"of this project|is a \w+, not a class|cannot use the encoder"):
        load_folder(folder)
    assert not mark.exists()


def test_a_folder_cannot_send_us_elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What transformers' own loading would follow: adapters, quantization, attention kernels of the hub."""
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "evil/model", "peft_type": "LORA"}')
    change(folder, "quantization_config", {"quant_method": "bitsandbytes", "load_in_8bit": True})
    change(folder, "attn_implementation", "evil/kernel")
    change(folder, "bert_config.attn_implementation", "evil/kernel")
    change(folder, "bert_config._attn_implementation", "evil/kernel")
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("something was looked for elsewhere"))
    model = load_folder(folder)
    assert model.config._attn_implementation in ("sdpa", "eager")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), tiny_model().parameters(), strict=True))


def test_a_yaml_file_names_models_of_this_project_only() -> None:
    text = "model: {model_cls: 'transformers:AutoModelForCausalLM'}\ndataset: {bert_name: x}\n"
    name = parse_config(text).model.model_cls
    with pytest.raises(ValueError, match=r"not a model of this project; use a subclass of mmpt\.models\.base"):
        lookup("model", name, may_import=True)
    config = tiny_config()
    config.model_cls = name
    with pytest.raises(ValueError, match="of this project"):
        build_model(config)


def test_configurations_from_elsewhere_are_checked_too() -> None:
    with pytest.raises(ValueError, match="max_len is -3"):
        MMPTConfig(max_len=-3)
    with pytest.raises(ValueError, match=r"bert_config\.num_hidden_layers is 1000000"):
        MMPTConfig({"num_hidden_layers": 1_000_000})


def test_a_vocabulary_of_another_model_is_told(golden_dir: Path) -> None:
    tokenizer = load_tokenizer(golden_dir / "common" / "tiny-bert")
    with pytest.raises(ValueError, match=r"has \d+ words, and the model has 60 \(MMFusionSeparate\)"):
        make_aligner(tiny_model(), tokenizer)
    model = tiny_model()
    model.config.bert_config.vocab_size, model.config.cls_token_id = len(tokenizer), 7
    with pytest.raises(ValueError, match="cls_token_id of the tokenizer is 2, and the model was made with 7"):
        make_aligner(model, tokenizer)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer_config.json", b"null"),
        ("tokenizer_config.json", b"[" * 100_000),
        ("tokenizer_config.json", b'{"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["evil.Evil", null]}}'),
        ("tokenizer.json", b'{"model": {"type": "Evil"}}'),
        ("vocab.txt", b""),
        ("vocab.txt", bytes(range(256))),
    ],
)
def test_a_damaged_tokenizer_is_told_and_runs_nothing(
    golden_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes
) -> None:
    for file in (golden_dir / "common" / "tiny-bert").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n")
    (tmp_path / name).write_bytes(content)
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a question was asked"))
    try:
        load_tokenizer(tmp_path)
    except FileNotFoundError as error:
        assert f"the tokenizer of {tmp_path} cannot be read" in str(error)
    else:
        assert "auto_map" in content.decode()  # not followed: what stands beside it is a plain tokenizer
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("command", [["score", "no.mp4", "a dog", "--model"], ["convert", "--to-original"]])
def test_the_command_line_says_it_in_one_message(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "no.mp4").write_bytes(b"")
    change(folder, "bert_config.num_hidden_layers", 1_000_000)
    words = [*command, str(folder), *(["x.pt"] if command[0] == "convert" else [])]
    assert main(words) == 2
    told = capsys.readouterr().err
    assert f"{folder / 'config.json'} cannot be used" in told and "num_hidden_layers is 1000000" in told
    assert "Traceback" not in told and not (tmp_path / "x.pt").exists()


def test_nothing_of_transformers_is_asked_to_run_code_of_others() -> None:
    """Every call of an Auto class says trust_remote_code=False: without it transformers asks at the terminal."""
    found = 0
    for file in (file for part in ("mmpt", "benchmarks", "examples") for file in (ROOT / part).rglob("*.py")):
        text = file.read_text()
        for node in ast.walk(ast.parse(text)) if "from_pretrained" in text or "from_config" in text else ():
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            owner = node.func.value
            name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
            if node.func.attr in ("from_pretrained", "from_config") and str(name).startswith("Auto"):
                found += 1
                said = {keyword.arg: keyword.value for keyword in node.keywords}.get("trust_remote_code")
                assert isinstance(said, ast.Constant) and said.value is False, f"{file}:{node.lineno}"
            else:
                assert all(keyword.arg != "trust_remote_code" for keyword in node.keywords), f"{file}:{node.lineno}"
    assert found >= 4
