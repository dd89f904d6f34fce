"""Which of several ways to compute the same numbers is used on a GPU: the fastest one there.

Each is timed once for every size that it meets, with its backward pass where one will follow. The
first is the yardstick of what is right, too: no other is used that does not give its numbers.
"""

import warnings
from collections.abc import Callable, Hashable, Iterable, Sequence

import torch
from torch import Tensor

Clock = Callable[[Callable[[], object]], float]

REPETITIONS = 5  # of which the shortest counts

chosen: dict[Hashable, str] = {}


def gpu_seconds(work: Callable[[], object]) -> float:
    """Time a call on the current GPU, after two that are not timed."""
    work(), work()
    times = []
    for _ in range(REPETITIONS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        work()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / 1000)
    return min(times)


def fastest(
    ways: dict[str, Callable[..., Tensor]],
    inputs: Sequence[Tensor | None],
    weights: Iterable[Tensor],
    key: Hashable,
    seconds: Clock = gpu_seconds,
) -> str:
    """Return the name of the fastest way that gives the first one's numbers.

    Args:
        ways: functions of `inputs` by name; in a training of `weights` too.
        key: whatever the times depend on; they are measured once for each.
        seconds: times a call.
    """
    if key not in chosen:
        if torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
            return next(iter(ways))  # while a graph is recorded nothing can be timed
        chosen[key] = measured(ways, inputs, list(weights), seconds)
    return chosen[key]


def measured(
    ways: dict[str, Callable[..., Tensor]],
    inputs: Sequence[Tensor | None],
    weights: Sequence[Tensor],
    seconds: Clock,
) -> str:
    leaves = [t if t is None else t.detach().requires_grad_(t.requires_grad) for t in inputs]
    wanted = [t for t in (*leaves, *weights) if t is not None and t.requires_grad]

    def results(way: Callable[..., Tensor]) -> list[Tensor]:
        output = way(*leaves)
        if not output.requires_grad:
            return [output]
        # As unlike from token to token as a loss's gradients are.
        return [output, *torch.autograd.grad(output, wanted, output.detach())]

    first, *others = ways
    expected = [result.detach() for result in results(ways[first])]
    took = {first: seconds(lambda: results(ways[first]))}
    for name in others:
        try:
            if agree(results(ways[name]), expected):
                took[name] = seconds(lambda name=name: results(ways[name]))
            else:
                warnings.warn(f"{name} gives other numbers than {first}: not used", stacklevel=2)
        except Exception as error:  # too large for this GPU, or no compiler for it
            warnings.warn(f"{name} cannot be used here: {error}", stacklevel=2)
    return min(took, key=took.get)


def agree(found: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    """Compare a result and its gradients; a wrong one differs by much more than rounding does."""
    exact = expected[0].dtype.itemsize > 2 and torch.get_float32_matmul_precision() == "highest"
    tolerance = 1e-3 if exact else 0.1
    return all(
        bool((ours - theirs).abs().max() <= tolerance * theirs.abs().max())
        for ours, theirs in zip(found, expected, strict=True)
    )
