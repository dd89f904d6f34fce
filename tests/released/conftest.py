import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

GOLDEN = Path(__file__).parents[1] / "golden"
WNIDS = ("n01440764", "n01443537", "n01484850")


@pytest.fixture(scope="session")
def state_of() -> Callable[[str], dict[str, Tensor]]:
    """Return a function that draws the tensors of a network, as tests/golden names them."""

    def state(name: str) -> dict[str, Tensor]:
        draws = torch.Generator().manual_seed(0)
        layout = json.loads((GOLDEN / f"{name}.keys.json").read_text())
        return {name: 0.1 * torch.rand(shape, generator=draws) for name, shape in layout.items()}

    return state


@pytest.fixture(scope="session")
def tiny_state(state_of) -> dict[str, Tensor]:
    """PosMLP-T for three classes in the released layout."""
    state = state_of("posmlp_t")
    return state | {name: state[name][:3] for name in ("head.weight", "head.bias")}


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
