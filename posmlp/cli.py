"""The command `posmlp`: every subcommand is a function of its arguments.

Each function imports what it needs, so that `posmlp show` does not wait for torch and
`posmlp doctor` works without pydantic.
"""

import argparse
import math
import re
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from posmlp import __version__
from posmlp.user_errors import DIFFERENT, reporting_errors

if TYPE_CHECKING:
    from posmlp.config import Settings
    from posmlp.study import Study

COMMANDS = {}  # by name: function, summary, names in OPTIONS


def from_to(kind: type, low: float, high: float = math.inf) -> Callable[[str], float]:
    """Parser of a number between two limits."""

    def number(text: str) -> float:
        if not low <= kind(text) <= high:
            raise argparse.ArgumentTypeError(f"{text} is not a number from {low:g} to {high:g}")
        return kind(text)

    return number


FOLDER, COUNT, TIME = dict(type=Path, metavar="DIR"), from_to(int, 0), from_to(float, 1e-3)


def run_name(text: str) -> tuple[str, int]:
    """Parse VARIANT/seedK, the name of a run and of its folder."""
    if not (found := re.fullmatch(r"(.+)/seed(\d+)", text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not VARIANT/seedK, such as sgu/seed0")
    return found[1], int(found[2])


def part_of(text: str) -> tuple[int, int]:
    """Parse 2/5, the second of five equal parts."""
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is not K/N with K from 1 to N, such as 2/5")
    return int(found[1]), int(found[2])


OPTIONS = {
    "study": dict(metavar="STUDY", help="name of a study, or path of its file"),
    "studies": dict(nargs="*", metavar="STUDY", help="names or paths (default: all with results)"),
    "file": dict(type=Path, metavar="FILE.pth", help="released checkpoint"),
    "data": dict(type=Path, metavar="DATA", help="folder with val/<class>/"),
    "--results": FOLDER | dict(help="folder of results (default: see config.yaml)"),
    "--data-root": FOLDER | dict(help="folder of the data sets (default: see config.yaml)"),
    "--device": dict(choices=("auto", "cpu", "cuda"), default="auto", help="default: auto"),
    "--threads": dict(type=COUNT, default=1, metavar="N", help="CPU threads (default: 1)"),
    "runs": dict(nargs="*", type=run_name, metavar="VARIANT/seedK", help="runs (default: all)"),
    "--part": dict(
        type=part_of, default=(1, 1), metavar="K/N", help="train only the K-th of N equal parts"
    ),
    "--runs-at-once": dict(
        type=from_to(int, 1), metavar="N", help="default: one per GPU, or per core without GPUs"
    ),
    "--launch": dict(
        metavar="COMMAND", help="launcher of runs on several GPUs (default: torchrun)"
    ),
    "--in-process": dict(
        action="store_true", help="train one run in this process; torchrun and srun use this"
    ),
    "--seed": dict(type=int, default=0, help="seed of the sample (default: 0)"),
    "--checkpoint-minutes": dict(
        type=TIME,
        default=10.0,
        metavar="MINUTES",
        help="minutes between checkpoints within an epoch (default: 10); each epoch ends with one",
    ),
    "--cluster": dict(action="store_true", help="plan for the cluster in slurm/site.yaml"),
    "--like": dict(metavar="STUDY", help="take the standard deviation over seeds from this study"),
    "--so-far": dict(action="store_true", help="use the runs finished so far"),
    "--sample": dict(
        type=COUNT, default=2, metavar="RUNS", help="runs to retrain per study (default: 2)"
    ),
    "--every": dict(type=TIME, metavar="SECONDS", help="repeat at this interval until stopped"),
    "--port": dict(type=from_to(int, 1, 65535), default=5000, help="default: 5000"),
    "--host": dict(help="address of this machine, to serve others too; no password"),
    "--weights": dict(choices=("ema", "raw"), help="default: ema if present"),
    "--max-unreadable": dict(
        type=COUNT, default=0, metavar="N", help="damaged files to skip (default: 0)"
    ),
}


def load_study(name: str) -> "Study":
    from posmlp.study import load_study

    return load_study(name)


def default_settings(**options: bool) -> "Settings":
    from posmlp.config import default_settings

    return default_settings(**options)


def command(name: str, summary: str, options: str) -> Callable:
    """Register a function of the parsed arguments as `posmlp NAME`."""

    def register(function: Callable[[Namespace], int | None]) -> Callable:
        COMMANDS[name] = function, summary, options.split()
        return function

    return register


@command("doctor", "check this machine: GPUs, precision, training, speed", "--device")
def doctor(arguments: Namespace) -> int:
    from posmlp.doctor.diagnose import diagnose

    return 0 if diagnose(arguments.device) else DIFFERENT


@command(
    "plan",
    "print the cost of a study and the power of its seeds",
    "study --results --cluster --like",
)
def plan(arguments: Namespace) -> None:
    from posmlp.plan.estimate import capacity_of
    from posmlp.plan.plan_text import plan_text

    study = load_study(arguments.study)
    capacity = capacity_of(default_settings(cluster=arguments.cluster), study)
    print(plan_text(study, arguments.results, capacity, arguments.like))


@command(
    "calibrate",
    "measure how fast a study trains, for `posmlp plan`",
    "study --data-root --device --threads --results",
)
def calibrate(arguments: Namespace) -> None:
    study = load_study(arguments.study)
    import torch

    from posmlp.plan.calibrate import calibrate_study

    torch.set_num_threads(arguments.threads)
    calibrate_study(study, arguments.results, arguments.data_root, arguments.device)


@command("prepare", "download and check the data of a study", "study --data-root --results")
def prepare(arguments: Namespace) -> None:
    from posmlp.data.prepare import prepare_study

    study = load_study(arguments.study)
    record = arguments.results / study.name / "prepared.json"
    prepare_study(study, str(arguments.data_root), record)


@command(
    "train",
    "train runs of a study",
    "study runs --part --runs-at-once --data-root --device --threads --results "
    "--checkpoint-minutes --launch --in-process",
)
def train(arguments: Namespace) -> int:
    from posmlp.runs.command import train_runs

    return train_runs(arguments)


@command("show", "print the main table of a study", "study --results --so-far")
def show(arguments: Namespace) -> None:
    from posmlp.analysis.documents import printed

    print(printed(load_study(arguments.study), arguments.results, so_far=arguments.so_far))


@command("watch", "follow the progress of a study until it ends", "study --results")
def watch(arguments: Namespace) -> None:
    from posmlp.progress.display import Display
    from posmlp.progress.state import Watch

    Display(Watch(load_study(arguments.study), arguments.results)).follow()


@command(
    "check-results", "reproduce committed results", "studies --data-root --results --sample --seed"
)
def check_results(arguments: Namespace) -> int:
    from posmlp.recheck import check_results

    folders = arguments.results, arguments.data_root
    found = check_results(arguments.studies, *folders, arguments.sample, arguments.seed)
    return DIFFERENT if found else 0


@command("audit", "compare published numbers with ours", "--results")
def audit(arguments: Namespace) -> None:
    from posmlp.analysis.audit import audit, summary, write_audit
    from posmlp.published import RESOURCES

    compared, folder = audit(arguments.results, RESOURCES), arguments.results / "audit"
    write_audit(compared, folder)
    print(f"{summary(compared)}\nTables: {folder}/audit.md   Page: {folder}/audit.html")


@command("docs", "update generated parts of README, docs and config", "--results")
def docs(arguments: Namespace) -> None:
    from posmlp.analysis.documents import documents, renew
    from posmlp.config_readme import README, SCHEMAS, renew_tables, schema

    texts = {path: schema(model) for path, model in SCHEMAS.items()}
    for path in documents(Path()):
        try:
            texts[path] = renew(path.read_text("utf-8"), arguments.results, Path("config/studies"))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    texts[README] = renew_tables(README.read_text("utf-8"))
    for path, text in texts.items():
        unchanged = path.read_text("utf-8") == text
        if not unchanged:
            path.write_text(text, "utf-8")
        print(f"{path}: {'unchanged' if unchanged else 'updated'}")


@command("sync", "update MLflow from the run folders", "studies --results --every")
def sync(arguments: Namespace) -> None:
    from posmlp.tracking.sync import rounds

    for _ in rounds(arguments.results, arguments.studies, patient=arguments.every is not None):
        if arguments.every is None:
            return
        time.sleep(arguments.every)


@command("ui", "open the MLflow UI on this machine", "--results --port --host")
def ui(arguments: Namespace) -> None:
    from posmlp.tracking.ui import serve

    serve(arguments.results, arguments.port, arguments.host)


@command(
    "evaluate-checkpoint",
    "test a checkpoint of the released code on ImageNet",
    "file data --device --weights --max-unreadable",
)
def evaluate_checkpoint(arguments: Namespace) -> None:
    from posmlp.released.evaluate import evaluate_checkpoint
    from posmlp.training.distributed import join_world

    world, limit = join_world(arguments.device), arguments.max_unreadable
    print(evaluate_checkpoint(arguments.file, arguments.data, arguments.weights, world, limit))


def main(arguments: list[str] | None = None) -> int:
    """Run a subcommand and return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # for terminals without the minus sign
    options = build_parser().parse_args(arguments)

    def run() -> int | None:
        unnamed = [name for name in ("results", "data_root") if getattr(options, name, "") is None]
        settings = default_settings() if unnamed else None
        for name in unnamed:
            setattr(options, name, Path(getattr(settings, name)))
        return options.function(options)

    return reporting_errors(run)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="posmlp",
        description="Train, compare and track the gating units of PosMLP. `snakemake` runs a whole "
        "study; each of these commands does one step.",
        epilog="STUDY is the name of a file in config/studies without .yaml, or a path. "
        "`posmlp COMMAND --help` lists the options of a command.",
    )
    parser.add_argument("--version", action="version", version=f"posmlp {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, (function, summary, options) in COMMANDS.items():
        text = f"{summary[0].upper()}{summary[1:]}."
        sub = commands.add_parser(name, help=summary, description=text, allow_abbrev=False)
        for flag in options:
            sub.add_argument(flag, **OPTIONS[flag])
        sub.set_defaults(function=function)
    return parser
