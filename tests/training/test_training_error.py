"""explained: library errors translated into advice about settings."""

import subprocess
import sys

import pytest
import torch

from posmlp.training.training_error import explained

DIED = "a process that reads images has died ("


def test_a_lack_of_memory_is_explained_with_the_setting_to_change():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50, dtype=torch.uint8)
    text = str(explained(caught.value, micro_batch_size=128, grad_accum=2))
    assert text.startswith("the machine's memory does not hold 128 images at once (")
    assert "Set recipe.grad_accum to 4: recipe.batch_size stays the same" in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("error", "begin"),
    [
        (MemoryError(), "the machine's memory does not hold 64 images at once ("),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore"),
            "the GPU's memory does not hold 64 images at once (CUDA out of memory.",
        ),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "), DIED),
        (EOFError(), DIED),
        (ConnectionResetError(104, "Connection reset by peer"), DIED),
    ],
)
def test_other_failures_are_explained_too(error, begin):
    assert str(explained(error, 64, 1)).startswith(begin)


WITHOUT_COMPILER = """
import torch
from torch._inductor import config
from posmlp.training.training_error import explained
config.cpp.cxx, config.force_disable_caches = ("/no/such/compiler",), True
try:
    torch.compile(torch.sin)(torch.ones(3))
except RuntimeError as error:
    print(explained(error, 64, 1))
"""


def test_a_missing_compiler_is_explained_with_the_setting_to_change():
    command = [
        sys.executable,
        "-c",
        WITHOUT_COMPILER,
    ]  # torch caches its search
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert text.startswith("recipe.compile: torch's compiler failed (InvalidCxxCompiler: No ")
    assert text.endswith("or set recipe.compile to null\n")
    assert text.count("\n") == 1


@pytest.mark.parametrize(
    "error", [RuntimeError("mat1 and mat2 shapes cannot be multiplied"), KeyError("x"), OSError(28)]
)
def test_unknown_errors_are_not_translated(error):
    assert explained(error, 64, 1) is None
