"""The command `posmlp train`: runs of a study, each in a process of its own.

Nothing large is imported before a run is trained: a pack of finished runs costs little.
"""

import os
import shlex
from argparse import Namespace

from posmlp.runs.gpus import fitting_runs, gpus_of_slot, launch, visible_gpus
from posmlp.runs.pack import Pack, become, parts
from posmlp.study import RunConfig, load_study


def train_runs(arguments: Namespace) -> int:
    """Train what the arguments name; the exit status."""
    study = load_study(arguments.study)
    chosen = [study.run(*run) for run in arguments.runs] or study.runs()
    part, num_parts = arguments.part
    runs = parts(chosen, num_parts)[part - 1]
    if arguments.in_process:
        return train_run(runs[0], arguments)
    gpus = visible_gpus() if arguments.device != "cpu" else []
    cores = len(os.sched_getaffinity(0))
    at_once = arguments.runs_at_once or fitting_runs(gpus, cores, study.gpus)
    several = shlex.split(arguments.launch or launch(study.gpus)) if study.gpus > 1 else []

    def train(run: RunConfig, slot: int, at_start: bool) -> int:
        if gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus_of_slot(gpus, slot, study.gpus))
        if several:
            become([*several, *words_of(run, arguments), "--in-process"])
        return train_run(run, arguments, at_start)

    prepare = import_for_training if not several else lambda: None
    return Pack(runs, arguments.results, at_once, train, prepare).run()


def import_for_training() -> None:
    """Import and find out once what all runs need."""
    import posmlp.runs.execute  # noqa: F401
    from posmlp.code_version import packages

    packages()


def train_run(run: RunConfig, arguments: Namespace, at_start: bool = True) -> int:
    """Train a run in this process, alone or as one of its processes."""
    import torch

    from posmlp.runs.execute import execute
    from posmlp.runs.interrupts import Interrupts
    from posmlp.training.distributed import join_world

    torch.set_num_threads(arguments.threads)
    command = shlex.join(["posmlp", *words_of(run, arguments)])
    with Interrupts(arguments.checkpoint_minutes, at_start) as interrupts:
        world = join_world(arguments.device)
        execute(run, arguments.results, arguments.data_root, world, command, interrupts)
        world.leave()
    return 0


def words_of(run: RunConfig, arguments: Namespace) -> list[str]:
    """The words that train this run alone, as these arguments do."""
    words = ["train", arguments.study, f"{run.variant}/seed{run.seed}"]
    for name in ("results", "data_root", "device", "threads", "checkpoint_minutes"):
        words += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
    return words
