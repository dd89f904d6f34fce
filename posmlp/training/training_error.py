"""TrainingError, and library errors translated into it with advice."""

import torch


class TrainingError(ValueError):
    """Training cannot start or continue; the message says why and what to do."""


def explained(error: Exception, micro_batch_size: int, grad_accum: int) -> TrainingError | None:
    """Translate a library's error; None if its cause is unknown.

    Args:
        micro_batch_size: images per forward pass.
        grad_accum: micro-batches per step.
    """
    cut_off = isinstance(error, EOFError | ConnectionError)  # while a worker passed on a batch
    if not cut_off and not isinstance(error, RuntimeError | MemoryError):
        return None
    text = str(error)
    on_cpu = isinstance(error, MemoryError) or "DefaultCPUAllocator" in text
    if isinstance(error, torch.OutOfMemoryError) or on_cpu:
        memory = "the machine's memory" if on_cpu else "the GPU's memory"
        return TrainingError(
            f"{memory} does not hold {micro_batch_size} images at once ({first_line(text)}). Set "
            f"recipe.grad_accum to {2 * grad_accum}: recipe.batch_size stays the same and is "
            "computed in smaller micro-batches. Or train on more GPUs"
        )
    if any(kind.__name__ == "BackendCompilerFailed" for kind in type(error).__mro__):
        return TrainingError(
            f"recipe.compile: torch's compiler failed ({first_line(text)}). It needs a C++ "
            "compiler on this machine, such as g++; or set recipe.compile to null"
        )
    if cut_off or "DataLoader worker" in text:
        what = first_line(text) or "its connection was cut off"
        return TrainingError(
            f"a process that reads images has died ({what}), most often because the machine's "
            "memory is full. Request more memory or use fewer threads; the next start resumes from "
            "the last checkpoint"
        )
    return None


def first_line(text: str) -> str:
    return text.strip().partition("\n")[0].rstrip(". ")
