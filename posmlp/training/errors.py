"""TrainingError, and the failures of libraries said in a study's own words."""

import torch


class TrainingError(ValueError):
    """Training cannot start or go on; the message says why and what to do."""


def explained(error: Exception, part_size: int, grad_accum: int) -> TrainingError | None:
    """Say what a library's error means for the study, or None where it is not known.

    Args:
        part_size: images that one process held at once.
        grad_accum: parts that a batch was computed in.
    """
    cut_off = isinstance(error, EOFError | ConnectionError)  # while a reader handed over a part
    if not cut_off and not isinstance(error, RuntimeError | MemoryError):
        return None
    text = str(error)
    on_cpu = isinstance(error, MemoryError) or "DefaultCPUAllocator" in text
    if isinstance(error, torch.OutOfMemoryError) or on_cpu:
        place = "the machine's memory" if on_cpu else "the GPU's memory"
        return TrainingError(
            f"{place} does not hold {part_size} images at once ({first_line(text)}). Set "
            f"recipe.grad_accum to {2 * grad_accum}: recipe.batch_size stays what it is and is "
            "computed in smaller parts. Or train on more GPUs"
        )
    if any(kind.__name__ == "BackendCompilerFailed" for kind in type(error).__mro__):
        return TrainingError(
            f"recipe.compile: torch's compiler has failed ({first_line(text)}). It needs a C++ "
            "compiler on this machine, such as g++; or set recipe.compile to null"
        )
    if cut_off or "DataLoader worker" in text:
        what = first_line(text) or "its connection was cut off"
        return TrainingError(
            f"a process that reads images has ended ({what}): killed from outside, "
            "most often because the machine's memory is full. Ask for more memory or fewer "
            "threads; the next start goes on from the last checkpoint"
        )
    return None


def first_line(text: str) -> str:
    return text.strip().partition("\n")[0].rstrip(". ")
