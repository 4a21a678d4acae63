"""`mmpt launch`: write a project's files, and run the jobs of YAML files."""

import argparse
import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmpt.config.vocabulary import JOB_TYPES

if TYPE_CHECKING:
    from mmpt.config.project import Project

EXAMPLES = """examples:
  mmpt launch projects/retri/videoclip.yaml --dryrun
  mmpt launch projects/retri/videoclip/how2.yaml --jobtype local_small
  mmpt launch projects/mtm/vlm/test_vtt.yaml,projects/mtm/vlm/test_coin.yaml
  mmpt launch projects/mtm/vlm/vtt.yaml --jobtype local_big dataset.dup=5

A project's file makes one file for each task, under projects/<project_dir>/;
with --dryrun that is all, without it the stages of run_task then run in order.
A task's file runs: local_single, local_small and local_big train with 1, 2 and
8 processes, local_predict evaluates. Without --jobtype its task_type decides.
`python locallaunch.py` takes the same words.
"""
INTERRUPTED, TERMINATED = 130, 143  # what a shell gives after Ctrl-C and SIGTERM
PATIENCE = "600"  # seconds that torchrun lets processes keep what is done when they are asked to stop; its own is 30
ERROR = 2  # exit code for bad input


@dataclass(frozen=True)
class Job:
    """What runs for one YAML file.

    Args:
        path: the file.
        job_type: one of `JOB_TYPES`.
        overrides: ``key=value`` pairs.
        check: only prepare and check.
        from_scratch: let a training that would start from BERT's weights start from random ones.
    """

    path: Path
    job_type: str
    overrides: tuple[str, ...] = ()
    check: bool = False
    from_scratch: bool = False

    @property
    def processes(self) -> int:
        """How many train; 0 for an evaluation."""
        return JOB_TYPES[self.job_type]

    @property
    def command(self) -> tuple[str, ...]:
        """The words of the command."""
        spread = ["-m", "mmpt.cli.spread", "--standalone", "--nproc-per-node", str(self.processes)]
        what = "train" if self.processes else "evaluate"
        words = [*(spread if self.processes > 1 else []), "-m", "mmpt", what, str(self.path), *self.overrides]
        scratch = ["--from-scratch"] if self.from_scratch and self.processes else []
        return (sys.executable, *words, *scratch, *(["--check"] if self.check else []))


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.epilog = EXAMPLES
    parser.add_argument("yaml", metavar="YAML[,YAML...]", help="a project's file, or tasks' files, run one by one")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="values to set, such as dataset.max_len=64")
    parser.add_argument("--jobtype", choices=tuple(JOB_TYPES), help="how to run (the file's task_type)")
    parser.add_argument("--dryrun", action="store_true", help="print the commands (of a project: write the files) only")
    parser.add_argument("--check", action="store_true", help="let the jobs prepare and check only")
    parser.add_argument("--from-scratch", action="store_true", help="train from random weights where BERT's are meant")
    parser.add_argument("--keep-going", action="store_true", help="go on with the other files when one fails")


def run(args: argparse.Namespace) -> int:
    """Write a project's files; print and run the commands.

    Returns:
        0, or the exit code of the first job that failed.
    """
    from mmpt.cli.console import out
    from mmpt.config.project import is_project, read_project
    from mmpt.config.tree import read_tree

    projects: list[Project] = []
    jobs: list[Job] = []
    for path in _paths(args.yaml):
        tree = read_tree(path)
        if is_project(tree):
            project = read_project(path, args.overrides, checks=_checks(), tree=tree)
            projects.append(project)
            jobs.extend([] if args.dryrun else _stage_jobs(project, args.jobtype))
        else:
            jobs.append(_task_job(path, args.jobtype, args.overrides))
    for project in projects:
        for written in _write(project):
            out.print(f"saving {written}", soft_wrap=True)
    jobs = [replace(job, check=args.check, from_scratch=args.from_scratch) for job in jobs]
    if not args.dryrun:
        return run_jobs(jobs, keep_going=args.keep_going)
    for job in jobs:
        out.print(f"launching {shlex.join(job.command)}", soft_wrap=True)
    return 0


def run_jobs(jobs: Sequence[Job], *, keep_going: bool = False) -> int:
    """Run jobs one after the other; what they print goes where ours does.

    Args:
        jobs: what to run.
        keep_going: run the others when one fails.

    Returns:
        0, or the exit code of the first that failed.
    """
    from mmpt.cli.console import out

    failed: dict[Path, int] = {}
    for number, job in enumerate(jobs, 1):
        count = f"[{number}/{len(jobs)}] " if len(jobs) > 1 else ""
        out.print(f"{count}launching {shlex.join(job.command)}", soft_wrap=True)
        sys.stdout.flush()
        if (code := _run(job)) == 0:
            continue
        failed[job.path] = code
        sys.stderr.write(f"mmpt: {job.path} failed with exit code {code}\n")
        if code in (INTERRUPTED, TERMINATED) or not keep_going:
            _tell_left_out(jobs[number:])
            break
    return next(iter(failed.values()), 0)


def _run(job: Job) -> int:
    """Run a job to its end; a signal becomes the exit code that a shell gives."""
    from mmpt.cli.preparing import check_file

    try:  # what is wrong with a file is told once, and not by each of its processes
        check_file(job.path, job.overrides, evaluation=not job.processes)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"mmpt: error: {error}\n")
        return ERROR
    threads = str(max(1, (os.cpu_count() or 1) // max(1, job.processes)))
    defaults = {"OMP_NUM_THREADS": threads, "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": PATIENCE}
    with subprocess.Popen(job.command, env={**defaults, **os.environ}) as process, _passed_on(process):
        try:
            code = process.wait()
        except KeyboardInterrupt:  # the terminal sent it to the job as well: let it end in its own way
            process.wait()
            return INTERRUPTED
    return code if code >= 0 else 128 - code


@contextlib.contextmanager
def _passed_on(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Ask a job to stop where we are asked to, in place of ending and leaving it alone."""
    before = signal.signal(signal.SIGTERM, lambda number, frame: process.send_signal(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _tell_left_out(jobs: Sequence[Job]) -> None:
    if jobs:
        listed = ", ".join(str(job.path) for job in jobs)
        sys.stderr.write(f"mmpt: not run: {listed} (--keep-going runs the others all the same)\n")


def _paths(text: str) -> list[Path]:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise ValueError(f"{text!r} names no file between two commas; write a.yaml,b.yaml")
    return [Path(name) for name in names]


def _checks() -> tuple[Any, ...]:
    from mmpt.cli.checking import check_names

    return (check_names,)  # a job looks for its files itself: those of a later stage may be still to come


def _task_job(path: Path, given: str | None, overrides: Sequence[str]) -> Job:
    from mmpt.config.load import load_config

    task = load_config(path, overrides, checks=_checks()).task
    return Job(path, _job_type(path, given, task.task_type), tuple(overrides))


def _stage_jobs(project: "Project", given: str | None) -> list[Job]:
    """List the jobs of a project's stages; files that evaluate do so, the others run as is asked for."""
    types = {file.path: file.values.get("task_type") for file in project.files}
    jobs = []
    for path in (path for stage in project.stages for path in stage):
        chosen = "local_predict" if types[path] == "local_predict" else given
        jobs.append(Job(path, _job_type(path, chosen, types[path])))
    if not jobs:
        raise ValueError(f"{project.source} has no run_task, so there is nothing to run; --dryrun writes its files")
    return jobs


def _job_type(path: Path, given: str | None, written: Any) -> str:
    if given is None and written not in JOB_TYPES:
        about = f"task_type is {written!r}, a job of a cluster" if written else "there is no task_type"
        raise ValueError(f"{path}: {about}; say how to run it here: --jobtype {'|'.join(JOB_TYPES)}")
    return given or written


def _write(project: "Project") -> list[Path]:
    """Write a project's files, each at once or not at all."""
    from mmpt.utils.files import atomic_path

    for file in project.files:
        with atomic_path(file.path) as temporary:
            temporary.write_text(file.text(project.source), encoding="utf-8")
    return [file.path for file in project.files]
