"""Triton kernels against the map and its gradients: on a GPU, elsewhere in Triton's interpreter.

The interpreter runs the kernels' own code on NumPy. Whether a GPU's compiler takes it is checked
without one.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from posmlp.layers import GATES, GatingUnit

kernels = pytest.importorskip("posmlp.layers.kernels", reason="PyTorch for CPUs has no Triton")

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BY_OFFSET = [name for name, gate in GATES.items() if gate.position and not gate.token_fc]
# The interpreter has no bfloat16.
HALF = torch.bfloat16 if DEVICE == "cuda" else torch.float16
TOLERANCE = {torch.float32: 2e-5, HALF: 3e-2}
SMALL_GPU = 99 * 1024  # bytes of shared memory that a program may have on any GPU since 2020


def results(unit, halves, way):
    u, v = halves
    output = way(v, u)
    leaves = [*halves, *unit.parameters()]
    return [output, *torch.autograd.grad(output, leaves, torch.cos(output.detach()))]


@pytest.mark.parametrize("gate", BY_OFFSET)
@pytest.mark.parametrize("softmax", [True, False])
@pytest.mark.parametrize(
    ("window", "images", "tile"),
    [((3, 4), 2, 0), ((7, 5), 1, 0), ((9, 9), 1, 1), ((11,), 3, 0), ((1,), 2, 0), ((2, 3), 40, 2)],
)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_kernels_give_the_numbers_and_gradients_of_the_map(
    gate, softmax, window, images, tile, dtype
):
    torch.manual_seed(1)
    unit = GatingUnit(24, window, gate, 3, softmax=softmax).to(DEVICE)
    for parameter in unit.parameters():
        torch.nn.init.normal_(parameter, std=0.3 if softmax else 0.1)
    size = 12, images, torch.Size(window).numel()
    halves = [torch.randn(size, device=DEVICE).to(dtype).requires_grad_() for _ in range(2)]
    exact = [half.detach().float().requires_grad_() for half in halves]
    expected = results(unit, exact, unit.proj.by_map)
    tile = kernels.TILES[tile]
    found = results(unit, halves, lambda v, u: unit.proj.by_kernel(tile, v, u))
    assert found[0].dtype == dtype
    for ours, theirs in zip(found, expected, strict=True):
        scale = max(1.0, theirs.abs().max().item())
        torch.testing.assert_close(ours.float(), theirs, rtol=0, atol=TOLERANCE[dtype] * scale)


def test_rows_that_are_shared_out_are_counted_once(monkeypatch):
    monkeypatch.setattr(kernels, "PROGRAMS", 8)
    test_kernels_give_the_numbers_and_gradients_of_the_map(
        "gqpe", True, (3, 4), 70, 0, torch.float32
    )


def test_a_center_far_outside_of_the_window_loses_no_digits():
    torch.manual_seed(0)
    unit = GatingUnit(8, (4, 4), "gqpe").to(DEVICE)
    torch.nn.init.constant_(unit.proj.position.center, 30.0)
    halves = [torch.randn(4, 2, 16, device=DEVICE, requires_grad=True) for _ in range(2)]
    expected = results(unit, halves, unit.proj.by_map)
    tile = kernels.TILES[0]
    found = results(unit, halves, lambda v, u: unit.proj.by_kernel(tile, v, u))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_a_gpu_s_compiler_takes_every_kernel():
    """In a process of its own, because the interpreter is on or off for all of one."""
    environment = os.environ | {"TRITON_INTERPRET": "0"}
    program = Path(__file__).with_name("compile_kernels.py")
    command = [sys.executable, "-W", "ignore", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    compiled = [json.loads(line) for line in done.stdout.splitlines()]
    # On two generations of GPUs one kernel, and three for every tile, two of them in two forms.
    assert len(compiled) == 2 * (1 + 5 * len(kernels.TILES))
    for entry in compiled:
        assert entry["machine_code"] > 0
        assert entry["shared"] <= SMALL_GPU, entry
