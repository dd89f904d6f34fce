"""Outputs and gradients of every gating unit and two networks, compared with float64 on the CPU."""

import copy
from collections.abc import Iterator

import timm
import torch
from torch import Tensor, nn

import posmlp.models  # noqa: F401  registers the backbones
from posmlp.doctor.findings import Finding, Verdict
from posmlp.layers import GATES, GatingUnit

# Largest relative difference (L2 norm) of an output or of the gradient of one parameter. CPUs sum
# the gradient of a LayerNorm's bias in bf16, an error of up to 0.25; a wrong gradient gives 1.
TOLERANCES = {"float32": 1e-4, "TF32": 2e-2, "bf16": 5e-1}
NETWORKS = ("gmlp_posgu_xxs2_28", "posmlp_xxs_28")
DIM, GROUPS, BATCH = 32, 4, 2
WINDOWS = ((14, 14), (32, 32))  # the second is mixed by a convolution unless there is a free map
SMALLEST = 1e-2  # of the largest gradient: floor of the norms that differences are divided by


def compare(precision: str, device: torch.device) -> Finding:
    """Compare every unit and network with float64; the largest difference decides."""
    if precision == "TF32" and device.type != "cuda":
        return Finding(Verdict.SKIPPED, "Only GPUs have TF32.")
    worst = {}
    for name, module, inputs in modules():
        reference = passes(module, inputs, torch.device("cpu"), "float64")
        differences = relative(passes(module, inputs, device, precision), reference)
        tensor = max(differences, key=differences.get)
        worst[f"{name}, {tensor}"] = differences[tensor]
    name = max(worst, key=worst.get)
    text = f"Largest relative difference from float64 on the CPU: {worst[name]:.1e} ({name}), "
    text += f"allowed {TOLERANCES[precision]:.0e}; forward and backward pass of {len(worst)} units "
    text += "and networks"
    verdict = Verdict.OK if worst[name] <= TOLERANCES[precision] else Verdict.FAILED
    advice = "Do not trust results from this machine. Try another version of torch or another node."
    return Finding(verdict, text, advice)


def modules() -> Iterator[tuple[str, nn.Module, list[Tensor]]]:
    """Every gating unit, with a map and where possible with a convolution, and the networks."""
    for name, gate in GATES.items():
        for window in WINDOWS[:1] if gate.token_fc or not gate.position else WINDOWS:
            torch.manual_seed(0)
            unit = GatingUnit(DIM, window, name, GROUPS if gate.position else 1)
            halves = [torch.randn(DIM // 2, BATCH, window[0] * window[1]) for _ in range(2)]
            yield f"{name} {window[0]} x {window[1]}", away_from_start(unit), halves
    for name in NETWORKS:
        torch.manual_seed(0)
        network = timm.create_model(name)
        images = torch.randn(BATCH, *network.pretrained_cfg["input_size"])
        yield name, away_from_start(network), [images]


def away_from_start(module: nn.Module) -> nn.Module:
    """Perturb the parameters: maps that start at zero would hide errors."""
    with torch.no_grad():
        for parameter in module.parameters():
            fan_in = parameter.shape[-1:].numel()
            parameter += 0.1 * torch.randn_like(parameter) / fan_in**0.5
    return module.train()


def passes(
    module: nn.Module, inputs: list[Tensor], device: torch.device, precision: str
) -> dict[str, Tensor]:
    """The output and all gradients of a weighted sum of it, converted to float64 on the CPU."""
    dtype = torch.float64 if precision == "float64" else torch.float32
    module = copy.deepcopy(module).to(device, dtype)
    inputs = [x.detach().to(device, dtype).requires_grad_() for x in inputs]
    torch.set_float32_matmul_precision("high" if precision == "TF32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "TF32"
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        output = module(*inputs)
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(0))
    (output.to(dtype) * weights.to(device, dtype)).sum().backward()
    gradients = {f"gradient of {n}": p.grad for n, p in module.named_parameters()}
    gradients |= {f"gradient of input {i}": x.grad for i, x in enumerate(inputs)}
    return {n: t.detach().double().cpu() for n, t in ({"output": output} | gradients).items()}


def relative(found: dict[str, Tensor], reference: dict[str, Tensor]) -> dict[str, float]:
    """Norm of each difference, relative to the reference."""
    gradients = [t for name, t in reference.items() if name != "output"]
    least = SMALLEST * max(float(gradient.norm()) for gradient in gradients)
    errors = {n: (found[n] - exact).norm().nan_to_num(torch.inf) for n, exact in reference.items()}
    return {n: float(d) / max(float(reference[n].norm()), least) for n, d in errors.items()}
