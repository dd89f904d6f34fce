"""Compare training and testing speed with the released formulation and with timm's models.

    python benchmarks/speed.py                  # some minutes: small batches, few repetitions
    python benchmarks/speed.py --full           # larger batches, more repetitions
    python benchmarks/speed.py --only testing   # rows whose name contains a word
    python benchmarks/speed.py --minutes 3      # no new row after three minutes
    python benchmarks/speed.py --rehearse       # a GPU's rows on the CPU, small; writes no file

Measures the GPU if there is one, else the CPU; with --threads 1 in CPU seconds, for a busy machine.
Prints each row once measured and writes it to results/bench/<hardware>.json, the source of the
tables in docs/performance.md (`posmlp docs`).
"""

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
from formulation import ReleasedUnit, as_released
from measure import (
    copy_bandwidth,
    hardware,
    matmul_rate,
    once,
    operations,
    path_of,
    rounded,
    seconds,
    write,
)
from torch import Tensor, nn

import posmlp.models  # noqa: F401  registers the backbones
from posmlp.doctor.speed import (
    SMALLEST,
    SWIN,
    TINY,
    convolution_and_map,
    decoding_rate,
    side_by_side,
    training_step,
)
from posmlp.doctor.timing import Work, compare, peak_memory
from posmlp.layers import GatingUnit

DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}
SMALL, CIFAR = "gmlp_posgu_s16_224", "gmlp_posgu_xxs4_32"
# Target speed-ups on a CPU in float32 and bf16, and on a GPU in bf16; None: no target.
TARGETS = {
    "token mixing and gate, forward and backward": (1.7, 2.0, 3.0),
    "training step, PosMLP-T": (1.35, 1.4, 2.0),
    "training step, gMLP-S with gqpe, against timm's gMLP-S": (0.9, 0.9, 0.9),
    "training step, cifar_small, gqpe_s16 against sgu": (None, None, None),
    "testing, PosMLP-T": (2.0, 2.0, 3.0),
    "training step per FLOP, PosMLP-T against Swin-T": (0.95, 0.95, 1.0),
    "token mixing and gate, peak memory": (None, None, 1.67),
}
MIXING, STEP, GMLP, SMALL_STEP, TESTING, PER_FLOP, MEMORY = TARGETS
GRAPHS = "training step, smallest model, CUDA graphs against none"
COMPILED = "training step, PosMLP-T, compiled against not compiled"
# Small networks that stand in for the measured ones in a rehearsal on a CPU.
REHEARSED = {TINY: "posmlp_xs_32", SWIN: "posmlp_xs_32"}
REHEARSED |= dict.fromkeys((SMALL, "gmlp_s16_224"), CIFAR)
AT_ONCE = (1, 2, 4, 8)  # runs that share a GPU
SIDES = (14, 28, 32, 40, 56, 80)  # of square windows, in tokens


class Bench:
    """Pairs of work to compare, on one device in one precision."""

    def __init__(self, device: str, dtype: torch.dtype, num_images: int, rehearse: bool) -> None:
        self.device, self.dtype, self.rehearse = device, dtype, rehearse
        side = 32 if rehearse else 224
        self.images = torch.randn(num_images, 3, side, side, device=device)
        self.batch = 4 * num_images

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device, self.dtype, enabled=self.dtype != torch.float32)

    def random(self, *size: int) -> Tensor:
        return torch.randn(size, device=self.device).to(self.dtype).requires_grad_()

    def passes(self, module: nn.Module, inputs: list[Tensor]) -> Work:
        """A forward and backward pass with fresh gradients."""
        module = module.to(self.device)

        def work() -> None:
            for tensor in (*module.parameters(), *inputs):
                tensor.grad = None
            with self.autocast():
                output = module(*inputs)
            output.backward(torch.ones_like(output))

        return work

    def model(self, name: str, released: bool = False, **arguments: Any) -> nn.Module:
        name = REHEARSED.get(name, name) if self.rehearse else name
        model = timm.create_model(name, **arguments)
        return (as_released(model) if released else model).to(self.device)

    def step(
        self,
        name: str,
        *,
        released: bool = False,
        compiled: str | None = None,
        images: Tensor | None = None,
        **arguments: Any,
    ) -> Work:
        """A training step of a model; `compiled` is a mode of torch.compile."""
        model = self.model(name, released, **arguments).train()
        if compiled:
            model.compile(mode=compiled, fullgraph=True)
        images = self.images if images is None else images
        return training_step(model, images, self.dtype != torch.float32)

    def test(self, name: str, *, released: bool = False) -> Work:
        """A pass of inference."""
        model = self.model(name, released).eval()

        @torch.inference_mode()
        def work() -> None:
            with self.autocast():
                model(self.images)

        return work

    def mixing(self) -> tuple[Work, Work]:
        """One gating unit in both formulations, each in its own layout."""
        C, N, groups = 768, 196, 32
        unit = GatingUnit(2 * C, (14, 14), "gqpe", groups)
        halves = [self.random(C, self.batch, N) for _ in range(2)]
        tokens = self.random(self.batch, 1, N, 2 * C)
        return self.passes(unit, halves), self.passes(ReleasedUnit(unit), [tokens])

    def pair(self, name: str) -> tuple[Work, Work]:
        """Our work and its reference."""
        images = torch.randn(64, 3, 8, 8, device=self.device)
        cifar = partial(self.step, CIFAR, images=torch.randn(50, 3, 32, 32, device=self.device))
        pairs: dict[str, Callable[[], tuple[Work, Work]]] = {
            MIXING: self.mixing,
            STEP: lambda: (self.step(TINY), self.step(TINY, released=True)),
            GMLP: lambda: (self.step(SMALL), self.step("gmlp_s16_224")),
            SMALL_STEP: lambda: (cifar(gate="gqpe", groups=16), cifar(gate="sgu")),
            TESTING: lambda: (self.test(TINY), self.test(TINY, released=True)),
            PER_FLOP: lambda: (self.step(TINY), self.step(SWIN)),
            COMPILED: lambda: (self.step(TINY, compiled="default"), self.step(TINY)),
            GRAPHS: lambda: (
                self.step(SMALLEST, compiled="reduce-overhead", images=images),
                self.step(SMALLEST, images=images),
            ),
        }
        return pairs[name]()

    def measure(self, name: str, repetitions: int) -> dict:
        """The speed-up of a row, and our fraction of the device's matrix-product rate."""
        if name == MEMORY:
            ours_b, other_b = (peak_memory(work) for work in self.mixing())
            return once(other_b / ours_b) | dict(ours_b=ours_b, other_b=other_b)
        ours, other = self.pair(name)
        repetitions *= 5 if name == MIXING else 1
        result = asdict(compare(ours, other, repetitions, seconds))
        if name in (COMPILED, GRAPHS):
            return result
        if name == PER_FLOP:
            flops = operations(ours) / operations(other)
            result |= {key: flops * result[key] for key in ("ratio", "low", "high")}
        rate = matmul_rate(self.dtype, self.device)
        return result | {"share": operations(ours) / rate / result["ours_s"]}

    def measure_convolution(self, side: int, gate: str, repetitions: int) -> dict:
        """Mixing by a convolution against the map."""
        pair = convolution_and_map(side, torch.device(self.device), gate)
        return asdict(compare(*pair, repetitions, seconds))


class Planned(NamedTuple):
    """A row and how to measure it."""

    name: str
    dtype: str
    target: float | None
    measure: Callable[[], dict]


def plan(arguments: argparse.Namespace, device: str) -> Iterator[Planned]:
    """Rows in order; compiling takes longest and comes last."""
    repetitions = 9 if arguments.full else 2 if arguments.rehearse else 5
    batches = {"cpu": (4, 16), "cuda": (64, 256)}[device]
    num_images = 1 if arguments.rehearse else batches[arguments.full]
    as_gpu = arguments.rehearse or device == "cuda"
    for dtype in ("bf16",) if as_gpu else DTYPES:
        bench = Bench(device, DTYPES[dtype], num_images, arguments.rehearse)
        column = 2 if as_gpu else list(DTYPES).index(dtype)
        for name, targets in TARGETS.items():
            if name != MEMORY or device == "cuda":
                yield Planned(
                    name, dtype, targets[column], partial(bench.measure, name, repetitions)
                )
    dtype = "bf16" if as_gpu else "float32"
    bench = Bench(device, DTYPES[dtype], num_images, arguments.rehearse)
    sides = SIDES[:2] if arguments.rehearse else SIDES
    for side, gate in itertools.product(sides, ("lrpe", "gqpe")):
        name = f"convolution against map, {gate}, {side**2:,} tokens"
        measure = partial(bench.measure_convolution, side, gate, repetitions)
        yield Planned(name, dtype, None, measure)
    if as_gpu:
        yield from plan_of_gpu(bench)


def plan_of_gpu(bench: Bench) -> Iterator[Planned]:
    """Rows for GPUs only: on CPUs, compiling takes minutes and runs do not share cores."""
    counts = AT_ONCE[: 2 if bench.rehearse else None]
    speeds = cache(partial(side_by_side, torch.device(bench.device), counts))
    for count in counts[1:]:
        name = f"training images a second, smallest model, {count} runs at once against one"
        yield Planned(name, "bf16", None, lambda n=count: once(speeds()[n] / speeds()[1]))
    for name in (GRAPHS,) if bench.rehearse else (GRAPHS, COMPILED):
        yield Planned(name, "bf16", None, partial(bench.measure, name, 5))


def row(planned: Planned, device: str) -> dict:
    """Measure a row, as stored; `met` is null without a target."""
    found, target = planned.measure(), planned.target
    met = None if target is None else found["ratio"] >= target
    place = dict(name=planned.name, device={"cpu": "CPU", "cuda": "GPU"}[device])
    return rounded(place | dict(dtype=planned.dtype, target=target, met=met) | found)


def line(values: dict) -> str:
    found = f"{values['name']:<60} {values['device']} {values['dtype']:<8}"
    found += f" {values['ratio']:6.2f}x ({values['low']:.2f} to {values['high']:.2f})"
    if values["target"] is None:
        return found
    return f"{found}, target {values['target']:.2f}{'' if values['met'] else ' MISSED'}"


def limits(full: bool, device: str) -> dict:
    """The machine and its peak rates."""
    return {
        "hardware": hardware(),
        "torch": torch.__version__,
        "full": full,
        "matmul_gflops": {k: round(matmul_rate(v, device) / 1e9, 1) for k, v in DTYPES.items()},
        "copy_gb_s": round(copy_bandwidth(device) / 1e9, 1),
        "decoded_images_s": round(decoding_rate()),
    }


def measure(arguments: argparse.Namespace, folder: Path) -> None:
    """Measure row by row and write the file after each, so that a killed job keeps its rows."""
    began, device = time.monotonic(), "cuda" if torch.cuda.is_available() else "cpu"
    content, known = limits(arguments.full, device), {}
    path = path_of(content["hardware"], folder)
    if arguments.only and path.exists():
        rows = json.loads(path.read_text())["rows"]
        known = {(r["name"], r["device"], r["dtype"]): r for r in rows}
    for planned in plan(arguments, device):
        if arguments.only not in planned.name:
            continue
        if arguments.minutes and time.monotonic() - began > 60 * arguments.minutes:
            print(f"{planned.name:<60} not measured: out of time ({arguments.minutes:g} minutes)")
            continue
        try:
            values = row(planned, device)
        except Exception as error:  # the next row may still work
            first_line = str(error).strip().partition("\n")[0]
            print(f"{planned.name:<60} FAILED: {first_line}", flush=True)
            continue
        print(line(values), flush=True)
        known[values["name"], values["device"], values["dtype"]] = values
        write(content | {"rows": list(known.values())}, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="larger batches, more repetitions")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--minutes", type=float, help="start no row after this time")
    parser.add_argument("--rehearse", action="store_true", help="a GPU's rows on the CPU, small")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--results", type=Path, default=Path("results"))
    arguments = parser.parse_args()
    torch.set_num_threads(1 if arguments.rehearse else arguments.threads)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as nowhere:
        measure(arguments, Path(nowhere) if arguments.rehearse else arguments.results / "bench")


if __name__ == "__main__":
    main()
