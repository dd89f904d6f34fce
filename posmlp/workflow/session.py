"""Session: one start of a study, from its lock to the summary at the end."""

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
from posmlp.runs.folder_lock import FolderInUse, FolderLock, described
from posmlp.slurm.commands import memory_used
from posmlp.study import RunConfig, Study
from posmlp.workflow.terminal import failures, wants_more, wants_nothing

# Rules that write nothing of a study's: they run beside a start of it.
WITHOUT_A_STUDY = {"audit"}


class StudyLock(FolderLock):
    """Lets one Snakemake at a time work on a study in a results folder.

    Snakemake's own lock does not: any Snakemake that ends in a checkout removes all locks in it.
    """

    def in_use(self, holder: dict[str, Any]) -> FolderInUse:
        return FolderInUse(
            f"the study is running already: {described(holder)} works on {self.path.parent}. Wait "
            "for it, or stop it (Ctrl-C in its terminal, or kill -INT); its runs leave checkpoints"
        )


class Session:
    """What a start of a study does before its first job and after its last."""

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
        """Lock the study, check its data and, on a cluster, its requests.

        Ends Snakemake with a message where the study is running already, data are missing, or Slurm
        would refuse.
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
        if "train" in rules and not wants_nothing(self.workflow):
            watch = Watch(self.study, self.results, starting=True)
            self.display = Display(watch, plain=wants_more(self.workflow))
            self.display.start()
            atexit.register(self.display.stop)  # whatever ends Snakemake

    def lock(self) -> None:
        folder = self.results / "runs" / self.study.name
        lock = StudyLock(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.__enter__()
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
            print("Still stopping; wait for it.", file=sys.stderr)
            return
        self.stopping = True
        print("\nStopping: press Ctrl-C once and wait, runs write checkpoints.", file=sys.stderr)
        if self.workflow.local_exec:  # a second SIGINT would end trainers at once, this does not
            for child in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.terminate()
        raise KeyboardInterrupt

    def end(self) -> None:
        """Report failed runs, the states of all, and jobs that are still in the queue."""
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
