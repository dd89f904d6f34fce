"""Several processes: one training over all GPUs, and several trainings on one."""

import tempfile
import time
from pathlib import Path
from typing import Any

import timm
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import posmlp.models  # noqa: F401  registers the backbones
from posmlp.doctor.findings import Finding, Verdict, num_cores
from posmlp.doctor.speed import SECONDS, SMALLEST, make_network, training_step

TIMEOUT_S = 90
NUM_STEPS, IMAGES_EACH = 3, 8
LARGEST_DIFFERENCE = 1e-3  # of a parameter, in parts of its largest change
WORTH_IT = 1.1  # times the images a second of fewer runs


def spawn(function, num: int, *arguments: Any) -> bool:
    """Start processes `function(number, *arguments)`; return whether all ended in time.

    Raises:
        RuntimeError: one has failed; the others are ended.
    """
    context = mp.spawn(function, arguments, num, join=False)
    ends = time.monotonic() + TIMEOUT_S
    try:
        while time.monotonic() < ends:
            if context.join(timeout=1):
                return True
        return False
    except mp.ProcessRaisedException as error:
        raise RuntimeError(str(error).strip().rpartition("\n")[2]) from None
    finally:
        for process in context.processes:
            process.kill()


def several_devices(device: torch.device) -> Finding:
    """Train a few steps over all GPUs, or in two processes, and compare with one process."""
    on_gpu = device.type == "cuda"
    num = torch.cuda.device_count() if on_gpu else min(2, num_cores())
    if num < 2:
        return Finding(Verdict.SKIPPED, f"There is one {'GPU' if on_gpu else 'core'} alone.")
    backend = "nccl" if on_gpu else "gloo"
    with tempfile.TemporaryDirectory() as folder:
        in_time = spawn(train_together, num, num, backend, folder)
        if not in_time:
            advice = "Run again with NCCL_DEBUG=INFO; NCCL_P2P_DISABLE=1 tells whether the link "
            advice += "between the GPUs is at fault."
            return Finding(Verdict.FAILED, f"{backend} did not end in {TIMEOUT_S} s", advice)
        alone, together = (torch.load(Path(folder) / name) for name in ("alone.pt", "together.pt"))
    difference = max(
        float((a - b).abs().max() / a.abs().max()) for a, b in zip(alone, together, strict=True)
    )
    text = f"{num} processes with {backend}: parameters after {NUM_STEPS} steps differ from those "
    text += f"of one process by {difference:.1e}"
    if difference <= LARGEST_DIFFERENCE:
        return Finding(Verdict.OK, text, values={"difference": difference})
    return Finding(Verdict.FAILED, text, "Do not train one run on several GPUs here.")


def train_together(rank: int, num: int, backend: str, folder: str) -> None:
    """One process of a training; the first also trains alone, and writes what both changed."""
    device = torch.device("cuda", rank) if backend == "nccl" else torch.device("cpu")
    torch.set_num_threads(1)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group(backend, f"file://{folder}/meet", rank=rank, world_size=num)
    torch.manual_seed(0)
    network = timm.create_model(SMALLEST).to(device)
    images = torch.randn(num * IMAGES_EACH, 3, 8, 8).to(device)
    if rank == 0:
        alone = timm.create_model(SMALLEST).to(device)
        alone.load_state_dict(network.state_dict())
        torch.save(changes(alone, alone, images), Path(folder) / "alone.pt")
    own = images[rank * IMAGES_EACH :][:IMAGES_EACH]
    together = changes(network, DistributedDataParallel(network), own)
    if rank == 0:
        torch.save(together, Path(folder) / "together.pt")
    dist.destroy_process_group()


def changes(network: nn.Module, wrapped: nn.Module, images: Tensor) -> list[Tensor]:
    """Train some steps; return how every parameter has changed."""
    before = [parameter.detach().clone() for parameter in network.parameters()]
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    labels = torch.zeros(len(images), dtype=torch.long, device=images.device)
    for _ in range(NUM_STEPS):
        optimizer.zero_grad()
        F.cross_entropy(wrapped(images), labels).backward()
        optimizer.step()
    after = (parameter.detach() for parameter in network.parameters())
    return [(a - b).cpu() for a, b in zip(after, before, strict=True)]


def side_by_side(device: torch.device, counts: tuple[int, ...]) -> dict[int, float]:
    """Training images a second of so many runs of the smallest network at once, all together."""
    if device.type == "cuda":
        torch.cuda.empty_cache()  # of this process, which keeps what it has used
    context = mp.get_context("spawn")
    barrier, speeds = context.Barrier(max(counts)), context.SimpleQueue()
    if not spawn(train_at_once, max(counts), device, counts, barrier, speeds):
        raise TimeoutError(f"{max(counts)} runs at once did not end in {TIMEOUT_S} s")
    total = dict.fromkeys(counts, 0.0)
    while not speeds.empty():
        count, speed = speeds.get()
        total[count] += speed
    return total


def train_at_once(number: int, device: torch.device, counts: tuple, barrier, speeds) -> None:
    """One of the runs; it trains in the rounds of so many runs that its number is among them."""
    torch.set_num_threads(1)
    step = training_step(*make_network(SMALLEST, device))
    for _ in range(3):
        step.work()
    for count in counts:
        barrier.wait(TIMEOUT_S)
        if number < count:
            speeds.put((count, step.images_per_s(SECONDS)))
    barrier.wait(TIMEOUT_S)


def runs_at_once(device: torch.device) -> Finding:
    """Whether several small runs at once train more images than one after the other."""
    counts = (1, 2, 4) if device.type == "cuda" else tuple(sorted({1, min(2, num_cores())}))
    speeds = side_by_side(device, counts)
    text = f"Training images a second of {SMALLEST}, all runs together: "
    text += ", ".join(f"{n} at once {speed:,.0f}" for n, speed in speeds.items())
    best = 1
    for count in counts:
        if speeds[count] > WORTH_IT * speeds[best]:
            best = count
    advice = (
        f"Small networks: runs_at_once: {best} per GPU in config/config.yaml, if memory allows."
    )
    return Finding(Verdict.OK, text, advice if device.type == "cuda" else "", speeds)
