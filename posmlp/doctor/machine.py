"""What the machine has: versions, GPUs, cores."""

import platform
import re
import subprocess
import sys
import tomllib
from importlib import metadata, util
from pathlib import Path

import torch

from posmlp.code_version import PACKAGE
from posmlp.doctor.findings import Finding, Verdict, num_cores

TRAINING_NEEDS = {"pydantic": "pydantic", "ruamel.yaml": "ruamel.yaml"}
TRAINING_NEEDS |= {"psutil": "psutil", "safetensors": "safetensors"}
FREE_SHARE = 0.9  # of a GPU's memory; less means that somebody uses it


def versions(device: torch.device) -> Finding:
    """Versions of what the networks need, and whether the rest of a training is installed."""
    found = {"Python": platform.python_version(), "torch": torch.__version__}
    found |= {name: metadata.version(name) for name in ("timm", "numpy")}
    if device.type == "cuda":
        found |= {"CUDA": torch.version.cuda, "driver": driver_version()}
    text = ", ".join(f"{name} {version}" for name, version in found.items())
    if old := too_old():
        advice = f"Install what pyproject.toml names: pip install {' '.join(map(repr, old))}"
        return Finding(Verdict.FAILED, f"{text}. Too old: {', '.join(old)}", advice, found)
    if missing := [name for name in TRAINING_NEEDS if util.find_spec(name.split(".")[0]) is None]:
        return Finding(
            Verdict.WARNING,
            f"{text}. `posmlp train` also needs {', '.join(missing)}",
            f"pip install {' '.join(missing)}",
            found,
        )
    return Finding(Verdict.OK, text, values=found)


def too_old() -> list[str]:
    """List the requirements of pyproject.toml on torch and timm that are not met."""
    file = PACKAGE.parent / "pyproject.toml"
    if not file.exists():
        return []  # installed from a wheel, and pip has compared the versions
    required = tomllib.loads(file.read_text("utf-8"))["project"]["dependencies"]
    pairs = (r.split(">=") for r in required if r.startswith(("torch>=", "timm>=")))
    return [f"{n}>={v}" for n, v in pairs if numbers(metadata.version(n)) < numbers(v)]


def numbers(version: str) -> list[int]:
    """Read 2.11.0+cu130 as [2, 11, 0], for comparisons."""
    return [int(number) for number in re.findall(r"\d+", version.partition("+")[0])]


def driver_version() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.split("\n")[0].strip()


def gpus(device: torch.device) -> Finding:
    """Name and memory of every GPU, and whether this torch can use it well."""
    if device.type != "cuda":
        return no_gpu()
    found, problems = [], []
    kernels = {arch.partition("_")[2] for arch in torch.cuda.get_arch_list()}
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        major, minor = torch.cuda.get_device_capability(number)
        name = torch.cuda.get_device_name(number)
        found.append(dict(name=name, memory_gb=total / 1e9, free_gb=free / 1e9))
        if free < FREE_SHARE * total:
            problems.append(f"GPU {number} is in use: {free / 1e9:.0f} GB are free")
        if major < 8:
            problems.append(f"GPU {number} computes bfloat16 slowly; recipe.amp: off may be faster")
        if f"{major}{minor}" not in {kernel.rstrip("a") for kernel in kernels}:
            problems.append(f"this torch has no kernels of its own for GPU {number}")
    text = "; ".join(f"{gpu['name']}, {gpu['memory_gb']:.0f} GB" for gpu in found)
    verdict = Verdict.WARNING if problems else Verdict.OK
    return Finding(verdict, text, ". ".join(problems), {"gpus": found})


def no_gpu() -> Finding:
    """Say why torch has no GPU to offer, as far as that can be seen."""
    if torch.version.cuda is None:
        advice = "This torch is built for CPUs. On a machine with a GPU install a build for CUDA."
    elif torch.cuda.is_available():
        advice = "Leave out --device cpu to check the GPU."
    else:
        advice = "If there should be one: run nvidia-smi, look at CUDA_VISIBLE_DEVICES, and on a "
        advice += "cluster ask for a GPU, as in `srun --gpus 1 posmlp doctor`."
    return Finding(Verdict.SKIPPED, "No GPU is used; everything below is about CPUs.", advice)


def cores(device: torch.device) -> Finding:
    """Cores and memory that this process may use."""
    gigabytes = memory_gb()
    num_gpus = torch.cuda.device_count() if device.type == "cuda" else 0
    text = f"{num_cores()} cores; {gigabytes:.0f} GB of memory"
    values = {"cores": num_cores(), "memory_gb": gigabytes}
    if num_gpus and num_cores() < 2 * num_gpus:
        advice = "Ask for more cores, such as srun --cpus-per-task 8: few cannot feed a GPU."
        return Finding(Verdict.WARNING, f"{text}, for {num_gpus} GPUs", advice, values)
    return Finding(Verdict.OK, text, values=values)


def memory_gb() -> float:
    """Memory of the machine; a job's limit may be lower."""
    if not sys.platform.startswith("linux"):
        return float("nan")
    kilobytes = Path("/proc/meminfo").read_text().split()[1]
    return int(kilobytes) / 1e6
