"""Versions and GPUs of the machine."""

import platform
import subprocess
from importlib import metadata

import torch

from posmlp.doctor.findings import Finding, Verdict

DRIVER = "nvidia-smi --query-gpu=driver_version --format=csv,noheader"
FREE_FRACTION = 0.9  # of a GPU's memory; with less, the GPU is in use


def versions(device: torch.device) -> Finding:
    """Versions of the libraries that networks need."""
    found = {"Python": platform.python_version(), "torch": torch.__version__}
    found |= {name: metadata.version(name) for name in ("timm", "numpy")}
    if device.type == "cuda":
        driver = subprocess.getoutput(DRIVER).partition("\n")[0]
        found |= {"CUDA": torch.version.cuda, "driver": driver}
    return Finding(Verdict.OK, ", ".join(f"{name} {version}" for name, version in found.items()))


def gpus(device: torch.device) -> Finding:
    """Name and memory of every GPU, and whether it is free and computes bf16 fast."""
    if device.type != "cuda":
        text = "No GPU found; the checks below use the CPU."
        advice = (
            "If there should be one: run nvidia-smi, check CUDA_VISIBLE_DEVICES, install a CUDA "
        )
        advice += "build of torch, and on a cluster request a GPU: `srun --gpus 1 posmlp doctor`."
        return Finding(Verdict.SKIPPED, text, advice)
    found, problems = [], []
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        name = torch.cuda.get_device_name(number)
        found.append(f"{name}, {total / 1e9:.0f} GB")
        if free < FREE_FRACTION * total:
            problems.append(f"GPU {number} is in use: only {free / 1e9:.0f} GB are free")
        if torch.cuda.get_device_capability(number) < (8, 0):
            problems.append(f"GPU {number} is slow in bfloat16; `recipe.amp: off` may be faster")
    verdict = Verdict.WARNING if problems else Verdict.OK
    return Finding(verdict, "; ".join(found), ". ".join(problems))
