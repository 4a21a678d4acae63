"""`mmpt train`: train what a YAML file describes."""

import argparse
import contextlib
import logging
import sys
import traceback
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmpt.training.processes import Processes
    from mmpt.training.session import Session
    from mmpt.training.telling import Observer

FAILED, ERROR = 1, 2  # exit codes of what is our own fault, and of bad input
EXAMPLES = """examples:
  mmpt train projects/retri/videoclip/how2.yaml
  mmpt train projects/mtm/vlm/vtt.yaml --check fairseq.dataset.batch_size=64
  mmpt train data/mine/videoclip.yaml --from-scratch fairseq.common.bf16=true
  torchrun --nproc-per-node 8 -m mmpt train projects/mtm/vlm/how2.yaml

Give the same command again after any stop: it goes on where it was, and gives
the same numbers. Checkpoints, training_state.safetensors and metrics.jsonl lie
in fairseq.checkpoint.save_dir; `mmpt plot` draws them, and `mmpt evaluate`
takes checkpoint_best.pt from there.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    from mmpt.cli import preparing

    parser.epilog = EXAMPLES
    preparing.configure(parser)
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto", help="where to train (%(default)s)")
    parser.add_argument("--from-scratch", action="store_true", help="start from random weights, not from BERT's")
    parser.add_argument("--restart", action="store_true", help="begin anew, in the place of what the run folder holds")
    parser.add_argument("--accept-changes", action="store_true", help="go on although the file says other things now")


def run(args: argparse.Namespace) -> int:
    """Train, or with --check prepare only.

    Returns:
        0; 2 for bad input or where the training cannot go on; 128 and the signal's number where one stopped it.
    """
    if args.check:
        from mmpt.cli.preparing import prepare

        prepare(args, evaluation=False)
        return 0
    from mmpt.utils.optional import require

    require("accelerate", extra="train")
    from mmpt.training.processes import Processes

    processes = Processes(_device(args.device))
    if processes.world == 1:
        return _run(args, processes)
    try:
        code = _run(args, processes)
    except Exception:
        traceback.print_exc()
        code = FAILED
    return processes.leave(code)


def _run(args: argparse.Namespace, processes: "Processes") -> int:
    """Prepare and train in this process."""
    from mmpt.training.processes import ProcessLostError
    from mmpt.training.signals import Stop

    if not processes.first:
        logging.getLogger().setLevel(logging.ERROR)
    held = contextlib.ExitStack()
    try:
        with held:
            session, error = _ready(args, processes, held)
            if processes.sum([float(error is not None)])[0]:
                return _told(processes, error)
            assert session is not None
            with Stop() as stop:
                code = _train(session, processes, stop)
    except ProcessLostError:
        sys.stderr.write(
            f"mmpt: error: process {processes.rank}: another process of this training ended; what it said stands "
            "above. The same command goes on from the last checkpoint\n"
        )
        return ERROR
    if code or not session.trainer.stopped or session.trainer.finished:
        return code
    if processes.first:
        sys.stderr.write("mmpt: stopped; what is done is kept, and the same command goes on from there\n")
    return stop.code


def _device(name: str) -> str:
    import torch

    found = torch.accelerator.is_available()
    if name == "gpu" and not found:
        raise ValueError("--device gpu: PyTorch finds no GPU on this machine; it takes cpu, or auto")
    return "cpu" if name == "cpu" or not found else "gpu"


def _ready(
    args: argparse.Namespace, processes: "Processes", held: contextlib.ExitStack
) -> "tuple[Session | None, Exception | None]":
    """Prepare in this process; the error where that fails, which the others must know of before all stop."""
    from mmpt.cli.console import quiet_transformers
    from mmpt.cli.preparing import check_file
    from mmpt.training import session
    from mmpt.training.folder import held as hold

    options = session.Options(args.from_scratch, args.restart, args.accept_changes)
    try:
        config = check_file(args.yaml, args.overrides, evaluation=False)
        if processes.first:
            held.enter_context(hold(session.run_folder(config)))
        with quiet_transformers():
            return session.prepare(config, processes, options, lambda told: _observer(config, processes, told)), None
    except (ValueError, OSError, ModuleNotFoundError) as error:
        if args.verbose:
            raise
        return None, error


def _observer(config: Any, processes: "Processes", told: dict[str, Any]) -> "Observer":
    """The first process shows and writes."""
    from mmpt.cli.training_display import ShownObserver
    from mmpt.training.metrics_log import MetricsLog
    from mmpt.training.session import run_folder
    from mmpt.training.telling import Observer

    return ShownObserver(MetricsLog(run_folder(config), config.logging, told)) if processes.first else Observer()


def _train(session: "Session", processes: "Processes", stop: Any) -> int:
    from mmpt.cli.training_display import ShownObserver
    from mmpt.training.estimate import advice, is_out_of_memory
    from mmpt.training.folder import forget
    from mmpt.training.processes import SharedError

    trainer = session.trainer
    observer = trainer.observer
    try:
        _introduce(session, processes)
        if isinstance(observer, ShownObserver):
            if session.fresh:
                forget(trainer.keeper.folder)
            progress = trainer.progress
            observer.log.rewind(progress.updates, epoch=progress.epoch, batch=progress.batch)
        trainer.run(stop)
    except SharedError as error:
        return _told(processes, error)
    except (ValueError, OSError) as error:  # an item that cannot be read: the others notice that this one ends
        sys.stderr.write(f"mmpt: error: {error}\n")
        return ERROR
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            told = advice(trainer.optim, session.run.loader.batch_size)
        else:
            told = _explained(error, processes)
        sys.stderr.write(f"mmpt: error: {(str(error) or type(error).__name__).splitlines()[0]}\n")
        sys.stderr.write(f"mmpt: {told}\n")
        return ERROR
    finally:
        if isinstance(observer, ShownObserver):
            observer.log.close()
    if isinstance(observer, ShownObserver) and trainer.finished:
        _conclude(session)
    return 0


def _explained(error: BaseException, processes: "Processes") -> str:
    """Say what torch's errors about other processes mean; others are raised again."""
    from mmpt.training.processes import ProcessLostError

    text = str(error)
    if isinstance(error, ProcessLostError):
        raise error
    if "DataLoader worker" in text:
        return (
            "a process that reads ahead was killed, often for want of memory; take fewer of them "
            "(fairseq.dataset.num_workers), then give the same command again: it goes on from the last checkpoint"
        )
    if processes.world > 1 and any(word in text for word in ("Connection", "gloo", "NCCL", "peer")):
        raise ProcessLostError(text) from error
    raise error


def _told(processes: "Processes", error: Exception | None) -> int:
    """Let one process say what is wrong, and end only when it has."""
    failed = [0.0] * processes.world
    failed[processes.rank] = float(bool(str(error or "")))
    speaking = next((rank for rank, said in enumerate(processes.sum(failed)) if said), 0)
    if processes.rank == speaking:
        sys.stderr.write(f"mmpt: error: {error}\n")
        sys.stderr.flush()
    processes.sum([0.0])
    return ERROR


def _introduce(session: "Session", processes: "Processes") -> None:
    """Say what begins. All processes estimate, so that all know what it may tell against the file."""
    from mmpt.cli.console import out

    for line in (session.run.source, *session.notes) if processes.first else ():
        out.print(str(line), soft_wrap=True)
    told = "" if session.trainer.finished else str(session.trainer.estimate())
    for line in told.splitlines() if processes.first else ():
        out.print(line, soft_wrap=True)


def _conclude(session: "Session") -> None:
    from mmpt.cli.console import out

    trainer = session.trainer
    progress, keeper = trainer.progress, trainer.keeper
    best = "" if progress.best is None else f"; best {keeper.config.best_checkpoint_metric} {progress.best:.4f}"
    told = f"done: {progress.epoch} epochs, {progress.updates:,} updates{best}; in {keeper.folder}/"
    out.print(told, soft_wrap=True)
