"""The GPUs of this machine, their division among runs, and the launch of several processes."""

import itertools
import os
import re
import shlex
import sys
from collections.abc import Sequence


def visible_gpus() -> list[str]:
    """The GPUs that a process started here would see, as entries of CUDA_VISIBLE_DEVICES.

    CUDA itself is not queried: that takes torch, seconds and GPU memory, and a process that has
    used CUDA must not fork.
    """
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        names = [name.strip() for name in named.split(",")]
        return list(itertools.takewhile(re.compile(r"\d+|(GPU|MIG)-\S+").fullmatch, names))
    import pynvml

    try:
        pynvml.nvmlInit()
        handles = map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount()))
        # Not by index: the driver and CUDA may number GPUs differently.
        return [pynvml.nvmlDeviceGetUUID(handle) for handle in handles]
    except pynvml.NVMLError:  # no driver
        return []


def fitting_runs(names: Sequence[str], cores: int, gpus: int) -> int:
    """The number of runs side by side: one per GPU, or one per core without GPUs.

    Args:
        names: names of the GPUs.
        gpus: processes per run.
    """
    return max(1, (len(names) or cores) // gpus)


def gpus_of_slot(names: Sequence[str], slot: int, gpus: int) -> list[str]:
    """The GPUs of one of the runs that train at once; runs share GPUs if there are too few."""
    return [names[(slot * gpus + k) % len(names)] for k in range(min(gpus, len(names)))]


def launch(gpus: int, nodes: int = 1, cpus_in_job: int | None = None) -> str:
    """The command that starts the processes of a run, to be followed by arguments of `posmlp`.

    Several processes are started by srun inside a Slurm job, evenly spread over its nodes, and by
    torchrun on a single machine.

    Args:
        cpus_in_job: CPU cores per process in a Slurm job; None: not on a cluster.
    """
    python = shlex.quote(sys.executable)  # the interpreter with posmlp, regardless of PATH
    if gpus == 1:
        return f"{python} -m posmlp"
    if cpus_in_job and "SLURM_JOB_ID" in os.environ:
        # All options, because Snakemake hides the job's own settings from commands inside it.
        return (
            f"srun --nodes={nodes} --ntasks={gpus} --ntasks-per-node={gpus // nodes} "
            f"--cpus-per-task={cpus_in_job} --kill-on-bad-exit=0 {python} -m posmlp"
        )
    # standalone: each launch on a machine picks a free port
    return f"{python} -m torch.distributed.run --standalone --nproc-per-node={gpus} -m posmlp"
