"""The command `posmlp train`: trains runs of a study, each in its own process.

torch is imported only when there is a run to train, so a pack of finished runs costs little.
"""

import os
import shlex
from argparse import Namespace
from collections.abc import Sequence

from posmlp.runs.gpus import fitting_runs, gpus_of_slot, launch, visible_gpus
from posmlp.runs.interrupts import TIME_LIMIT
from posmlp.runs.pack import Pack, become, parts
from posmlp.slurm.commands import requeue
from posmlp.study import RunConfig, load_study
from posmlp.user_errors import RUN_AGAIN


def train_runs(arguments: Namespace) -> int:
    """Train the runs that the arguments name; the exit status.

    After Slurm's warning of the time limit its job goes back into the queue.

    Raises:
        ValueError: the warning came before any run had advanced.
    """
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

    def train(run: RunConfig, slot: int) -> int:
        if gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus_of_slot(gpus, slot, study.gpus))
        if several:
            become([*several, *command_line(run, arguments), "--in-process"])
        return train_run(run, arguments)

    prepare = import_for_training if not several else lambda: None
    pack = Pack(runs, arguments.results, at_once, train, prepare)
    before = positions(runs, arguments)
    status = pack.run()
    if status == RUN_AGAIN and pack.signal == TIME_LIMIT and "SLURM_JOB_ID" in os.environ:
        if positions(runs, arguments) <= before:
            raise ValueError(
                "Slurm's warning of the time limit came before the first step; give jobs more time "
                "(slurm/site.yaml: hours) or less warning (warning_s)"
            )
        requeue(os.environ["SLURM_JOB_ID"])
    return status


def positions(runs: Sequence[RunConfig], arguments: Namespace) -> set[str]:
    """The checkpoints of the runs after their first step, by folder, epoch and step."""
    folders = [run.folder(arguments.results) for run in runs]
    paths = [path for folder in folders for path in folder.glob("checkpoint-*.pt")]
    found = {str(path).rpartition("-")[0] for path in paths}  # without the digest
    return {position for position in found if not position.endswith("-00000-0000000")}


def import_for_training() -> None:
    """Import, and cache, what every run needs."""
    import posmlp.runs.execute  # noqa: F401
    from posmlp.code_version import packages

    packages()


def train_run(run: RunConfig, arguments: Namespace) -> int:
    """Train a run in this process, which may be one of several of the run."""
    import torch

    from posmlp.runs.execute import execute
    from posmlp.runs.interrupts import Interrupts
    from posmlp.training.distributed import join_world

    torch.set_num_threads(arguments.threads)
    command = shlex.join(["posmlp", *command_line(run, arguments)])
    with Interrupts(arguments.checkpoint_minutes) as interrupts:
        world = join_world(arguments.device)
        execute(run, arguments.results, arguments.data_root, world, command, interrupts)
        world.leave()
    return 0


def command_line(run: RunConfig, arguments: Namespace) -> list[str]:
    """The arguments of `posmlp` that train only this run, with the same options."""
    words = ["train", arguments.study, f"{run.variant}/seed{run.seed}"]
    for name in ("results", "data_root", "device", "threads", "checkpoint_minutes"):
        words += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
    return words
