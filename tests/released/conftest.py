import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import Tensor

import posmlp.models  # noqa: F401  registers the backbones
from posmlp.models import PosMlp
from posmlp.released.convert import released_layout

WNIDS = ("n01440764", "n01443537", "n01484850")


@pytest.fixture
def small_state() -> Callable[..., dict[str, Tensor]]:
    """Return a function that makes the released tensors of a network of three stages."""

    def build(**unit) -> dict[str, Tensor]:
        sizes = dict(dims=(8, 16, 32), depths=(1, 2, 1), windows=(4, 4, 4), mlp_ratios=(4, 4, 2))
        model = PosMlp(num_classes=5, img_size=64, grouped=(2, 4, 4), **sizes, **unit)
        return {name: torch.zeros(shape) for name, shape in released_layout(model).items()}

    return build


@pytest.fixture(scope="session")
def tiny_state() -> dict[str, Tensor]:
    """PosMLP-T for three classes in the released layout."""
    draws = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        layout = released_layout(timm.create_model("posmlp_tiny_224", num_classes=3))
    return {name: 0.1 * torch.rand(shape, generator=draws) for name, shape in layout.items()}


@pytest.fixture
def write_checkpoint(tmp_path, tiny_state) -> Callable[..., Path]:
    """Write a checkpoint as timm 0.4.5's training script does; keywords replace its entries."""

    def write(**entries) -> Path:
        content = {
            "epoch": 299,
            "arch": "Create_PosMLP",
            "state_dict": {f"module.{name}": value for name, value in tiny_state.items()},
            "optimizer": {"state": {}, "param_groups": [{"lr": 1e-6, "params": [0]}]},
            "version": 2,
            "args": argparse.Namespace(model="Create_PosMLP", model_hyper={"symmetric": True}),
            "amp_scaler": {"scale": 65536.0},
            "state_dict_ema": tiny_state,
            "metric": 81.7,
        }
        content = {k: v for k, v in (content | entries).items() if v is not None}
        path = tmp_path / "checkpoint.pth.tar"
        torch.save(content, path)
        return path

    return write


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory) -> Path:
    """Validation images of three classes, one, two and three, of different sizes."""
    root = tmp_path_factory.mktemp("imagenet")
    draws = np.random.default_rng(0)
    for most, wnid in enumerate(WNIDS, start=1):
        (root / "val" / wnid).mkdir(parents=True)
        for number in range(1, most + 1):
            pixels = draws.integers(0, 256, (30 + 10 * number, 50, 3), dtype=np.uint8)
            name = f"ILSVRC2012_val_{wnid[-4:]}{number}.JPEG"
            Image.fromarray(pixels).save(root / "val" / wnid / name)
    return root
