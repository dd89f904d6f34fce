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
from posmlp.released.convert import export_network

WNIDS = ("n01440764", "n01443537", "n01484850")


@pytest.fixture
def small_posmlp() -> Callable[..., PosMlp]:
    """Build a network of three stages, every parameter and statistic away from its start."""

    def build(**unit) -> PosMlp:
        torch.manual_seed(0)
        model = PosMlp(
            num_classes=5,
            img_size=64,
            dims=(8, 16, 32),
            depths=(1, 2, 1),
            windows=(4, 4, 4),
            mlp_ratios=(4, 4, 2),
            grouped=(2, 4, 4),
            **unit,
        ).double()
        with torch.no_grad():
            for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
                if tensor.is_floating_point() and "offsets" not in name:
                    tensor += 0.1 * torch.rand_like(tensor)
            for name, parameter in model.named_parameters():
                if unit.get("gate") == "qpe" and name.endswith("position.spread"):
                    parameter.fill_(1)  # the only width that the release has
        return model.eval()

    return build


@pytest.fixture(scope="session")
def tiny_state() -> dict[str, Tensor]:
    """PosMLP-T for three classes in the released layout."""
    torch.manual_seed(0)
    return export_network(timm.create_model("posmlp_tiny_224", num_classes=3))


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
