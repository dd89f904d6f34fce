"""Compile the kernels for GPUs of two generations; prints the size and the memory of each."""

import json

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from posmlp.layers import kernels

SIZES = ("R", "N", "num_offsets", "width", "center", "share")
ACTIVATIONS = ("u", "v", "grad", "other", "out")


def compile_for(capability: int, kernel, warps: int, **constants) -> None:
    of_scores = kernel is kernels.scores_grad_kernel  # whose output is no activation
    signature = {}
    for name in kernel.arg_names:
        if name in SIZES:
            signature[name] = "i32"
        elif name in ACTIVATIONS and not (of_scores and name == "out"):
            signature[name] = "*bf16"
        elif name not in constants:
            signature[name] = "*fp32"
    places = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    compiled = triton.compile(
        ASTSource(kernel, signature, places),
        target=GPUTarget("cuda", capability, 32),
        options=dict(num_warps=warps),
    )
    entry = dict(
        kernel=kernel.__name__,
        capability=capability,
        shared=compiled.metadata.shared,
        machine_code=len(compiled.asm["cubin"]),
        **constants,
    )
    print(json.dumps(entry), flush=True)


for capability in (80, 90):
    compile_for(capability, kernels.normalise_kernel, 4, SCORE_RANGE=60.0, BQ=32, BK=64)
    for rows, tokens, warps in kernels.TILES:
        sizes = dict(SOFTMAX=True, PRECISION="tf32", BR=rows, BQ=tokens, BK=tokens)
        compile_for(capability, kernels.values_grad_kernel, warps, **sizes)
        for sums in (False, True):
            compile_for(capability, kernels.gate_kernel, warps, SUMS=sums, **sizes)
            compile_for(capability, kernels.scores_grad_kernel, warps, DOTS=sums, **sizes)
