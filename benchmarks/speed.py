"""Compare the speed of training and testing with the released formulation and with timm's models.

    python benchmarks/speed.py                  # some minutes: small batches, few repetitions
    python benchmarks/speed.py --full           # larger batches, more repetitions
    python benchmarks/speed.py --only growth    # rows whose name contains a word

Measures the GPU where there is one, else the CPU; on a busy machine, --threads 1 counts CPU
seconds. Prints each row when it is measured and writes results/bench/<hardware>.json, from which
`posmlp docs` makes the tables of docs/performance.md.
"""

import argparse
import json
from collections.abc import Callable, Iterator
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
    rounded,
    seconds,
    write,
)
from torch import Tensor, nn

import posmlp.models  # noqa: F401  registers the backbones
from posmlp.layers import GatingUnit, TokenMixing

DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}
TINY, SMALL, SMALLEST = "posmlp_tiny_224", "gmlp_posgu_s16_224", "gmlp_posgu_xs1_8"
# Speed-up to reach on a CPU in float32 and bf16, and on a GPU in bf16; None: no target.
TARGETS = {
    "token mixing and gate, forward and backward": (1.7, 2.0, 3.0),
    "training step, PosMLP-T": (1.35, 1.4, 2.0),
    "training step, gMLP-S with gqpe, against timm's gMLP-S": (0.9, 0.9, 0.9),
    "testing, PosMLP-T": (2.0, 2.0, 3.0),
    "training step per FLOP, PosMLP-T against Swin-T": (0.95, 0.95, 1.0),
    "token mixing and gate, peak memory": (None, None, 1.67),
    "training step, PosMLP-T, compiled against not compiled": (None, None, None),
    "training step, smallest model, CUDA graphs against none": (None, None, None),
}
MIXING, STEP, GMLP, TESTING, SWIN, MEMORY, COMPILED, GRAPHS = TARGETS
ON_GPUS = (MEMORY, COMPILED, GRAPHS)  # compiling takes minutes on a CPU
SIDES = (7, 14, 28, 40, 56, 80, 112)  # of square windows, in tokens
LARGEST_MAP = 6400  # tokens of a window whose map still fits into memory


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
        """A forward and backward pass with fresh gradients."""
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

    def step(
        self,
        name: str,
        *,
        released: bool = False,
        compiled: str | None = None,
        images: Tensor | None = None,
    ) -> Work:
        """A training step of a model; `compiled` is a mode of torch.compile."""
        model = self.model(name, released).train()
        images = self.images if images is None else images
        if compiled:
            model.compile(mode=compiled, fullgraph=True)
        optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
        labels = torch.arange(len(images), device=self.device)

        def work() -> None:
            optimizer.zero_grad()
            with self.autocast():
                loss = F.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()

        return work

    def test(self, name: str, *, released: bool = False) -> Work:
        """A pass of inference."""
        model = self.model(name, released).eval()

        @torch.inference_mode()
        def work() -> None:
            with self.autocast():
                model(self.images)

        return work

    def mixing(self) -> tuple[Work, Work]:
        """One gating unit in both formulations, each in the layout it works in."""
        C, N, groups = 768, 196, 32
        unit = GatingUnit(2 * C, (14, 14), "gqpe", groups)
        halves = [self.random(C, self.batch, N) for _ in range(2)]
        tokens = self.random(self.batch, 1, N, 2 * C)
        return self.passes(unit, halves), self.passes(ReleasedUnit(unit), [tokens])

    def pair(self, name: str) -> tuple[Work, Work]:
        """Ours and what it is compared with."""
        images = torch.randn(64, 1, 8, 8, device=self.device)
        pairs: dict[str, Callable[[], tuple[Work, Work]]] = {
            MIXING: self.mixing,
            STEP: lambda: (self.step(TINY), self.step(TINY, released=True)),
            GMLP: lambda: (self.step(SMALL), self.step("gmlp_s16_224")),
            TESTING: lambda: (self.test(TINY), self.test(TINY, released=True)),
            SWIN: lambda: (self.step(TINY), self.step("swin_tiny_patch4_window7_224")),
            COMPILED: lambda: (self.step(TINY, compiled="default"), self.step(TINY)),
            GRAPHS: lambda: (
                self.step(SMALLEST, compiled="reduce-overhead", images=images),
                self.step(SMALLEST, images=images),
            ),
        }
        return pairs[name]()

    def measure(self, name: str, repetitions: int) -> dict:
        """The ratio of a row, and the fraction of the device's product rate that ours reaches."""
        if name == MEMORY:
            ours_b, other_b = (peak_memory(work) for work in self.mixing())
            ratio = other_b / ours_b
            return dict(ratio=ratio, low=ratio, high=ratio, ours_b=ours_b, other_b=other_b)
        ours, other = self.pair(name)
        result = asdict(compare(ours, other, 5 * repetitions if name == MIXING else repetitions))
        if name in (COMPILED, GRAPHS):
            return result
        if name == SWIN:
            flops = operations(ours) / operations(other)
            result |= {key: flops * result[key] for key in ("ratio", "low", "high")}
        rate = matmul_rate(self.dtype, self.device)
        return result | {"share": operations(ours) / rate / result["ours_s"]}

    def measure_growth(self, side: int, gate: str, repetitions: int) -> dict:
        """Mixing on a square window as it is chosen, against its map where that fits."""
        ours = self.passes(TokenMixing((side, side), gate, groups=2), [self.random(48, 2, side**2)])
        if side**2 > LARGEST_MAP:
            seconds(ours)
            return dict(ours_s=sorted(seconds(ours) for _ in range(3))[1])

        def dense() -> None:
            with by_map():
                ours()

        return asdict(compare(ours, dense, 5 * repetitions if side < 60 else 3))


def rows(arguments: argparse.Namespace, device: str) -> Iterator[dict]:
    """Measure row by row."""
    repetitions = arguments.repetitions or (9 if arguments.full else 5)
    on_gpu = device == "cuda"
    for dtype in ("bf16",) if on_gpu else ("float32", "bf16"):
        bench = Bench(device, DTYPES[dtype], arguments.full)
        column = 2 if on_gpu else list(DTYPES).index(dtype)
        for name, targets in TARGETS.items():
            if arguments.only in name and (on_gpu or name not in ON_GPUS):
                yield row(name, device, dtype, targets[column], bench.measure(name, repetitions))
    dtype = "bf16" if on_gpu else "float32"
    bench = Bench(device, DTYPES[dtype], full=False)
    for side in SIDES:
        for gate in ("lrpe", "gqpe"):
            name = f"growth: {gate}, {side**2:,} tokens, forward and backward"
            if arguments.only in name:
                found = bench.measure_growth(side, gate, repetitions)
                yield row(name, device, dtype, None, found)


def row(name: str, device: str, dtype: str, target: float | None, found: dict) -> dict:
    """A row as it is stored; `met` is null without a target."""
    ratio = found.get("ratio")
    met = None if ratio is None or target is None else ratio >= target
    place = dict(name=name, device={"cpu": "CPU", "cuda": "GPU"}[device], dtype=dtype)
    return rounded(place | dict(target=target, met=met, ratio=ratio) | found)


def line(values: dict) -> str:
    head = f"{values['name']:<60} {values['device']} {values['dtype']:<8}"
    if values["ratio"] is None:
        return f"{head} {values['ours_s']:.3f} s"
    found = f"{head} {values['ratio']:6.2f}x ({values['low']:.2f} to {values['high']:.2f})"
    if values["target"] is None:
        return found
    return f"{found}, target {values['target']:.2f}{'' if values['met'] else ' MISSED'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="larger batches, more repetitions")
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
    known = json.loads(path.read_text())["rows"] if arguments.only and path.exists() else []
    for values in rows(arguments, device):
        print(line(values), flush=True)
        known.append(values)
    content = {
        "hardware": machine,
        "torch": torch.__version__,
        "full": arguments.full,
        "matmul_gflops": {k: round(matmul_rate(v, device) / 1e9, 1) for k, v in DTYPES.items()},
        "copy_gb_s": round(copy_bandwidth(device) / 1e9, 1),
        "decoded_images_s": round(decoding_rate()),
        "rows": list({(r["name"], r["device"], r["dtype"]): r for r in known}.values()),
    }
    write(content, folder)


if __name__ == "__main__":
    main()
