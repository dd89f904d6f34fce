"""What a run uses of its machine, noted in its folder: system.csv, a line every few seconds."""

import contextlib
import threading
import time
from pathlib import Path
from typing import Any, Self

import psutil

SYSTEM = ("time", "cpu_percent", "memory_mb", "machine_memory_percent", "gpu_percent")
SYSTEM += ("gpu_memory_mb",)


class SystemLog:
    """Appends SYSTEM to system.csv every `every_s` seconds while its block runs; 0: never.

    cpu_percent and memory_mb are those of this process and its children (100 is one core);
    the GPU's are of all GPUs that are seen, means and sums, empty where there are none.
    """

    def __init__(self, folder: Path, every_s: float) -> None:
        self.path, self.every_s = folder / "system.csv", every_s
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        if self.every_s:
            self.thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.done.set()
        if self.every_s:
            self.thread.join()

    def _run(self) -> None:
        process, gpus = psutil.Process(), find_gpus()
        seen = {process.pid: process}
        # A full disk is for training itself to report.
        with contextlib.suppress(OSError), self.path.open("a", encoding="utf-8") as file:
            if file.tell() == 0:
                file.write(",".join(SYSTEM) + "\n")
            used(seen)  # psutil counts from the call before
            while not self.done.wait(self.every_s):
                values = [time.time(), *used(seen), psutil.virtual_memory().percent]
                values += gpu_use(gpus) or ["", ""]
                file.write(",".join(map(str, values)) + "\n")
                file.flush()


def used(seen: dict[int, psutil.Process]) -> tuple[float, float]:
    """Return per cent of a core and MB that a process and its children use; `seen` keeps them."""
    parent = next(iter(seen.values()))
    for child in parent.children(recursive=True):
        seen.setdefault(child.pid, child)
    cpu, memory = 0.0, 0
    for pid, process in list(seen.items()):
        try:
            cpu += process.cpu_percent()
            memory += process.memory_info().rss
        except psutil.NoSuchProcess:
            del seen[pid]
    return round(cpu, 1), round(memory / 1e6, 1)


def find_gpus() -> list[Any]:
    """Return NVIDIA's handles of the GPUs; none without its driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
        return [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        return []


def gpu_use(gpus: list[Any]) -> list[float]:
    """Return the GPUs' mean use in per cent and the MB in use on all; [] without GPUs."""
    import pynvml

    if not gpus:
        return []
    rates = [pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu for gpu in gpus]
    memory = sum(pynvml.nvmlDeviceGetMemoryInfo(gpu).used for gpu in gpus)
    return [sum(rates) / len(rates), round(memory / 1e6, 1)]
