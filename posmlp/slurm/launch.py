"""The command that starts the processes of one run."""

import os
import shlex

from posmlp.slurm.site import Site


def launch(python: str, gpus: int, nodes: int, site: Site | None) -> str:
    """Return what stands before the arguments of `python -m posmlp`.

    One process runs by itself. Several are the tasks of an srun inside a Slurm job, spread evenly
    over its nodes, and of torchrun on a single machine.
    """
    python = shlex.quote(python)
    if gpus == 1:
        return f"{python} -m posmlp"
    if site and "SLURM_JOB_ID" in os.environ:
        # In full: the job's own settings are hidden from commands inside it.
        return (
            f"srun --nodes={nodes} --ntasks={gpus} --ntasks-per-node={gpus // nodes} "
            f"--cpus-per-task={site.cpus} --kill-on-bad-exit=0 {python} -m posmlp"
        )
    return f"{python} -m torch.distributed.run --nproc-per-node={gpus} -m posmlp"
