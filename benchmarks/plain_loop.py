"""Run a study, and train the same networks in a plain loop; CPU seconds of both, side by side.

    python benchmarks/plain_loop.py                       # digits; minutes
    python benchmarks/plain_loop.py --study digits_switches

The loop is one process with one thread. It takes the same steps on the same batches, tests when the
study does, and does nothing else: no records, checkpoints, tables, figures or MLflow. It must reach
the study's accuracies to the last digit, or it did not do the same work. The goal for the default
study, from an empty folder to its last file, is at most 1.4 times the loop's CPU seconds and at
most 100 s on 2 cores.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path

import timm
import torch
from dry_run import SNAKEMAKE, cpu_seconds, make_checkout
from torch import Tensor, nn

from posmlp.analysis.collect import read_frame
from posmlp.data.data_set import open_data
from posmlp.study import RunConfig, load_study
from posmlp.study.recipe_settings import Augment
from posmlp.training.batches import BatchSlice
from posmlp.training.memory_batches import memory_batches
from posmlp.training.randomness import derive_seed, generator, seed_globals
from posmlp.training.trainer import make_optimizer

GOAL, GOAL_S = 1.4, 100
TEST_BATCH = 256
SPY = "cpu_seconds.txt"  # a line for each process of the study: seconds and its command
SITECUSTOMIZE = """\
import atexit, os, resource, sys

def say(process=os.getpid()):
    if os.getpid() == process:
        used = [sum(resource.getrusage(resource.RUSAGE_SELF)[:2])]
        # The children of Snakemake are all others.
        if not any(word.endswith("/snakemake") for word in sys.orig_argv):
            used.append(sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]))
        with open({!r}, "a") as file:
            file.write(f"{{sum(used)}}\\t{{' '.join(sys.orig_argv)}}\\n")

atexit.register(say)
"""


def train(config: RunConfig, data_root: Path) -> float:
    """Train one network and give its top-1 on test images after the last epoch."""
    recipe = config.recipe
    if recipe.augment != Augment() or recipe.mixup or recipe.cutmix or recipe.ema_decay:
        raise ValueError(f"{config.study}: the loop has no augmentation, Mixup or averaged weights")
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
            if recipe.clip_grad:
                nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_grad)
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


def loop(study: str, data_root: Path) -> None:
    """Train every run of a study; print the accuracies as JSON."""
    torch.set_num_threads(1)
    runs = load_study(study).runs()
    print(json.dumps([train(config, data_root) for config in runs]))


def time_loop(arguments: argparse.Namespace) -> tuple[list[float], float, float]:
    """Run the loop in a process of its own; give its accuracies, CPU seconds and seconds."""
    command = [sys.executable, __file__, "--loop", "--study", arguments.study]
    command += ["--data-root", str(arguments.data_root)]
    done = []
    started = time.perf_counter()
    cpu_s = cpu_seconds(lambda: done.append(subprocess.check_output(command)))
    return json.loads(done[0]), cpu_s, time.perf_counter() - started


def time_study(arguments: argparse.Namespace) -> tuple[list[float], float, float]:
    """Run the study from an empty folder; give its accuracies, CPU seconds and seconds.

    Prints the CPU seconds of every kind of process.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "study"
        make_checkout(folder)
        (folder / "sitecustomize.py").write_text(SITECUSTOMIZE.format(str(folder / SPY)))
        settings = [f"study={arguments.study}", f"data_root={arguments.data_root.absolute()}"]
        run = partial(
            subprocess.run,
            [*SNAKEMAKE, "--config", *settings],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(folder), "MPLBACKEND": "agg"},
            stdout=sys.stderr,
            check=True,
        )
        started = time.perf_counter()
        cpu_s = cpu_seconds(run)
        seconds = time.perf_counter() - started
        by_kind = Counter()
        for line in (folder / SPY).read_text().splitlines():
            used, command = line.split("\t")
            by_kind[kind(command)] += float(used)
        print("".join(f"{used:8.1f} s  {name}\n" for name, used in by_kind.most_common()), end="")
        runs = read_frame(folder / f"results/{load_study(arguments.study).name}/runs.csv")
        return runs["test_top1"].tolist(), cpu_s, seconds


def kind(command: str) -> str:
    """The script of a rule, the subcommand of posmlp, or Snakemake itself."""
    found = re.search(r"/scripts/tmp\w+\.(\w+)\.py|-m (posmlp \w+)", command)
    return next(filter(None, found.groups())) if found else "snakemake"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--study", default="digits")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--loop", action="store_true", help="the loop alone, in this process")
    arguments = parser.parse_args()
    if arguments.loop:
        loop(arguments.study, arguments.data_root)
        return 0
    theirs, loop_cpu_s, loop_s = time_loop(arguments)
    ours, study_cpu_s, study_s = time_study(arguments)
    print(f"plain loop: {loop_cpu_s:6.1f} s of CPU, {loop_s:6.1f} s on one core")
    print(f"study:      {study_cpu_s:6.1f} s of CPU, {study_s:6.1f} s on two cores")
    ratio = study_cpu_s / loop_cpu_s
    print(f"{ratio:.2f} times the loop's CPU seconds, goal at most {GOAL}; {GOAL_S} s on two cores")
    if ours != theirs:
        different = sum(a != b for a, b in zip(ours, theirs, strict=True))
        print(f"the loop did other work: {different} of {len(ours)} accuracies differ")
        return 2
    return int(ratio > GOAL or study_s > GOAL_S)


if __name__ == "__main__":
    sys.exit(main())
