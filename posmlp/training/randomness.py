"""Seeds: one for every use and position in a run, so that random streams are independent.

No generator outlives what it was seeded for (an epoch's order, an image, a step), so checkpoints
need not store any: a resumed run draws the same numbers as an uninterrupted one.
"""

import hashlib
import random

import numpy as np
import torch


def derive_seed(seed: int, use: str, *position: int) -> int:
    """Derive a 32-bit seed from a run's seed for one use ("init", "order", ...) and position.

    A position is what the draws may depend on: an epoch, and a step or an image in it.
    """
    text = "/".join(map(str, (seed, use, *position)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")


def generator(seed: int, use: str, *position: int) -> torch.Generator:
    """Seed a CPU generator for one use and position; draws do not depend on the device."""
    return torch.Generator().manual_seed(derive_seed(seed, use, *position))


def seed_globals(seed: int) -> None:
    """Seed the global generators, from which timm's initialisers, Mixup, RandAugment, random
    erasing and drop path draw.
    """
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # before that, torch.manual_seed stores a stack trace per call
        torch.cuda.manual_seed_all(seed)
