"""When a layer's map is computed: once while weights stay as they are, and once a training step."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook


class OptimizerSteps:
    """How many steps all optimisers have taken; fused ones change weights and tell nobody else."""

    taken = 0

    @classmethod
    def note(cls, *_: object) -> None:
        cls.taken += 1


register_optimizer_step_post_hook(OptimizerSteps.note)


class MapCache:
    """A layer's map for testing, with the weights that it was made of; and the map of a step.

    Weights are known by their storage, by torch's count of their changes in place, which
    `load_state_dict` and averaging raise, and by the steps of optimisers. Copies and files of a
    network start without a map.
    """

    def __init__(self) -> None:
        self.made_of, self.map = None, None
        self.step: StepMap | None = None

    def get(self, layer: nn.Module, compute: Callable[[], Tensor], dtype: torch.dtype) -> Tensor:
        """Return the layer's map, computed anew if it may have changed or needs a gradient."""
        if torch.compiler.is_compiling() or torch.jit.is_tracing():
            return compute().to(dtype)
        if torch.is_grad_enabled():
            return (self.step.get(compute) if self.step and layer.training else compute()).to(dtype)
        weights = list(layer.parameters())
        if layer.training or any(weight.is_inference() for weight in weights):
            return compute().to(dtype)
        marks = [(weight.data_ptr(), weight._version) for weight in weights]
        marks.append((OptimizerSteps.taken, dtype))
        if self.made_of is None or self.made_of[1] != marks:
            # The aliases keep freed memory from other weights, which would have the same address.
            aliases = [weight.detach() for weight in weights]
            self.map, self.made_of = compute().to(dtype), (aliases, marks)
        return self.map

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Leave a step's shared map alone, whose backward pass comes once."""
        step, self.step = self.step, None
        try:
            yield
        finally:
            self.step = step

    def __reduce__(self) -> tuple:
        return MapCache, ()


class StepMap:
    """One map for all parts of a batch that go through the network one after the other.

    All parts but the last see a detached copy, which sums their gradients; these join the last
    part's on their way to the weights, so that the weights' gradients are complete, and with
    several processes reduced, in the last backward pass as without sharing.
    """

    def __init__(self) -> None:
        self.map = self.copy = None
        self.last = False

    def get(self, compute: Callable[[], Tensor]) -> Tensor:
        if self.map is None:
            self.map = compute()
            self.copy = self.map.detach().requires_grad_()
            self.map.register_hook(lambda grad: grad + self.copy.grad)
        return self.map if self.last else self.copy


def share_maps(model: nn.Module, part: int, num_parts: int) -> None:
    """Let the layers of a network in training compute their maps once for all parts of a batch.

    To be called before each part's forward pass.
    """
    if num_parts == 1:
        return
    for module in model.modules():
        cache = getattr(module, "cache", None)
        if isinstance(cache, MapCache):
            if part == 0:
                cache.step = StepMap()
            cache.step.last = part == num_parts - 1
