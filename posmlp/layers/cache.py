"""The map that a layer's present weights stand for, kept while they do not change: in testing."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class MapCache:
    """One map, and the weights that it was made of.

    Weights are known by their storage and by torch's count of changes in place, which optimisers,
    `load_state_dict` and averaging all raise. Copies and files of a network start without a map.
    """

    def __init__(self) -> None:
        self.made_of, self.map = None, None

    def get(self, layer: nn.Module, compute: Callable[[], Tensor], dtype: torch.dtype) -> Tensor:
        """Return the layer's map, computed anew if it must or may differ, or needs a gradient."""
        weights = list(layer.parameters())
        if (
            layer.training
            or torch.is_grad_enabled()
            or torch.compiler.is_compiling()
            or torch.jit.is_tracing()
            or any(weight.is_inference() for weight in weights)
        ):
            return compute()
        # The aliases keep freed memory from being given to other weights at the same address.
        aliases = [weight.detach() for weight in weights]
        marks = [(weight.data_ptr(), weight._version) for weight in weights]
        if self.made_of is None or self.made_of[1:] != (marks, dtype):
            self.map, self.made_of = compute(), (aliases, marks, dtype)
        return self.map

    def __reduce__(self) -> tuple:
        return MapCache, ()
