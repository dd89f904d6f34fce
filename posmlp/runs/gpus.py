"""`python -m posmlp.runs.gpus --runs-per-gpu 2 COMMAND ...` runs a command on a GPU of this machine
that fewer than two other runs of this user occupy, and waits for one while all are full.

For runs that Snakemake starts on a machine with GPUs. Slurm assigns GPUs to its jobs itself.
"""

import argparse
import fcntl
import itertools
import os
import re
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

PAUSE_S = 0.5  # between two looks for a free GPU


def visible_gpus() -> list[str]:
    """List the GPUs that CUDA would show to a process started here, as CUDA_VISIBLE_DEVICES does.

    CUDA itself is not asked: that takes torch, seconds and memory of a GPU.
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


def on_gpus(python: str, gpus: int, runs_per_gpu: int) -> str:
    """Prefix of the command of a run that takes so many GPUs of this machine."""
    numbers = f"--gpus {gpus} --runs-per-gpu {runs_per_gpu}"
    return f"{shlex.quote(python)} -m posmlp.runs.gpus {numbers} "


def reserve_gpus(names: Sequence[str], gpus: int, runs_per_gpu: int, folder: Path) -> list[str]:
    """Wait until so many of the named GPUs have room for a run, and reserve them.

    A GPU has one file for each run that it has room for. This process, and whatever it becomes by
    exec, keeps the kernel's lock on one of them, which is released when it ends, however it ends.

    Args:
        folder: of these files; one for each user, on this machine.

    Raises:
        ValueError: there are not that many GPUs.
    """
    if len(names) < gpus:
        raise ValueError(
            f"a run of this study takes {gpus} GPUs (gpus in the study file) and this machine "
            f"shows {len(names)}; check nvidia-smi and CUDA_VISIBLE_DEVICES"
        )
    folder.mkdir(mode=0o700, exist_ok=True)
    waited = False
    while not (reserved := _try_to_reserve(names, gpus, runs_per_gpu, folder)):
        if not waited:
            print("waiting for a GPU: other runs occupy all", file=sys.stderr, flush=True)
        waited = True
        time.sleep(PAUSE_S)
    return reserved


def _try_to_reserve(names: Sequence[str], gpus: int, runs_per_gpu: int, folder: Path) -> list[str]:
    """Reserve the GPUs with the most room; none where too few have any."""
    with ExitStack() as stack, (folder / "choosing").open("w") as choosing:
        fcntl.flock(choosing, fcntl.LOCK_EX)  # what others try out must not look reserved
        room: dict[str, list[int]] = {name: [] for name in names}
        for name, k in itertools.product(names, range(runs_per_gpu)):
            file = os.open(folder / f"{name}.{k}", os.O_RDWR | os.O_CREAT, 0o600)
            stack.callback(os.close, file)
            with suppress(BlockingIOError):  # another run's
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                room[name].append(file)
        chosen = sorted(filter(room.get, names), key=lambda name: -len(room[name]))[:gpus]
        if len(chosen) < gpus:
            return []
        for name in chosen:
            os.set_inheritable(os.dup(room[name][0]), True)  # the copy keeps the lock
    return chosen


def main() -> None:
    """Become the command, once its GPUs are reserved."""
    parser = argparse.ArgumentParser(prog="python -m posmlp.runs.gpus", description=__doc__)
    parser.add_argument("--gpus", type=int, default=1, help="taken by the command (1)")
    parser.add_argument("--runs-per-gpu", type=int, default=1, help="runs that may share a GPU (1)")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="what to run")
    options = parser.parse_args()
    folder = Path(tempfile.gettempdir()) / f"posmlp-gpus-{os.getuid()}"
    try:
        reserved = reserve_gpus(visible_gpus(), options.gpus, options.runs_per_gpu, folder)
    except (ValueError, OSError) as error:
        parser.exit(2, f"error: {error}\n")
    except KeyboardInterrupt:
        sys.exit(os.EX_TEMPFAIL)  # as of a training: run me again
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(reserved)
    os.execvp(options.command[0], options.command)


if __name__ == "__main__":
    main()
