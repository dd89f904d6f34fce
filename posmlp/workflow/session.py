"""Session: one start of a study, from its lock to the final summary."""

import atexit
import contextlib
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from posmlp.config import Settings
from posmlp.progress.display import Display
from posmlp.progress.state import Watch
from posmlp.progress.view import line
from posmlp.runs.folder_lock import FolderInUse, FolderLock
from posmlp.slurm.commands import memory_used
from posmlp.study import RunConfig, Study
from posmlp.workflow.terminal import failures, is_quiet, is_verbose

# Rules that write nothing of a study, so they may run while the study does.
WITHOUT_A_STUDY = {"audit"}


class Session:
    """Everything that a start of a study does before its first job and after its last."""

    def __init__(
        self,
        workflow: Any,
        settings: Settings,
        study: Study,
        packs: Sequence[Sequence[RunConfig]],
    ) -> None:
        self.workflow, self.settings, self.study = workflow, settings, study
        self.packs = packs  # the runs of each job that trains
        self.results = Path(settings.results)
        self.stopping = False
        self.display = None  # of runs in training
        self.executor = None  # of Slurm, once it is adapted

    def start(self) -> None:
        """Lock the study, check its data and, on a cluster, its job requests.

        Exits with a message if the study is running already, data are missing, or Slurm would
        refuse a job.
        """
        jobs = list(self.workflow.dag.needrun_jobs())
        rules = {job.rule.name for job in jobs}
        try:
            if rules - WITHOUT_A_STUDY:
                self.lock()
            if rules & {"train", "calibrate"}:
                self.prepare()
            if self.workflow.executor_plugin.name == "slurm":
                from posmlp.slurm.executor import adapt, before_submitting

                self.executor = adapt(self.workflow, self.study.name, self.results, self.packs)
                before_submitting(self.executor, [job for job in jobs if not job.is_local])
        except ValueError as error:
            sys.exit(f"error: {error}\nNothing has been started.")
        signal.signal(signal.SIGINT, self.interrupt)
        if "train" in rules and not is_quiet(self.workflow):
            watch = Watch(self.study, self.results, starting=True)
            self.display = Display(watch, plain=is_verbose(self.workflow))
            self.display.start()
            atexit.register(self.display.stop)  # however Snakemake exits

    def lock(self) -> None:
        """Lock the study's folder of runs.

        Snakemake's own lock is not enough: every Snakemake that exits in a checkout removes all
        locks in it.
        """
        folder = self.results / "runs" / self.study.name
        lock = FolderLock(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.__enter__()
        except FolderInUse as error:
            raise ValueError(
                f"the study is running already: {error.holder} works on {folder}. Wait for it, or "
                "stop it (Ctrl-C in its terminal, or kill -INT); its runs leave checkpoints"
            ) from None
        except OSError as error:
            raise ValueError(f"{error.filename}: cannot be written: {error.strerror}") from None
        atexit.register(lock.__exit__, None, None, None)

    def prepare(self) -> None:
        command = [sys.executable, "-m", "posmlp", "prepare", self.settings.study]
        command += ["--results", str(self.results), "--data-root", self.settings.data_root]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise ValueError(done.stderr.strip().removeprefix("error: "))

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        """Handle Ctrl-C: stop once, however often it is pressed."""
        if self.stopping:
            print("Still stopping: please wait.", file=sys.stderr)
            return
        self.stopping = True
        print("\nStopping: please wait while runs write checkpoints.", file=sys.stderr)
        if self.workflow.local_exec:  # SIGTERM: a second SIGINT would kill trainers
            for child in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.terminate()
        raise KeyboardInterrupt

    def end(self) -> None:
        """Print failed runs, the states of all runs, and jobs that could not be cancelled."""
        failed = self.workflow.scheduler.failed
        lines = sorted(text for job in failed for text in failures(job.rule.name, job.log))
        if self.display:
            self.display.stop()
            lines.append(line(self.display.watch.look()))
        if self.executor and self.executor.submitted:
            lines += filter(None, [memory_used(self.executor.submitted)])
        if self.executor and self.stopping:
            try:
                self.executor.cancel_left()
            except ValueError as error:
                lines.append(f"warning: {error}")
        if lines:
            print("\n".join(lines), file=sys.stderr)
