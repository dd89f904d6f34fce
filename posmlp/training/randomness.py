"""Seeds: one for every use and epoch of a run, so that no stream depends on another's draws."""

import hashlib
import random

import numpy as np
import torch


def derive_seed(seed: int, use: str, epoch: int = 0) -> int:
    """Return 32 bits for one use ("init", "order", ...) of a run's seed in one epoch."""
    digest = hashlib.sha256(f"{seed}/{use}/{epoch}".encode()).digest()
    return int.from_bytes(digest[:4], "little")


def generator(seed: int, use: str, epoch: int = 0) -> torch.Generator:
    """Return a CPU generator for one use and epoch; draws are the same whatever the device."""
    return torch.Generator().manual_seed(derive_seed(seed, use, epoch))


def seed_globals(seed: int, use: str, epoch: int = 0) -> None:
    """Seed the global generators, the only ones that timm's initialisers, Mixup, RandAugment and
    drop path can draw from. Done anew for each epoch: an epoch never depends on the ones before.
    """
    value = derive_seed(seed, use, epoch)
    random.seed(value)
    np.random.seed(value)
    torch.manual_seed(value)
