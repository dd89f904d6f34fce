"""Compare the speed of training and testing with the released formulation and with timm's models.

    python benchmarks/speed.py                  # some minutes: small batches, few repetitions
    python benchmarks/speed.py --full           # larger batches, more repetitions
    python benchmarks/speed.py --only growth    # rows whose name contains a word

Prints a row as soon as it is measured and writes results/bench/<hardware>.json, from which
`python -m posmlp docs` makes the tables of docs/performance.md. Without a GPU its rows say that
they were not measured. On a machine that does other work too, --threads 1 counts CPU seconds.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import timm
import torch
import torch.nn.functional as F
from decoding import decoding_rate
from formulation import ReleasedUnit, as_released
from measure import Work, compare, copy_bandwidth, matmul_rate, operations, processor, seconds
from torch import nn

import posmlp.models  # noqa: F401  registers the backbones
from posmlp.layers import GatingUnit, TokenMixing, mixing

DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}
MIXING, STEP = "token mixing and gate, forward and backward", "training step, PosMLP-T"
GMLP, TESTING = "training step, gMLP-S with gqpe, against timm's gMLP-S", "testing, PosMLP-T"
SWIN = "training step per FLOP, PosMLP-T against Swin-T"
# Of each row: at least so many times faster, on CPUs in float32 and in bf16, on GPUs in bf16.
TARGETS = {
    MIXING: (1.7, 2.0, 3.0),
    STEP: (1.6, 1.6, 2.0),
    GMLP: (0.9, 0.9, 0.9),
    TESTING: (2.0, 2.0, 3.0),
    SWIN: (1 / 1.05, 1 / 1.05, 1.0),
}
GROWTH = {49: 1 / 1.1, 196: 1 / 1.1, 784: 1 / 1.1, 1600: 1 / 1.1, 3136: 8.0, 6400: 15.0}


def autocast(dtype: torch.dtype) -> torch.autocast:
    return torch.autocast("cpu", dtype, enabled=dtype != torch.float32)


def backward(module: nn.Module, inputs: list[torch.Tensor], dtype: torch.dtype) -> None:
    """One forward and backward pass; gradients are written anew."""
    for tensor in (*module.parameters(), *inputs):
        tensor.grad = None
    with autocast(dtype):
        output = module(*inputs)
    output.backward(torch.ones_like(output))


def training_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, images: torch.Tensor, dtype: torch.dtype
) -> None:
    optimizer.zero_grad()
    with autocast(dtype):
        loss = F.cross_entropy(model(images), torch.arange(len(images)))
    loss.backward()
    optimizer.step()


def trained(name: str, images: torch.Tensor, dtype: torch.dtype, *, released: bool = False) -> Work:
    """Return a step of training of a model by name."""
    model = timm.create_model(name)
    model = (as_released(model) if released else model).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    return partial(training_step, model, optimizer, images, dtype)


def inference(
    name: str, images: torch.Tensor, dtype: torch.dtype, *, released: bool = False
) -> Work:
    """Return a pass of inference of a model by name."""
    model = timm.create_model(name)
    model = (as_released(model) if released else model).eval()

    @torch.inference_mode()
    def work() -> None:
        with autocast(dtype):
            model(images)

    return work


def mixed(batch: int, dtype: torch.dtype) -> tuple[Work, Work]:
    """Return both formulations of one unit, each in the layout that it works in."""
    C, window, groups = 768, (14, 14), 32
    unit = GatingUnit(2 * C, window, "gqpe", groups)
    released = ReleasedUnit(unit)
    halves = [torch.randn(C, batch, 196).to(dtype).requires_grad_() for _ in range(2)]
    tokens = torch.randn(batch, 1, 196, 2 * C).to(dtype).requires_grad_()
    return partial(backward, unit, halves, dtype), partial(backward, released, [tokens], dtype)


def pairs(dtype: torch.dtype, full: bool) -> Iterator[tuple[str, Work, Work, float]]:
    """Yield every row: its name, ours, the other, and ours' FLOPs over the other's if they count.

    Rows are built one at a time, so that no more than two networks are held at once.
    """
    yield (MIXING, *mixed(32 if full else 16, dtype), 1.0)
    images = torch.randn(16 if full else 4, 3, 224, 224)
    tiny, swin = "posmlp_tiny_224", "swin_tiny_patch4_window7_224"
    yield STEP, trained(tiny, images, dtype), trained(tiny, images, dtype, released=True), 1.0
    gmlp = "gmlp_posgu_s16_224", "gmlp_s16_224"
    yield (GMLP, *(trained(name, images, dtype) for name in gmlp), 1.0)
    yield (
        TESTING,
        inference(tiny, images, dtype),
        inference(tiny, images, dtype, released=True),
        1.0,
    )
    ours, other = (trained(name, images, dtype) for name in (tiny, swin))
    yield SWIN, ours, other, operations(ours) / operations(other)


def growth_pair(side: int, gate: str) -> tuple[Work, Work]:
    """Return mixing on a square window as it is chosen, and by its map."""
    layer = TokenMixing((side, side), gate, groups=2)
    tokens = [torch.randn(48, 2, side * side).requires_grad_()]

    def dense() -> None:
        chosen, mixing.CONVOLVE_FROM = mixing.CONVOLVE_FROM, {}
        try:
            backward(layer, tokens, torch.float32)
        finally:
            mixing.CONVOLVE_FROM = chosen

    return partial(backward, layer, tokens, torch.float32), dense


def growth(side: int, gate: str, repetitions: int) -> dict:
    """Compare mixing on a square window with its map, where that is small enough to be held."""
    ours, dense = growth_pair(side, gate)
    if side * side not in GROWTH:
        ours()
        return dict(target=None, ours_s=sorted(seconds(ours) for _ in range(3))[1])
    result = compare(ours, dense, 5 * repetitions if side < 40 else 3)
    return dict(target=GROWTH[side * side], **asdict(result))


def rows(arguments: argparse.Namespace) -> Iterator[dict]:
    """Measure row by row."""
    repetitions = arguments.repetitions or (9 if arguments.full else 5)
    for place, (dtype_name, dtype) in enumerate(DTYPES.items()):
        names = [name for name in TARGETS if arguments.only in name]
        rate = matmul_rate(dtype) if names else None
        for name, ours, other, flops in pairs(dtype, arguments.full):
            if name not in names:
                continue
            result = asdict(compare(ours, other, repetitions))
            for key in ("ratio", "low", "high"):
                result[key] *= flops
            share = operations(ours) / rate / result["ours_s"]
            yield row(name, "CPU", dtype_name, TARGETS[name][place], **result, share=share)
    for side in (7, 14, 28, 40, 56, 80, 112):
        for gate in ("lrpe", "gqpe"):
            name = f"growth: {gate}, {side * side:,} tokens, forward and backward"
            if arguments.only in name:
                yield row(name, "CPU", "float32", **growth(side, gate, repetitions))
    for name, targets in TARGETS.items():
        yield row(name, "GPU", "bf16", targets[2])


def row(
    name: str, device: str, dtype: str, target: float | None, ratio: float | None = None, **found
) -> dict:
    """Return a row as it is stored; `met` is null where nothing was measured."""
    met = None if ratio is None or target is None else ratio >= target
    values = dict(name=name, device=device, dtype=dtype, ratio=ratio, target=target, met=met)
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in (values | found).items()}


def line(values: dict) -> str:
    head = f"{values['name']:<60} {values['device']} {values['dtype']:<8}"
    if values["ratio"] is None:
        return f"{head} {values['ours_s']:.3f} s" if "ours_s" in values else f"{head} not measured"
    return (
        f"{head} {values['ratio']:6.2f}x ({values['low']:.2f} to {values['high']:.2f}), target "
        f"{values['target']:.2f}{'' if values['met'] else ' MISSED'}"
    )


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
    hardware = processor()
    path = arguments.results / "bench" / (re.sub(r"\W+", "-", hardware.lower()) + ".json")
    kept = json.loads(path.read_text())["rows"] if arguments.only and path.exists() else []
    measured = []
    for values in rows(arguments):
        print(line(values), flush=True)
        measured.append(values)
    known = {(r["name"], r["device"], r["dtype"]): r for r in [*kept, *measured]}
    content = {
        "hardware": hardware,
        "torch": torch.__version__,
        "full": arguments.full,
        "matmul_gflops": {k: round(matmul_rate(v) / 1e9, 1) for k, v in DTYPES.items()},
        "copy_gb_s": round(copy_bandwidth() / 1e9, 1),
        "decoded_images_s": round(decoding_rate()),
        "rows": list(known.values()),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
