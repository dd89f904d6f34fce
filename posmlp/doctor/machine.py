"""What the machine has: versions and GPUs."""

import platform
import subprocess
from importlib import metadata

import torch

from posmlp.doctor.findings import Finding, Verdict

DRIVER = "nvidia-smi --query-gpu=driver_version --format=csv,noheader"
FREE_SHARE = 0.9  # of a GPU's memory; less means that somebody uses it


def versions(device: torch.device) -> Finding:
    """Versions of what the networks need."""
    found = {"Python": platform.python_version(), "torch": torch.__version__}
    found |= {name: metadata.version(name) for name in ("timm", "numpy")}
    if device.type == "cuda":
        driver = subprocess.getoutput(DRIVER).partition("\n")[0]
        found |= {"CUDA": torch.version.cuda, "driver": driver}
    return Finding(Verdict.OK, ", ".join(f"{name} {version}" for name, version in found.items()))


def gpus(device: torch.device) -> Finding:
    """Name and memory of every GPU, and whether this torch can use it well."""
    if device.type != "cuda":
        text = "No GPU is used; everything below is about CPUs."
        advice = "If there should be one: run nvidia-smi, look at CUDA_VISIBLE_DEVICES, install a "
        advice += "torch that is built for CUDA, and on a cluster ask for a GPU, as in `srun "
        return Finding(Verdict.SKIPPED, text, f"{advice}--gpus 1 posmlp doctor`.")
    found, problems = [], []
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        name = torch.cuda.get_device_name(number)
        found.append(f"{name}, {total / 1e9:.0f} GB")
        if free < FREE_SHARE * total:
            problems.append(f"GPU {number} is in use: {free / 1e9:.0f} GB are free")
        if torch.cuda.get_device_capability(number) < (8, 0):
            problems.append(f"GPU {number} computes bfloat16 slowly; recipe.amp: off may be faster")
    verdict = Verdict.WARNING if problems else Verdict.OK
    return Finding(verdict, "; ".join(found), ". ".join(problems))
