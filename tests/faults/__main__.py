"""`python -m tests.faults` kills short runs at random and compares them with uninterrupted ones.

Every run is trained twice: without interruption, and with faults until it ends. The two folders
must match bit for bit. The last line is `faults N, runs compared N, differences N`.
"""

import argparse
import csv
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from tabulate import tabulate

from posmlp.code_version import training_code_digest
from posmlp.study.yaml_files import dump_yaml

from .compare import differences
from .runner import (
    DAMAGED,
    DISK_FULL,
    FORK,
    KINDS,
    LEAST_LIMIT,
    Runner,
)

FAULTS_A_RUN = 5
GAP_S = 0.05  # at most, between two SIGINTs

STUDY = {
    "title": "Runs that are killed",
    "question": "Is a run that was stopped and started again the same to the last bit?",
    "data": {"name": "digits", "train_fraction": 0.1, "eval_fraction": 0.6},
    "model": {"name": "gmlp_posgu_xs1_8", "gate": "gqpe"},
    "recipe": {"epochs": 2, "batch_size": 16, "lr": 1e-2, "weight_decay": 0.05},
    "reference": "regularised",
}
# Together they use every random number stream and every part of a checkpoint.
VARIANTS = {
    "regularised": {
        "model.groups": 4,
        "model.drop_path_rate": 0.1,
        "recipe.mixup": 0.8,
        "recipe.cutmix": 1.0,
        "recipe.ema_decay": 0.99,
        "recipe.augment.shift": 1,
        "recipe.augment.hflip": 0.5,
        "recipe.augment.reprob": 0.25,
    },
    "lamb": {
        "model.gate": "sgu",
        "recipe.opt": "lamb",
        "recipe.label_smoothing": 0.1,
        "recipe.grad_accum": 2,
    },
    "cooldown": {"model.gate": "lrpe", "model.groups": 4, "recipe.cooldown_epochs": 1},
    "batch_norm": {"model.name": "posmlp_xxs_28", "data.image_size": 28},
}


@dataclass
class Outcome:
    """The result for one run; `missed` lists faults that came after its end."""

    name: str
    injected: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


def disturb(runner: Runner, whole: Runner, kinds: list[str], seed: str) -> Outcome:
    """Train `runner`'s run with faults of these kinds until it ends."""
    rng, outcome = random.Random(seed), Outcome(runner.name)
    sizes = [path.stat().st_size for path in whole.folder.iterdir()]
    sizes = [size for size in sizes if size > LEAST_LIMIT]
    for kind in kinds:
        if runner.finished:
            outcome.missed.append(kind)
            continue
        limit = int(rng.uniform(LEAST_LIMIT, 0.9 * rng.choice(sizes))) if kind == DISK_FULL else 0
        at = rng.uniform(0, whole.seconds_left(runner.steps))
        start = runner.start(kind, at, rng.uniform(0, GAP_S), limit)
        outcome.differences += runner.complaints(kind)
        struck = start.status != 0 or "stopping after this step" in start.log
        if kind == DAMAGED:
            struck = struck and runner.damage(rng)
        (outcome.injected if struck else outcome.missed).append(kind)
    if not runner.finished:
        runner.start()
        outcome.differences += runner.complaints()
    return outcome


def train_twice(work: Path, variant: str, seed: int, kinds: list[str], draws: int) -> Outcome:
    """Train a run without and with faults, and compare the two."""
    whole, disturbed = (Runner(work, part, variant, seed) for part in ("whole", "disturbed"))
    whole.start()
    if complaints := whole.complaints():
        return Outcome(whole.name, differences=[f"undisturbed: {line}" for line in complaints])
    outcome = disturb(disturbed, whole, kinds, f"{draws} {variant} {seed}")
    outcome.differences += differences(disturbed.folder, whole.folder)
    return outcome


def write_study(folder: Path, num_seeds: int) -> None:
    """Write killed.yaml, with the seeds 0, 1, ..., and its sheet."""
    study = STUDY | {"seeds": list(range(num_seeds))}
    (folder / "killed.yaml").write_text(dump_yaml(study))
    columns = ["variant", "claim", *dict.fromkeys(key for row in VARIANTS.values() for key in row)]
    with (folder / "killed.tsv").open("w", newline="") as file:
        sheet = csv.DictWriter(file, columns, delimiter="\t", lineterminator="\n")
        sheet.writeheader()
        for name, settings in VARIANTS.items():
            sheet.writerow({"variant": name, "claim": "It can be killed"} | settings)


def campaign(work: Path, num_faults: int, seed: int, num_jobs: int) -> list[Outcome]:
    """Train runs, `num_jobs` at a time, until all faults are injected and all runs ended."""
    deck = [kind for _ in range(-(-num_faults // len(KINDS))) for kind in KINDS][:num_faults]
    random.Random(seed).shuffle(deck)
    num_seeds = max(10, num_faults)
    write_study(work, num_seeds)
    runs = product(range(num_seeds), VARIANTS)
    outcomes, pending = [], set()
    with ProcessPoolExecutor(num_jobs, mp_context=FORK) as pool:
        while deck or pending:
            while deck and len(pending) < num_jobs:
                k, variant = next(runs)
                kinds, deck = deck[:FAULTS_A_RUN], deck[FAULTS_A_RUN:]
                pending.add(pool.submit(train_twice, work, variant, k, kinds, seed))
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for outcome in (future.result() for future in done):
                deck += outcome.missed
                outcomes.append(outcome)
                say(outcome)
    return outcomes


def say(outcome: Outcome) -> None:
    result = "; ".join(outcome.differences) or "the same"
    print(f"{outcome.name}: {', '.join(outcome.injected) or 'no fault'}: {result}", flush=True)


def table(outcomes: list[Outcome]) -> str:
    """Number of faults by kind."""
    counts = Counter(kind for outcome in outcomes for kind in outcome.injected)
    return tabulate([(kind, counts[kind]) for kind in KINDS], ("fault", "injected"))


def main() -> int:
    """Run the campaign; return 1 if there is any difference, else 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--faults", type=int, default=200, help="number of faults (default: 200)")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed for kinds and times of faults (default: 0)"
    )
    options = parser.parse_args()
    training_code_digest()  # computed once: the processes that train are forked from this one
    work = Path(tempfile.mkdtemp(prefix="posmlp-faults-"))
    outcomes = campaign(work, options.faults, options.seed, min(2, os.cpu_count() or 1))
    print(f"\n{table(outcomes)}\n")
    found = [f"{run.name}: {text}" for run in outcomes for text in run.differences]
    if found:
        print("\n".join(found), f"\nFiles and logs are kept in {work}")
    else:
        shutil.rmtree(work)
    num_faults = sum(len(outcome.injected) for outcome in outcomes)
    print(f"faults {num_faults}, runs compared {len(outcomes)}, differences {len(found)}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
