"""Compare the speed of training and testing with the released formulation and with timm's models.

    python benchmarks/speed.py                  # some minutes: small batches, few repetitions
    python benchmarks/speed.py --full           # larger batches, more repetitions
    python benchmarks/speed.py --only growth    # rows whose name contains a word

Measures the GPU where there is one, elsewhere the CPU; on a machine that does other work too,
--threads 1 counts CPU seconds. Prints a row as soon as it is measured and writes
results/bench/<hardware>.json, from which `python -m posmlp docs` makes docs/performance.md.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import timm
import torch
import torch.nn.functional as F
from decoding import decoding_rate
from formulation import ReleasedUnit, as_released
from measure import (
    Work,
    by_map,
    compare,
    copy_bandwidth,
    hardware,
    matmul_rate,
    operations,
    path_of,
    peak_memory,
    seconds,
    stored,
    write,
)
from torch import Tensor, nn

import posmlp.models  # noqa: F401  registers the backbones
from posmlp.layers import GatingUnit, TokenMixing

DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}
MIXING, STEP = "token mixing and gate, forward and backward", "training step, PosMLP-T"
GMLP, TESTING = "training step, gMLP-S with gqpe, against timm's gMLP-S", "testing, PosMLP-T"
SWIN = "training step per FLOP, PosMLP-T against Swin-T"
MEMORY = "token mixing and gate, peak memory"
COMPILED = "training step, PosMLP-T, compiled against not compiled"
GRAPHS = "training step, smallest model, CUDA graphs against none"
# At least so many times faster, on CPUs in float32 and in bf16, on GPUs in bf16; None: told only.
TARGETS = {
    MIXING: (1.7, 2.0, 3.0),
    STEP: (1.6, 1.6, 2.0),
    GMLP: (0.9, 0.9, 0.9),
    TESTING: (2.0, 2.0, 3.0),
    SWIN: (1 / 1.05, 1 / 1.05, 1.0),
    MEMORY: (None, None, 1 / 0.6),
    COMPILED: (None, None, None),
    GRAPHS: (None, None, None),
}
ON_GPUS = (MEMORY, COMPILED, GRAPHS)  # on a CPU compiling alone takes minutes
PLACES = [("cpu", "float32"), ("cpu", "bf16"), ("cuda", "bf16")]  # as the columns above
TOLD = {"cpu": "CPU", "cuda": "GPU"}
GROWTH = {49: 1 / 1.1, 196: 1 / 1.1, 784: 1 / 1.1, 1600: 1 / 1.1, 3136: 8.0, 6400: 15.0}


class Bench:
    """Pairs of pieces of work on one device in one precision."""

    def __init__(self, device: str, dtype: torch.dtype, full: bool) -> None:
        self.device, self.dtype = device, dtype
        batches = {"cpu": (4, 16), "cuda": (64, 256)}[device]
        self.images = torch.randn(batches[full], 3, 224, 224, device=device)
        self.batch = 4 * batches[full]

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device, self.dtype, enabled=self.dtype != torch.float32)

    def random(self, *size: int) -> Tensor:
        return torch.randn(size, device=self.device).to(self.dtype).requires_grad_()

    def passes(self, module: nn.Module, inputs: list[Tensor]) -> Work:
        """Return a forward and backward pass; gradients are written anew."""
        module = module.to(self.device)

        def work() -> None:
            for tensor in (*module.parameters(), *inputs):
                tensor.grad = None
            with self.autocast():
                output = module(*inputs)
            output.backward(torch.ones_like(output))

        return work

    def model(self, name: str, released: bool = False) -> nn.Module:
        model = timm.create_model(name)
        return (as_released(model) if released else model).to(self.device)

    def trained(
        self, name: str, *, released: bool = False, mode: str | None = None, images=None
    ) -> Work:
        """Return a step of training of a model by name, compiled in a mode of torch.compile."""
        model = self.model(name, released).train()
        images = self.images if images is None else images
        if mode:
            model.compile(mode=mode, fullgraph=True)
        optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
        labels = torch.arange(len(images), device=self.device)

        def work() -> None:
            optimizer.zero_grad()
            with self.autocast():
                loss = F.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()

        return work

    def tested(self, name: str, *, released: bool = False) -> Work:
        """Return a pass of inference of a model by name."""
        model = self.model(name, released).eval()

        @torch.inference_mode()
        def work() -> None:
            with self.autocast():
                model(self.images)

        return work

    def mixing(self) -> tuple[Work, Work]:
        """Return both formulations of one unit, each in the layout that it works in."""
        C, N, groups = 768, 196, 32
        unit = GatingUnit(2 * C, (14, 14), "gqpe", groups)
        halves = [self.random(C, self.batch, N) for _ in range(2)]
        tokens = self.random(self.batch, 1, N, 2 * C)
        return self.passes(unit, halves), self.passes(ReleasedUnit(unit), [tokens])

    def pair(self, name: str) -> tuple[Work, Work, float]:
        """Return ours, the other, and ours' FLOPs over the other's where they count."""
        tiny, gmlp = "posmlp_tiny_224", "gmlp_posgu_s16_224"
        if name == MIXING:
            return *self.mixing(), 1.0
        if name == STEP:
            return self.trained(tiny), self.trained(tiny, released=True), 1.0
        if name == GMLP:
            return self.trained(gmlp), self.trained("gmlp_s16_224"), 1.0
        if name == TESTING:
            return self.tested(tiny), self.tested(tiny, released=True), 1.0
        if name == SWIN:
            ours, other = self.trained(tiny), self.trained("swin_tiny_patch4_window7_224")
            return ours, other, operations(ours) / operations(other)
        if name == COMPILED:
            return self.trained(tiny, mode="default"), self.trained(tiny), 1.0
        small, mode = "gmlp_posgu_xs1_8", "reduce-overhead"
        images = torch.randn(64, 1, 8, 8, device=self.device)
        return (
            self.trained(small, mode=mode, images=images),
            self.trained(small, images=images),
            1.0,
        )

    def growth(self, side: int, gate: str) -> tuple[Work, Work]:
        """Return mixing on a square window by the fixed rule, and by its map."""
        layer = TokenMixing((side, side), gate, groups=2)
        ours = self.passes(layer, [self.random(48, 2, side * side)])

        def dense() -> None:
            with by_map():
                ours()

        return ours, dense


def growth(bench: Bench, side: int, gate: str, repetitions: int) -> dict:
    """Compare mixing on a square window with its map, where that is small enough to be held."""
    ours, dense = bench.growth(side, gate)
    if side * side not in GROWTH:
        seconds(ours)
        return dict(target=None, ours_s=sorted(seconds(ours) for _ in range(3))[1])
    result = compare(ours, dense, 5 * repetitions if side < 60 else 3)
    return dict(target=GROWTH[side * side], **asdict(result))


def measured(bench: Bench, name: str, repetitions: int) -> dict:
    """Compare a pair, and ours with what the device could do at best."""
    if name == MEMORY:
        ours_b, other_b = (peak_memory(work) for work in bench.mixing())
        ratio = other_b / ours_b
        return dict(ratio=ratio, low=ratio, high=ratio, ours_b=ours_b, other_b=other_b)
    ours, other, flops = bench.pair(name)
    result = asdict(compare(ours, other, 5 * repetitions if name == MIXING else repetitions))
    for key in ("ratio", "low", "high"):
        result[key] *= flops
    if name in (COMPILED, GRAPHS):
        return result
    rate = matmul_rate(bench.dtype, bench.device)
    return dict(share=operations(ours) / rate / result["ours_s"], **result)


def rows(arguments: argparse.Namespace) -> Iterator[dict]:
    """Measure row by row; what this machine has no device for is a row without numbers."""
    repetitions = arguments.repetitions or (9 if arguments.full else 5)
    here = "cuda" if torch.cuda.is_available() else "cpu"
    for place, (device, dtype) in enumerate(PLACES):
        bench = Bench(device, DTYPES[dtype], arguments.full) if device == here else None
        for name, targets in TARGETS.items():
            if arguments.only in name and (device == "cuda" or name not in ON_GPUS):
                found = measured(bench, name, repetitions) if bench else {}
                yield row(name, TOLD[device], dtype, targets[place], **found)
    dtype = "bf16" if here == "cuda" else "float32"
    bench = Bench(here, DTYPES[dtype], full=False)
    for side in (7, 14, 28, 40, 56, 80, 112):
        for gate in ("lrpe", "gqpe"):
            name = f"growth: {gate}, {side * side:,} tokens, forward and backward"
            if arguments.only in name:
                yield row(name, TOLD[here], dtype, **growth(bench, side, gate, repetitions))


def row(
    name: str, device: str, dtype: str, target: float | None, ratio: float | None = None, **found
) -> dict:
    """Return a row as it is stored; `met` is null where nothing was measured or asked for."""
    met = None if ratio is None or target is None else ratio >= target
    values = dict(name=name, device=device, dtype=dtype, ratio=ratio, target=target, met=met)
    return stored(values | found)


def line(values: dict) -> str:
    head = f"{values['name']:<60} {values['device']} {values['dtype']:<8}"
    if values["ratio"] is None:
        return f"{head} {values['ours_s']:.3f} s" if "ours_s" in values else f"{head} not measured"
    found = f"{head} {values['ratio']:6.2f}x ({values['low']:.2f} to {values['high']:.2f})"
    if values["target"] is None:
        return found
    return f"{found}, target {values['target']:.2f}{'' if values['met'] else ' MISSED'}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repetitions", type=int)
    parser.add_argument("--results", type=Path, default=Path("results"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    machine, device = hardware(), "cuda" if torch.cuda.is_available() else "cpu"
    folder = arguments.results / "bench"
    path = path_of(machine, folder)
    kept = json.loads(path.read_text())["rows"] if arguments.only and path.exists() else []
    found = []
    for values in rows(arguments):
        print(line(values), flush=True)
        found.append(values)
    known = {(r["name"], r["device"], r["dtype"]): r for r in [*kept, *found]}
    content = {
        "hardware": machine,
        "torch": torch.__version__,
        "full": arguments.full,
        "matmul_gflops": {k: round(matmul_rate(v, device) / 1e9, 1) for k, v in DTYPES.items()},
        "copy_gb_s": round(copy_bandwidth(device) / 1e9, 1),
        "decoded_images_s": round(decoding_rate()),
        "rows": list(known.values()),
    }
    write(content, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
