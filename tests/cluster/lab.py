"""The test cluster: submissions, user actions and faults."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from checkout import Checkout

LAB = Path(os.environ.get("SLURM_LAB", "/nowhere"))
# Status checks start 2 s after a submission; on a real cluster later.
SOON = "--slurm-init-seconds-before-status-checks", "2", "--max-status-checks-per-second", "1"
SITE = {"cpus": 1, "mem_gb": 2}  # one thread, as in a local run: sums are equal bit for bit


def command(*words: str) -> str:
    """Run one of Slurm's commands."""
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout


def is_up() -> bool:
    """Whether the controller answers."""
    return subprocess.run(["scontrol", "ping"], capture_output=True).returncode == 0


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Poll a condition until it is true and return its value; fail with `what` after a timeout."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"in {seconds} s never: {what}"
        time.sleep(0.3)
    return found


class Submission:
    """`snakemake --profile slurm` in a checkout, for one study."""

    def __init__(
        self,
        checkout: Checkout,
        *arguments: str,
        study: str = "tiny",
        start: bool = True,
        **site: Any,
    ) -> None:
        self.checkout, self.study = checkout, study
        self.slow = checkout.path / "slow"  # conftest.py says what it does
        self.slow.touch()
        self.arguments = (
            *("--profile", "slurm", *SOON, *arguments),
            *("--config", f"study={study}", "tracking=false", f"slurm={json.dumps(SITE | site)}"),
        )
        self.process = None
        if start:
            self.start()

    def start(self) -> None:
        self.process = self.checkout.start(*self.arguments, study="", cores="")
        self.output = ""

    def finish(self, seconds: float = 400) -> None:
        """Let runs train at full speed, and wait for a successful end."""
        self.slow.unlink()
        assert self.wait(seconds) == 0, self.output

    def wait(self, seconds: float) -> int:
        """Wait for the end and return the exit status; stop and fail after a timeout."""
        try:
            self.output, _ = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGINT)
            self.output, _ = self.process.communicate(timeout=60)
            raise AssertionError(f"still there after {seconds} s:\n{self.output}") from None
        return self.process.returncode

    def submitted(self) -> int:
        """The number of submitted jobs."""
        return len(re.findall(r"^Slurm job \d+: ", self.output, re.MULTILINE))

    def jobs(self) -> dict[str, str]:
        """Numbers and states of this checkout's pending and running jobs.

        A job that has ended is COMPLETING for a moment, while its node tidies up.
        """
        lines = command("squeue", "--noheader", "--format=%i|%T|%Z").splitlines()
        jobs = [line.split("|") for line in lines]
        return {
            job: state
            for job, state, folder in jobs
            if Path(folder) == self.checkout.path and state != "COMPLETING"
        }

    def trainer(self, seconds: float = 240) -> psutil.Process:
        """The training process of a run after its first checkpoint."""
        self.run_folder(seconds)
        return wait_for(self.trainers, seconds, "a trainer")[0]

    def job_under_way(self) -> str:
        """The number of the study's only job, after its first checkpoint."""
        self.trainer()
        (job,) = self.jobs()
        return job

    def trainers(self) -> list[psutil.Process]:
        """The training processes: children of `posmlp train` of a job."""
        parents = {}
        for process in psutil.process_iter():
            try:
                words = process.cmdline()
                here = process.cwd() == str(self.checkout.path)
                if here and words[1:4] == ["-m", "posmlp", "train"]:
                    parents[process] = process.ppid()
            except psutil.Error:
                continue
        pids = {process.pid for process in parents}
        return [process for process, parent in parents.items() if parent in pids]

    def run_folder(self, seconds: float = 240) -> Path:
        """The folder of a run that has written a checkpoint."""
        runs = self.checkout.path / "results/runs" / self.study
        pattern = "*/seed*/checkpoint-*.pt"
        found = wait_for(lambda: sorted(runs.glob(pattern)), seconds, f"a checkpoint in {runs}")
        return found[0].parent

    def metrics(self, variant: str = "sgu", seed: int = 0) -> dict[str, Any]:
        """The final metrics of a run."""
        path = f"results/runs/{self.study}/{variant}/seed{seed}/metrics.json"
        return json.loads((self.checkout.path / path).read_text())


def train_here(checkout: Checkout, study: str, *runs: str, results: str = "results") -> None:
    """Train runs outside the cluster, with the checkout's own posmlp."""
    words = [sys.executable, "-m", "posmlp", "train", study, *runs, "--results", results]
    done = subprocess.run(words, cwd=checkout.path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def planned(checkout: Checkout, **site: Any) -> str:
    """The output of `posmlp plan tiny --cluster`."""
    (checkout.path / "slurm/site.yaml").write_text(
        json.dumps({"slurm": {"partition": "gpu"} | SITE | site})
    )
    words = [sys.executable, "-m", "posmlp", "plan", "tiny", "--cluster"]
    done = subprocess.run(words, cwd=checkout.path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def shown(job: str) -> str:
    """The output of `scontrol show job`."""
    return command("scontrol", "show", "job", job)


def node_of(job: str) -> str:
    found = re.search(r"^ +NodeList=(\S+)", shown(job), re.MULTILINE)
    assert found, shown(job)
    return found[1]


def kill_daemon(node: str) -> None:
    """Kill a node's slurmd; its jobs continue."""
    os.kill(int((LAB / f"run/slurmd-{node}.pid").read_text()), signal.SIGKILL)


def start_daemon(node: str) -> None:
    command("slurmd", "-N", node)


def bring_back(node: str) -> None:
    """Resume a node; Slurm refuses if it is not down."""
    subprocess.run(["scontrol", "update", f"node={node}", "state=resume"], capture_output=True)


def power_off(node: str) -> None:
    """Kill all processes of a node: slurmd, job steps and their children."""
    kill_daemon(node)
    for _ in range(3):
        for process in psutil.process_iter():
            try:
                of_node = process.environ().get("SLURMD_NODENAME") == node or (
                    "slurmstepd: [" in " ".join(process.cmdline())
                    and any(f"spool-{node}" in f.path for f in process.open_files())
                )
                if of_node:
                    process.kill()
            except psutil.Error:
                continue
        time.sleep(0.2)
