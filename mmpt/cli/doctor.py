"""`mmpt doctor`: what is installed, what lies where, what is missing and which command gets it."""

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmpt.config import RunConfig

OK, MISSING, WRONG, OPTIONAL = "ok", "missing", "wrong", "optional"
STYLES = {OK: "green", MISSING: "bold red", WRONG: "bold red", OPTIONAL: "dim"}
BERT_FILES = (("config.json",), ("vocab.txt", "tokenizer.json"))  # one of each
EPILOG = """Without a file it looks for what `mmpt score` needs; with one, for the
checkpoint, BERT and data that the file names. Relative paths start at
$MMPT_HOME, or at the current folder.

The exit code is 0 when nothing needed is missing, 1 otherwise.

examples:
  mmpt doctor
  mmpt doctor projects/mtm/vlm/how2.yaml
  mmpt doctor --json
"""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for.

    Attributes:
        about: the section it is shown in.
        name: what was looked for.
        state: ``"ok"``, ``"missing"``, ``"wrong"``, or ``"optional"`` for what is absent and not needed.
        detail: what was found, and where.
        remedy: a command or a sentence that mends it; empty when there is nothing to mend.
    """

    about: str
    name: str
    state: str
    detail: str
    remedy: str = ""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: the command's own parser.
    """
    parser.epilog = EPILOG
    parser.add_argument("config", nargs="?", metavar="FILE.yaml", help="also look for what this project's file names")
    parser.add_argument("--json", action="store_true", help="write JSON")


def run(args: argparse.Namespace) -> int:
    """Look at everything, and tell all of it at once.

    Args:
        args: what `configure` declares.

    Returns:
        0 when nothing needed is missing, else 1.
    """
    from mmpt.cli.console import err

    with err.status("looking"):
        findings = [*_software(), *_devices(), *_weights(("videoclip", "s3d") if args.config is None else ("s3d",))]
        findings += list(_project(args.config)) if args.config else [_bert("bert-base-uncased")]
    problems = [finding for finding in findings if finding.state in (MISSING, WRONG)]
    if args.json:
        report = {"ok": not problems, "findings": [asdict(finding) for finding in findings]}
        sys.stdout.write(f"{json.dumps(report, indent=2)}\n")
    else:
        _show(findings, problems)
    return 1 if problems else 0


def _software() -> Iterator[Finding]:
    from importlib import metadata

    from packaging.requirements import Requirement

    try:
        about = metadata.metadata("mmpt")
    except metadata.PackageNotFoundError:
        yield Finding("software", "mmpt", WRONG, "runs, but is not installed as a package", "pip install -e .")
        return
    yield Finding("software", "mmpt", OK, about["Version"])
    yield _version("Python", platform.python_version(), about["Requires-Python"], "install a newer Python", needed=True)
    extras = [extra for extra in about.get_all("Provides-Extra") or () if extra not in ("all", "dev")]
    for text in metadata.requires("mmpt") or ():
        wanted = Requirement(text)
        extra = next((e for e in extras if wanted.marker and wanted.marker.evaluate({"extra": e})), None)
        if wanted.marker is not None and extra is None:
            continue
        remedy = f"pip install 'mmpt[{extra}]'" if extra else f"pip install '{wanted.name}{wanted.specifier}'"
        try:
            found = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            found = None
        yield _version(wanted.name, found, str(wanted.specifier), remedy, needed=extra is None)


def _version(name: str, found: str | None, wanted: str, remedy: str, *, needed: bool) -> Finding:
    from packaging.specifiers import SpecifierSet

    if found is None:
        return Finding("software", name, MISSING if needed else OPTIONAL, "not installed", remedy)
    if not SpecifierSet(wanted).contains(found, prereleases=True):
        return Finding("software", name, WRONG, f"{found}, and {wanted} is needed", remedy)
    return Finding("software", name, OK, found)


def _devices() -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding("devices", "cpu", OK, f"{cores} cores, {_bf16_text(_cpu_has_bf16())}")
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Finding("devices", "torch", WRONG, f"cannot be imported ({error})", "pip install --force-reinstall torch")
        return
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        memory = f"{device.total_memory / 2**30:.0f} GiB"
        bf16 = _bf16_text(device.major >= 8)  # from compute capability 8.0 on
        yield Finding("devices", f"cuda:{index}", OK, f"{device.name}, {memory}, {bf16}")
    if not torch.cuda.is_available():
        yield Finding("devices", "cuda", OPTIONAL, "no CUDA GPU that torch can use")
    if torch.backends.mps.is_available():
        yield Finding("devices", "mps", OK, "Apple GPU")


def _cpu_has_bf16() -> bool | None:
    """Whether the CPU multiplies bf16 in hardware; None where the system does not tell."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return None
    words = {word for line in text.splitlines() if line.startswith(("flags", "Features")) for word in line.split()}
    return bool(words & {"avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16"})


def _bf16_text(has: bool | None) -> str:
    return "bf16 unknown" if has is None else "bf16 in hardware" if has else "bf16 emulated only (slow)"


def _weights(needed: tuple[str, ...]) -> Iterator[Finding]:
    from mmpt.utils.places import home, locate
    from mmpt.utils.published import PUBLISHED

    why = "$MMPT_HOME" if os.environ.get("MMPT_HOME") else "the current folder"
    if home().is_dir():
        yield Finding("weights", "folder", OK, f"{home().resolve()} ({why})")
    else:
        yield Finding("weights", "folder", WRONG, f"{home()} ({why}) is not a folder", f"make it, or change {why}")
    for name, published in PUBLISHED.items():
        if name == "bert":
            continue  # may come from the hub's cache as well, see `_bert`
        for file in published.files:
            label = name if len(published.files) == 1 else f"{name} {Path(file.place).suffix}"
            yield _file("weights", label, locate(file.place), f"mmpt download {name}", needed=name in needed)


def _file(about: str, name: str, path: Path, remedy: str, *, needed: bool = True) -> Finding:
    from mmpt.utils.published import check_content

    if path.is_file():
        try:
            check_content(path, path.name)
        except ValueError as error:
            return Finding(about, name, WRONG, f"{path} {error}", f"move it away, then: {remedy}")
        return Finding(about, name, OK, f"{path} ({_size(path)})")
    partial = path.with_name(f"{path.name}.partial")
    part = f"; {_size(partial)} of it has come so far" if partial.is_file() else ""
    return Finding(about, name, MISSING if needed else OPTIONAL, f"{path}{part}", remedy)


def _size(path: Path) -> str:
    size = path.stat().st_size
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size:,} bytes"


def _bert(bert_name: str) -> Finding:
    """Look for a BERT's shape and vocabulary, in a folder or in the hub's cache."""
    about, remedy = "BERT", "mmpt download bert" if bert_name == "bert-base-uncased" else "point bert_name at a folder"
    try:
        from huggingface_hub import try_to_load_from_cache

        from mmpt.text.tokenizer import find_bert

        place = find_bert(bert_name)
    except FileNotFoundError as error:
        return Finding(about, bert_name, MISSING, str(error), remedy)
    except (ImportError, OSError) as error:
        return Finding(about, bert_name, WRONG, f"cannot be looked for ({error})", "pip install 'transformers>=5'")
    if Path(place).is_dir():
        there = {name for names in BERT_FILES for name in names if (Path(place) / name).is_file()}
        absent = [" or ".join(names) for names in BERT_FILES if there.isdisjoint(names)]
        if absent:
            return Finding(about, bert_name, WRONG, f"{place} has no {', no '.join(absent)}", remedy)
        return Finding(about, bert_name, OK, str(place))
    cached = [any(isinstance(try_to_load_from_cache(place, n), str) for n in names) for names in BERT_FILES]
    if all(cached):
        return Finding(about, bert_name, OK, "in the hub's cache")
    return Finding(about, bert_name, MISSING, "neither in pretrained_models/ nor in the hub's cache", remedy)


def _project(config: str) -> Iterator[Finding]:
    """Look for everything that a YAML file names."""
    from mmpt.cli.checking import data_paths, is_there
    from mmpt.config.load import load_config
    from mmpt.utils.places import locate
    from mmpt.utils.published import command_for

    try:
        run = load_config(config)
    except (ValueError, OSError) as error:
        yield Finding("project", "file", WRONG, str(error), "mend the file, or give another")
        return
    yield Finding("project", "file", OK, f"{config} ({run.model.model_cls})")
    yield _bert(run.dataset.bert_name)
    for key, place in _checkpoints(run).items():
        remedy = command_for(place) or f"train it first, or point {key} at where it lies"
        yield _file("project", key, locate(place), remedy)
    for key, place in data_paths(run.raw["dataset"]):
        path = locate(place)
        if is_there(path):
            yield Finding("data", key, OK, str(path))
        else:
            remedy = f"put it there, or change dataset.{key}; scoring your own videos does not need it"
            yield Finding("data", key, MISSING, str(path), remedy)


def _checkpoints(run: "RunConfig") -> dict[str, str]:
    """List the checkpoints that a run reads: key in the file -> path."""
    found = {}
    if run.checkpoint.path:
        found["common_eval.path"] = run.checkpoint.path
    elif run.save_path:
        found["eval.save_path"] = f"{run.save_path}/checkpoint_best.pt"
    if "/" in run.checkpoint.restore_file:  # a bare name means the run's own last checkpoint
        found["checkpoint.restore_file"] = run.checkpoint.restore_file
    return found


def _show(findings: list[Finding], problems: list[Finding]) -> None:
    from rich.table import Table
    from rich.text import Text

    from mmpt.cli.console import out

    for about in dict.fromkeys(finding.about for finding in findings):
        shown = [finding for finding in findings if finding.about == about]
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold", max_width=28)
        table.add_column(overflow="fold")
        for finding in shown:
            state = Text(f"  {finding.state}", style=STYLES[finding.state])
            table.add_row(state, Text(finding.name), Text(finding.detail))
            if finding.remedy:
                table.add_row("", "", Text(f"-> {finding.remedy}"))
        out.print(Text(about, style="bold"))
        out.print(table)
    commands = list(dict.fromkeys(problem.remedy for problem in problems if problem.remedy.startswith("mmpt download")))
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    out.print(Text(f"\n{count}" if problems else "\nNothing that is needed is missing."))
    if commands:
        out.print(Text(f"The published files come with: mmpt download {' '.join(c.split()[-1] for c in commands)}"))
