"""What the machine has: versions, GPUs, cores."""

import platform
import re
import subprocess
import tomllib
from importlib import metadata, util

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
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        major, minor = torch.cuda.get_device_capability(number)
        name = torch.cuda.get_device_name(number)
        found.append(dict(name=name, memory_gb=total / 1e9, free_gb=free / 1e9))
        if free < FREE_SHARE * total:
            problems.append(f"GPU {number} is in use: {free / 1e9:.0f} GB are free")
        if major < 8:
            problems.append(f"GPU {number} computes bfloat16 slowly; recipe.amp: off may be faster")
        if not has_kernels(major, minor):
            problems.append(f"this torch has no kernels for GPU {number}; install another build")
    text = "; ".join(f"{gpu['name']}, {gpu['memory_gb']:.0f} GB" for gpu in found)
    verdict = Verdict.WARNING if problems else Verdict.OK
    return Finding(verdict, text, ". ".join(problems), {"gpus": found})


def has_kernels(major: int, minor: int) -> bool:
    """Whether torch was built for a compute capability, or an earlier one of the same major."""
    built = (re.fullmatch(r"sm_(\d+)(\d)[a-z]?", arch) for arch in torch.cuda.get_arch_list())
    return any(int(b[1]) == major and int(b[2]) <= minor for b in built if b)


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
    """Cores that this process may use, which read and decode images."""
    num_gpus = torch.cuda.device_count() if device.type == "cuda" else 0
    text, values = f"{num_cores()} for this process", {"cores": num_cores()}
    if num_cores() < 2 * num_gpus:
        advice = "Ask for more cores, such as srun --cpus-per-task 8: few cannot feed a GPU."
        return Finding(Verdict.WARNING, f"{text} and {num_gpus} GPUs", advice, values)
    return Finding(Verdict.OK, text, values=values)
