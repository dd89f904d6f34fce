"""Measure the overhead of a whole study, and of a dry run of 2,000 runs.

    python benchmarks/study.py                  # digits, in a temporary folder; some minutes
    python benchmarks/study.py --study digits_switches

- Wall time of the study, from an empty folder to its last file, against the time of all training
  steps divided by the cores (from `images_per_s` in history.csv).
- CPU seconds of the study, also printed by kind of process, against a plain loop: one process that
  takes the same steps on the same batches, tests at the same epochs, and does nothing else. The
  loop must reach exactly the same accuracies.
- CPU seconds of `snakemake -n` with 2,000 runs against 2,000 trivial jobs.

Writes results/bench/study/<hardware>.json, the source of a table in docs/performance.md
(`posmlp docs`). Run it on a quiet machine.
"""

import argparse
import csv
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import timm
import torch
from measure import once, rounded, write
from scale import make_study
from torch import Tensor, nn

from posmlp.analysis.collect import read_frame
from posmlp.code_version import cpu_name
from posmlp.data.data_set import open_data
from posmlp.doctor.timing import Work, compare
from posmlp.study import RunConfig, Study, load_study
from posmlp.study.recipe_settings import Augment
from posmlp.training.batches import BatchSlice
from posmlp.training.memory_batches import memory_batches
from posmlp.training.randomness import derive_seed, generator, seed_globals
from posmlp.training.trainer import make_optimizer

ROOT = Path(__file__).parents[1]
SNAKEMAKE = [str(Path(sys.executable).with_name("snakemake")), "--quiet"]
GOAL, LOOP_GOAL, DRY_RUN_GOAL = 1.25, 1.4, 1.5  # largest ratios
VARIANTS, SEEDS, REPETITIONS = 100, 20, 5  # of the dry run
TEST_BATCH = 256
TRIVIAL = """\
rule all:
    input:
        expand("runs/v{{variant}}/seed{{seed}}/metrics.json", variant=range({0}), seed=range({1})),


rule train:
    output:
        "runs/{{variant}}/seed{{seed}}/metrics.json",
    shell:
        "touch {{output}}"
"""
SPY = "cpu_seconds.txt"  # a line per process of the study: CPU seconds and command
SITECUSTOMIZE = """\
import atexit, os, resource, sys

def say(process=os.getpid()):
    if os.getpid() == process:
        used = [sum(resource.getrusage(resource.RUSAGE_SELF)[:2])]
        # All other processes are children of Snakemake.
        if not any(word.endswith("/snakemake") for word in sys.orig_argv):
            used.append(sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]))
        with open({!r}, "a") as file:
            file.write(f"{{sum(used)}}\\t{{' '.join(sys.orig_argv)}}\\n")

atexit.register(say)
"""


class Taken(NamedTuple):
    """Seconds that a study took, and the accuracies of its runs."""

    to_last_file: float
    to_last_run: float
    cpu: float
    training: float  # all steps
    top1: list[float]


def make_checkout(folder: Path) -> None:
    """Make a folder that runs the workflow of this checkout, with its own results."""
    shutil.copytree(ROOT / "config", folder / "config")
    for name in ("Snakefile", "posmlp", "profiles", "slurm", "workflow"):
        (folder / name).symlink_to(ROOT / name)


def cpu_seconds(work: Work) -> float:
    """CPU seconds of the processes that a piece of work starts and waits for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    work()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def time_study(study: Study, name: str, cores: int, data_root: Path) -> Taken:
    """Run a study from an empty folder; print the CPU seconds of every kind of process."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "study"
        make_checkout(folder)
        (folder / "sitecustomize.py").write_text(SITECUSTOMIZE.format(str(folder / SPY)))
        command = [*SNAKEMAKE, "--cores", str(cores), "--config", f"study={name}"]
        work = partial(
            subprocess.run,
            [*command, f"data_root={data_root.absolute()}"],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(folder), "MPLBACKEND": "agg"},
            stdout=sys.stderr,
            check=True,
        )
        began = time.time()
        cpu_s = cpu_seconds(work)
        ended = time.time()
        by_kind = Counter()
        for line in (folder / SPY).read_text().splitlines():
            used, of = line.split("\t")
            by_kind[kind(of)] += float(used)
        print("".join(f"{used:8.1f} s  {name}\n" for name, used in by_kind.most_common()), end="")
        runs = [run.folder(folder / "results") for run in study.runs()]
        last_run = max((run / "metrics.json").stat().st_mtime for run in runs)
        top1 = read_frame(folder / f"results/{study.name}/runs.csv")["test_top1"].tolist()
        training_s = sum(map(training_seconds, runs))
        return Taken(ended - began, last_run - began, cpu_s, training_s, top1)


def kind(command: str) -> str:
    """The script of a rule, the subcommand of posmlp, or Snakemake itself."""
    found = re.search(r"/scripts/tmp\w+\.(\w+)\.py|-m (posmlp \w+)", command)
    return next(filter(None, found.groups())) if found else "snakemake"


def training_seconds(run: Path) -> float:
    """Seconds of all training steps of a finished run, without testing."""
    num_train = json.loads((run / "metrics.json").read_text())["num_train"]
    with (run / "history.csv").open(newline="") as file:
        return sum(num_train / float(row["images_per_s"]) for row in csv.DictReader(file))


def loop(configs: list[RunConfig], data_root: Path) -> tuple[list[float], float]:
    """Train in a plain loop; return the accuracies and the CPU seconds of this process."""
    torch.set_num_threads(1)
    return [train(config, data_root) for config in configs], time.process_time()


def train(config: RunConfig, data_root: Path) -> float:
    """Train one network; return its test top-1 after the last epoch."""
    recipe = config.recipe
    seed_globals(derive_seed(config.seed, "init"))
    model = timm.create_model(**config.model_arguments())
    opened = open_data(config.data, recipe.augment, data_root)
    batches = BatchSlice(recipe.batch_size)
    splits = memory_batches(opened, config.data, recipe.augment, batches, torch.device("cpu"))
    images = {
        name: (split.normalised(split.pixels_NCHW), split.labels_N)
        for name, split in splits.present().items()
    }
    images_NCHW, labels_N = images["train"]
    num_steps = len(labels_N) // recipe.batch_size
    optimizer, scheduler = make_optimizer(recipe, model, num_steps)
    loss_fn = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    for epoch in range(recipe.num_epochs):
        model.train()
        order = torch.randperm(len(labels_N), generator=generator(config.seed, "order", epoch))
        for step, index in enumerate(order.split(recipe.batch_size)[:num_steps]):
            scheduler.step_update(epoch * num_steps + step)
            optimizer.zero_grad()
            loss_fn(model(images_NCHW[index]), labels_N[index]).backward()
            if recipe.clip_grad:  # in the order of the trainer, for the same last digits
                groups = optimizer.param_groups
                nn.utils.clip_grad_norm_([p for g in groups for p in g["params"]], recipe.clip_grad)
            optimizer.step()
        if recipe.evaluates(epoch):
            top1 = {name: test(model, *images[name]) for name in images if name != "train"}
    return top1["test"]


@torch.inference_mode()
def test(model: nn.Module, images_NCHW: Tensor, labels_N: Tensor) -> float:
    """Top-1 in percent."""
    model.eval()
    batches = zip(images_NCHW.split(TEST_BATCH), labels_N.split(TEST_BATCH), strict=True)
    right = sum((model(images).argmax(1) == labels).sum().item() for images, labels in batches)
    return 100 * right / len(labels_N)


def compare_dry_runs() -> dict:
    """CPU seconds of dry runs: a study against as many trivial jobs."""
    with tempfile.TemporaryDirectory() as name:
        study, trivial = Path(name) / "study", Path(name) / "trivial"
        make_checkout(study)
        make_study(study / "config/studies", VARIANTS, SEEDS, epochs=20)
        trivial.mkdir()
        (trivial / "Snakefile").write_text(TRIVIAL.format(VARIANTS, SEEDS))
        (trivial / "profiles").symlink_to(ROOT / "profiles")
        command = [*SNAKEMAKE, "--cores", "2", "-n"]
        run = partial(subprocess.run, capture_output=True, check=True)
        ours = partial(run, [*command, "--config", "study=many"], cwd=study)
        # The study is `other`, so that the ratio is its time over that of trivial jobs.
        found = asdict(compare(partial(run, command, cwd=trivial), ours, REPETITIONS, cpu_seconds))
    return found | dict(ours_s=found["other_s"], other_s=found["ours_s"])


def rows(name: str, cores: int, data_root: Path) -> Iterator[dict]:
    """Measure row by row."""
    study = load_study(name)
    taken = time_study(study, name, cores, data_root)
    against = f"study {study.name}, from nothing to {{}}, against its training steps".format
    measured = [
        (against("its last file"), GOAL, taken.to_last_file, taken.training / cores),
        (against("the end of its last run"), None, taken.to_last_run, taken.training / cores),
    ]
    if all(is_plain(config) for config in study.runs()):
        with get_context("spawn").Pool(1) as pool:
            top1, loop_s = pool.apply(loop, (study.runs(), data_root))
        if top1 != taken.top1:
            sys.exit(f"the loop reached other accuracies: {top1} instead of {taken.top1}")
        text = f"study {study.name}, CPU seconds, against a plain loop"
        measured.append((text, LOOP_GOAL, taken.cpu, loop_s))
    for text, goal, ours_s, other_s in measured:
        yield row(text, goal, once(ours_s / other_s) | dict(ours_s=ours_s, other_s=other_s))
    text = f"dry run of {VARIANTS * SEEDS:,} runs, against as many trivial jobs"
    yield row(text, DRY_RUN_GOAL, compare_dry_runs())


def is_plain(config: RunConfig) -> bool:
    """Whether the loop can train it: no augmentation, Mixup or averaged weights."""
    recipe = config.recipe
    return recipe.augment == Augment() and not (recipe.mixup or recipe.cutmix or recipe.ema_decay)


def row(name: str, target: float | None, found: dict) -> dict:
    """A row, as stored; here the ratio is our time over that of the reference."""
    met = None if target is None else found["ratio"] <= target
    return rounded(dict(name=name, device="CPU", dtype="float32", target=target, met=met) | found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--study", default="digits")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--results", type=Path, default=Path("results"))
    arguments = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    measured = []
    for values in rows(arguments.study, cores, arguments.data_root):
        print(f"{values['name']}: {values['ratio']:.2f}, goal {values['target']}", flush=True)
        measured.append(values)
    content = {"hardware": f"{cpu_name()}, {cores} cores", "rows": measured}
    write(content, arguments.results / "bench/study")


if __name__ == "__main__":
    main()
