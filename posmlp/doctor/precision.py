"""Outputs and gradients of every unit and of a network of each family, against float64 on CPUs."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import timm
import torch
from torch import Tensor, nn

import posmlp.models  # noqa: F401  registers the backbones
from posmlp.doctor.findings import Finding, Verdict
from posmlp.layers import GATES, GatingUnit
from posmlp.layers.mixing import CONVOLVE_FROM

# Largest relative difference (L2 norm) of an output, or of a gradient of one parameter.
TOLERANCES = {"float32": 1e-4, "TF32": 2e-2, "bf16": 2e-1}
NETWORKS = ("gmlp_posgu_xxs2_28", "posmlp_xxs_28")
DIM, GROUPS, BATCH = 32, 4, 2
LONG = (32, 32)  # a window that is mixed by a convolution
SMALLEST = 1e-2  # of the largest gradient; smaller ones, some of them zero, count as so large


def float32(device: torch.device) -> Finding:
    return compare("float32", device)


def tf32(device: torch.device) -> Finding:
    if device.type != "cuda":
        return Finding(Verdict.SKIPPED, "CPUs have no TF32.")
    return compare("TF32", device)


def bf16(device: torch.device) -> Finding:
    return compare("bf16", device)


def compare(precision: str, device: torch.device) -> Finding:
    """Compare every unit and network in a precision with float64; the worst decides."""
    worst, differences = ("", 0.0), {}
    for name, module, inputs in modules():
        reference = passes(module, inputs, torch.device("cpu"), "float64")
        found = passes(module, inputs, device, precision)
        by_tensor = relative(found, reference)
        tensor = max(by_tensor, key=by_tensor.get)
        differences[name] = by_tensor[tensor]
        if by_tensor[tensor] >= worst[1]:
            worst = f"{name}, {tensor}", by_tensor[tensor]
    text = f"{len(differences)} units and networks, forward and backward, against float64 on the "
    text += f"CPU: the largest relative difference is {worst[1]:.1e} ({worst[0]})"
    if worst[1] <= TOLERANCES[precision]:
        return Finding(Verdict.OK, text, values=differences)
    text += f", above {TOLERANCES[precision]:.0e}"
    advice = "Do not trust results of this machine. Try another version of torch, then another node"
    return Finding(Verdict.FAILED, text, f"{advice}.", differences)


def modules() -> Iterator[tuple[str, nn.Module, list[Tensor]]]:
    """Every gating unit on a window, on one that it mixes by a convolution, and the networks."""
    for name, gate in GATES.items():
        by_map = gate.token_fc or gate.position is None
        for window in ((14, 14),) if by_map else ((14, 14), LONG):
            torch.manual_seed(0)
            groups = GROUPS if gate.position else 1
            unit = GatingUnit(DIM, window, name, groups)
            num = window[0] * window[1]
            assert unit.proj.convolves == (num >= CONVOLVE_FROM)
            halves = [torch.randn(DIM // 2, BATCH, num) for _ in range(2)]
            yield f"{name} {window[0]} x {window[1]}", away_from_start(unit), halves
    for name in NETWORKS:
        torch.manual_seed(0)
        network = timm.create_model(name, in_chans=3)
        size = network.pretrained_cfg["input_size"][-1]
        yield name, away_from_start(network), [torch.randn(BATCH, 3, size, size)]


def away_from_start(module: nn.Module) -> nn.Module:
    """Move the parameters a little: maps that start at zero would hide errors."""
    with torch.no_grad():
        for parameter in module.parameters():
            fan_in = parameter.shape[-1:].numel()
            parameter += 0.1 * torch.randn_like(parameter) / fan_in**0.5
    return module.train()


def passes(
    module: nn.Module, inputs: list[Tensor], device: torch.device, precision: str
) -> dict[str, Tensor]:
    """The output and every gradient of a weighted sum of it, in float64 on the CPU."""
    dtype = torch.float64 if precision == "float64" else torch.float32
    module = copy.deepcopy(module).to(device, dtype)
    inputs = [x.to(device, dtype).requires_grad_() for x in inputs]
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
    with tensor_cores(precision == "TF32"):
        with autocast:
            output = module(*inputs)
        weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(0))
        (output.to(dtype) * weights.to(device, dtype)).sum().backward()
    gradients = {f"gradient of {n}": p.grad for n, p in module.named_parameters()}
    gradients |= {f"gradient of input {i}": x.grad for i, x in enumerate(inputs)}
    return {n: t.detach().double().cpu() for n, t in ({"output": output} | gradients).items()}


@contextmanager
def tensor_cores(on: bool) -> Iterator[None]:
    """Let float32 products and convolutions use TF32, or none of them."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if on else "highest")
    torch.backends.cudnn.allow_tf32 = on
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def relative(found: dict[str, Tensor], reference: dict[str, Tensor]) -> dict[str, float]:
    """The norm of each difference in parts of the reference's."""
    gradients = [t for name, t in reference.items() if name != "output"]
    least = SMALLEST * max(float(gradient.norm()) for gradient in gradients)
    errors = {n: (found[n] - exact).norm().nan_to_num(torch.inf) for n, exact in reference.items()}
    return {n: float(d) / max(float(reference[n].norm()), least) for n, d in errors.items()}
