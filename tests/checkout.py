"""Checkout: a copy of the project in which tests run the workflow as users do."""

import contextlib
import os
import pty
import re
import shutil
import subprocess
import sys
import termios
from pathlib import Path

from posmlp.study import check_models, load_study

ROOT = Path(__file__).parents[1]
PARTS = ("Snakefile", "config", "posmlp", "profiles", "slurm", "workflow", "pyproject.toml")

STUDY = """\
title: Tiny
question: Does the workflow do what it says?
data: {name: digits, train_fraction: 0.1}
model: {name: gmlp_posgu_xs1_8, gate: sgu}
recipe: {epochs: 1, batch_size: 32, lr: 1e-2, weight_decay: 0.05}
seeds: [0]
reference: sgu
may_not_learn: [sgu, gqpe]
"""
SHEET = "variant\tclaim\tmodel.gate\tmodel.groups\nsgu\tThe reference\t\t\ngqpe\tA form\tgqpe\t4\n"


class Checkout:
    """A copy of the project with a study of two short runs.

    Args:
        fresh: whether to make the copy; if not, it is at `path` already.
        results: name of the results folder.
    """

    def __init__(self, path: Path, fresh: bool = True, results: str = "results") -> None:
        self.path, self.results = path, path / results
        if not fresh:
            return
        path.mkdir(parents=True)
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                skip = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, path / part, ignore=skip)
            else:
                shutil.copy(source, path / part)
        self.edit("config/config.yaml", "results: results", f'results: "{results}"')
        (path / "config/studies/tiny.yaml").write_text(STUDY)
        (path / "config/studies/tiny.tsv").write_text(SHEET)
        self.check_networks("tiny")

    def check_networks(self, study: str) -> None:
        """Check a study's networks here, so that its starts need not import torch."""
        passed = self.path / ".snakemake/posmlp-models"
        check_models(load_study(study, self.path / "config/studies"), passed)

    def audit_one_network(self) -> None:
        """Keep only one network in the audit, because counting all takes half a minute."""
        for name, start in (("published", r"\w+,PosMLP-T,"), ("counterparts", "PosMLP-T,")):
            path = self.path / f"workflow/resources/{name}.csv"
            header, *rows = path.read_text().splitlines(keepends=True)
            path.write_text(header + "".join(row for row in rows if re.match(start, row)))

    def snakemake(
        self, *arguments: str, study: str = "tiny", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in this checkout, with its own posmlp; stdout includes stderr."""
        process = self.start(*arguments, study=study, **variables)
        output, _ = process.communicate(timeout=500)
        return subprocess.CompletedProcess(process.args, process.returncode, output)

    def on_terminal(self, *arguments: str) -> str:
        """Run a command on a terminal of 80 columns; return its output."""
        ours, its = pty.openpty()
        termios.tcsetwinsize(its, (24, 80))
        process = self.start(*arguments, output=its, TERM="xterm")
        os.close(its)
        written = b""
        with contextlib.suppress(OSError):  # how Linux says that the other end is closed
            while some := os.read(ours, 4096):
                written += some
        os.close(ours)
        process.wait(timeout=500)
        return written.decode()

    def start(
        self,
        *arguments: str,
        study: str = "tiny",
        cores: str = "2",
        output: int = subprocess.PIPE,
        **variables: str,
    ) -> subprocess.Popen[str]:
        """Start a command in its own process group, as a terminal does."""
        command = [Path(sys.executable).with_name("snakemake"), *arguments]
        if cores:
            command += ["--cores", cores]
        if study:
            command += ["--config", f"study={study}"]
        environment = os.environ | {"PYTHONPATH": str(self.path), "MPLBACKEND": "agg"}
        environment.pop("MLFLOW_TRACKING_URI", None)
        environment |= variables
        return subprocess.Popen(
            command,
            cwd=self.path,
            env=environment,
            text=True,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def planned(self, *arguments: str) -> dict[str, int]:
        """Number of jobs per rule in a dry run."""
        done = self.snakemake("--dry-run", *arguments)
        assert done.returncode == 0, done.stdout
        lines = (
            done.stdout.split("Job stats:")[-1].splitlines() if "Job stats" in done.stdout else []
        )
        words = [line.split() for line in lines]
        return {
            w[0]: int(w[1]) for w in words if len(w) == 2 and w[1].isdigit() and w[0] != "total"
        }

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.path / name
        text = path.read_text()
        assert old in text, f"{old!r} is not in {name}"
        path.write_text(text.replace(old, new))
