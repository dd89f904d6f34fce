"""Seeds: one for every use and position in a run, so that no stream depends on another's draws.

No generator lives longer than what it was seeded for (an epoch's order, an image, a step), so
none has to be stored: a run that goes on at some step draws there what it would have drawn.
"""

import hashlib
import random

import numpy as np
import torch


def derive_seed(seed: int, use: str, *position: int) -> int:
    """Hash to 32 bits for one use ("init", "order", ...) of a run's seed at a position.

    A position is whatever the draws may depend on: an epoch, and in it a step or an image.
    """
    text = "/".join(map(str, (seed, use, *position)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")


def generator(seed: int, use: str, *position: int) -> torch.Generator:
    """Seed a CPU generator for one use and position; draws are the same whatever the device."""
    return torch.Generator().manual_seed(derive_seed(seed, use, *position))


def seed_globals(seed: int) -> None:
    """Seed the global generators, the only ones that timm's initialisers, Mixup, RandAugment,
    random erasing and drop path can draw from.
    """
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # torch.manual_seed before that keeps a stack trace a call
        torch.cuda.manual_seed_all(seed)
