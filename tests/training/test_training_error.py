"""explained: failures of libraries, real ones, in a study's own words."""

import subprocess
import sys

import pytest
import torch

from posmlp.training.training_error import TrainingError, explained


def test_memory_that_is_not_there_is_explained_with_what_to_set():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50, dtype=torch.uint8)
    error = explained(caught.value, micro_batch_size=128, grad_accum=2)
    assert isinstance(error, TrainingError)
    text = str(error)
    assert text.startswith("the machine's memory does not hold 128 images at once (")
    assert "Set recipe.grad_accum to 4: recipe.batch_size stays the same" in text
    assert "\n" not in text


def test_pythons_own_memory_error_too():
    with pytest.raises(MemoryError) as caught:
        bytearray(2**60)
    assert "recipe.grad_accum to 2" in str(explained(caught.value, 64, 1))


def test_a_full_gpu_is_named():
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore")
    text = str(explained(error, 64, 1))
    assert text.startswith("the GPU's memory does not hold 64 images at once (CUDA out of memory.")


def test_a_reader_that_is_gone_is_explained_however_it_shows():
    for error in (
        RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "),
        EOFError(),
        ConnectionResetError(104, "Connection reset by peer"),
    ):
        assert str(explained(error, 64, 1)).startswith("a process that reads images has died (")


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


def test_a_machine_without_a_compiler_is_told_what_to_set():
    command = [sys.executable, "-c", WITHOUT_COMPILER]  # torch remembers whether there is one
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert text.startswith("recipe.compile: torch's compiler failed (InvalidCxxCompiler: No ")
    assert text.endswith("or set recipe.compile to null\n")
    assert text.count("\n") == 1


@pytest.mark.parametrize(
    "error", [RuntimeError("mat1 and mat2 shapes cannot be multiplied"), KeyError("x"), OSError(28)]
)
def test_what_is_not_known_is_left_as_it_is(error):
    assert explained(error, 64, 1) is None
