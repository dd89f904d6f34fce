"""The checks of `posmlp doctor` in their order: what is needed first, what takes long last."""

import os
from pathlib import Path

import torch

from posmlp.doctor import machine, precision, processes, speed, training
from posmlp.doctor.findings import Check, examine

CHECKS: dict[str, Check] = {
    "versions": machine.versions,
    "GPUs": machine.gpus,
    "cores": machine.cores,
    "float32": precision.float32,
    "TF32": precision.tf32,
    "bf16": precision.bf16,
    "training and resume": training.exact_resume,
    "long windows": speed.long_windows,
    "largest window": speed.largest_window,
    "training speed": speed.networks,
    "decoding": speed.decoding,
    "several GPUs": processes.several_devices,
    "runs at once": processes.runs_at_once,
    "torch.compile": training.compiled,
}


def diagnose(device_type: str, file: Path | None = None) -> bool:
    """Check this machine; return whether nothing has failed.

    Args:
        device_type: "cpu", "cuda", or "auto" for the GPU where there is one.
        file: takes the findings as JSON.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    if device_type == "auto":
        device_type = "cuda" if torch.cuda.is_available() else "cpu"
    if device_type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "device: cuda was requested but torch sees no GPU on this machine; leave out --device "
            "to check the rest, or check nvidia-smi and CUDA_VISIBLE_DEVICES"
        )
    if device_type == "cpu":
        torch.set_num_threads(1)  # as runs do, one for each core
    return examine(CHECKS, torch.device(device_type), file)
