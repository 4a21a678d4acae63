"""`mmpt train`: train what a YAML file describes."""

import argparse
import logging
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmpt.training.processes import Processes
    from mmpt.training.session import Session
    from mmpt.training.telling import Observer

ERROR = 2  # exit code of bad input
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
    from mmpt.training.processes import Processes, ProcessLostError
    from mmpt.training.signals import Stop

    processes = Processes(_device(args.device))
    if not processes.first:
        logging.getLogger().setLevel(logging.ERROR)
    session, error = _ready(args, processes)
    try:
        if processes.sum([float(error is not None)])[0]:
            return _told(processes, error)
        assert session is not None
        with Stop() as stop:
            code = _train(session, processes, stop)
        if stop.asked and code == 0 and not session.trainer.finished:
            if processes.first:
                sys.stderr.write("mmpt: stopped; what is done is kept, and the same command goes on from there\n")
            return stop.code
        return code
    except ProcessLostError:
        sys.stderr.write(
            f"mmpt: error: process {processes.rank}: another process of this training ended; what it said "
            "stands above. The same command goes on from the last checkpoint\n"
        )
        return ERROR
    finally:
        processes.end()


def _device(name: str) -> str:
    import torch

    found = torch.accelerator.is_available()
    if name == "gpu" and not found:
        raise ValueError("--device gpu: PyTorch finds no GPU on this machine; it takes cpu, or auto")
    return "cpu" if name == "cpu" or not found else "gpu"


def _ready(args: argparse.Namespace, processes: "Processes") -> "tuple[Session | None, Exception | None]":
    """Prepare in this process; the error where that fails, which the others must know of before all stop."""
    from mmpt.cli.console import quiet_transformers
    from mmpt.cli.preparing import check_file
    from mmpt.training import session

    options = session.Options(args.from_scratch, args.restart, args.accept_changes)
    try:
        config = check_file(args.yaml, args.overrides, evaluation=False)
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
    from mmpt.training.damage import SharedError
    from mmpt.training.estimate import advice, is_out_of_memory

    trainer = session.trainer
    observer = trainer.observer
    if isinstance(observer, ShownObserver):
        _introduce(session)
        observer.log.rewind(trainer.progress.updates)
    try:
        trainer.run(stop)
    except SharedError as error:
        return _told(processes, error)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise _explained(error, processes) from error
        sys.stderr.write(f"mmpt: error: {error}\nmmpt: {advice(trainer.optim, session.run.loader.batch_size)}\n")
        return ERROR
    finally:
        if isinstance(observer, ShownObserver):
            observer.log.close()
    if isinstance(observer, ShownObserver) and trainer.finished:
        _conclude(session)
    return 0


def _explained(error: BaseException, processes: "Processes") -> BaseException:
    """Say what torch's errors of other processes mean."""
    from mmpt.training.processes import ProcessLostError

    text = str(error)
    if "DataLoader worker" in text:
        return ValueError(
            f"a process that reads ahead was killed, often for want of memory ({text.splitlines()[0]}); take fewer "
            "(fairseq.dataset.num_workers), then give the same command again"
        )
    lost = processes.world > 1 and any(word in text for word in ("Connection", "gloo", "NCCL", "peer"))
    return ProcessLostError(text) if lost else error


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


def _introduce(session: "Session") -> None:
    from mmpt.cli.console import legible, out

    trainer = session.trainer
    out.print(legible(session.run.source), soft_wrap=True)
    for note in session.notes:
        out.print(legible(note), soft_wrap=True)
    if not trainer.finished:
        out.print(str(trainer.estimate()), soft_wrap=True)


def _conclude(session: "Session") -> None:
    from mmpt.cli.console import legible, out

    trainer = session.trainer
    progress, keeper = trainer.progress, trainer.keeper
    best = "" if progress.best is None else f"; best {keeper.config.best_checkpoint_metric} {progress.best:.4f}"
    told = f"done: {progress.epoch} epochs, {progress.updates:,} updates{best}; in {keeper.folder}/"
    out.print(legible(told), soft_wrap=True)
