"""World: the processes that train one run, started by torchrun or srun; usually one."""

import os
import re
import subprocess
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from timm.utils.distributed import init_distributed_device_so
from torch import Tensor

from posmlp.training.training_error import TrainingError


@dataclass(frozen=True)
class World:
    """This process within its run. With a single process, nothing is communicated."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def is_rank0(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def all_max(self, value: int) -> int:
        """Maximum over the processes."""
        if self.size == 1:
            return value
        value_1 = torch.tensor([value], device=self.device)
        dist.all_reduce(value_1, dist.ReduceOp.MAX)
        return int(value_1)

    def all_sum(self, values: Tensor) -> Tensor:
        """Sum over the processes, in place."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def broadcast(self, value: Any) -> Any:
        """Take rank 0's value."""
        if self.size == 1:
            return value
        holder = [value]
        dist.broadcast_object_list(holder, device=self.device)
        return holder[0]

    def leave(self) -> None:
        """Leave the process group."""
        if self.size > 1:
            dist.destroy_process_group()


def join_world(device_type: str) -> World:
    """Join the other processes of this run: gloo on CPUs, nccl on GPUs, one GPU per process.

    Args:
        device_type: "cpu", "cuda", or "auto" for a GPU if there is one.

    Raises:
        TrainingError: a GPU is requested and there is none, or there are fewer GPUs than processes.
    """
    num_gpus = torch.cuda.device_count()
    if device_type == "cuda" and not num_gpus:
        raise TrainingError(
            "device: cuda was requested but torch sees no GPU on this machine; set device: cpu, or "
            "check nvidia-smi and CUDA_VISIBLE_DEVICES"
        )
    if device_type == "auto":
        device_type = "cuda" if num_gpus else "cpu"
    local_rank = int(os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", 0)))
    if device_type == "cuda" and local_rank >= num_gpus:
        raise TrainingError(
            f"process {local_rank} of this machine has no GPU of its own: torch sees {num_gpus}; "
            "start one process per GPU"
        )
    if int(os.environ.get("SLURM_NTASKS", 1)) > 1:
        set_slurm_meeting_point()
    found = init_distributed_device_so(device_type)
    return World(torch.device(found["device"]), found["global_rank"], found["world_size"])


def set_slurm_meeting_point() -> None:
    """Set the rendezvous address of srun's tasks to the step's first node, as torchrun does."""
    if "MASTER_ADDR" in os.environ:
        return

    def show(*what: str) -> str:
        command = ["scontrol", "show", *what]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    nodes = os.environ.get("SLURM_STEP_NODELIST") or os.environ["SLURM_JOB_NODELIST"]
    first = show("hostnames", nodes).split()[0]
    found = re.search(r"NodeAddr=(\S+)", show("node", first))
    os.environ["MASTER_ADDR"] = found[1] if found else first  # as Slurm itself reaches it
    job = int(os.environ["SLURM_JOB_ID"]) * 100 + int(os.environ.get("SLURM_STEP_ID", 0))
    os.environ.setdefault("MASTER_PORT", str(20000 + job % 10000))
