"""What runs of this machine train on: its GPUs, and the processes of a run that takes several."""

import itertools
import os
import re
import shlex
import sys
from collections.abc import Sequence


def visible_gpus() -> list[str]:
    """List the GPUs that CUDA would show to a process started here, as CUDA_VISIBLE_DEVICES does.

    CUDA itself is not asked: that takes torch, seconds and memory of a GPU, and a process that has
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
        # not by number: NVIDIA's driver and CUDA may count in different orders
        return [pynvml.nvmlDeviceGetUUID(handle) for handle in handles]
    except pynvml.NVMLError:  # no driver
        return []


def fitting_runs(names: Sequence[str], cores: int, gpus: int) -> int:
    """Count the runs that train side by side: one on each GPU, or on each core without GPUs.

    Args:
        names: of the GPUs.
        gpus: processes of a run.
    """
    return max(1, (len(names) or cores) // gpus)


def gpus_of_slot(names: Sequence[str], slot: int, gpus: int) -> list[str]:
    """The GPUs of the slot-th of the runs that train at once; they are shared where too few."""
    return [names[(slot * gpus + k) % len(names)] for k in range(min(gpus, len(names)))]


def launch(gpus: int, nodes: int = 1, cpus_in_job: int | None = None) -> str:
    """The command that starts the processes of a run; the arguments of `posmlp` follow.

    One process runs by itself. Several are the tasks of an srun inside a Slurm job, spread evenly
    over its nodes, and of torchrun on a single machine.

    Args:
        cpus_in_job: CPU cores of each process in a Slurm job; None: not on a cluster.
    """
    python = shlex.quote(sys.executable)  # the interpreter that has posmlp, whatever PATH says
    if gpus == 1:
        return f"{python} -m posmlp"
    if cpus_in_job and "SLURM_JOB_ID" in os.environ:
        # In full: the job's own settings are hidden from commands inside it.
        return (
            f"srun --nodes={nodes} --ntasks={gpus} --ntasks-per-node={gpus // nodes} "
            f"--cpus-per-task={cpus_in_job} --kill-on-bad-exit=0 {python} -m posmlp"
        )
    # standalone: several on one machine each find a port of their own
    return f"{python} -m torch.distributed.run --standalone --nproc-per-node={gpus} -m posmlp"
