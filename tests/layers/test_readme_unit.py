"""README's example of a gating unit trains and passes the tests over the registry."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import readme_unit
import timm
import torch

import posmlp.models  # noqa: F401  registers the backbones
from posmlp.layers import GATES

TESTS = Path(__file__).parents[1]


@pytest.fixture
def _pasted():
    readme_unit.paste()
    yield
    del GATES["distance"]
    del readme_unit.gates.Distance, readme_unit.position.Distance


@pytest.mark.usefixtures("_pasted")
def test_the_example_trains():
    torch.manual_seed(0)
    model = timm.create_model("gmlp_posgu_xs1_8", gate="distance", groups=4, num_classes=3)
    slopes = [p for name, p in model.named_parameters() if name.endswith("slope")]
    assert [slope.numel() for slope in slopes] == [GATES["distance"].map_parameters((8, 8), 4)] * 3
    images, labels = torch.randn(16, 3, 8, 8), torch.randint(3, (16,))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(5):
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all((slope != 1).all() for slope in slopes)


def test_the_tests_over_the_registry_pass_for_the_example():
    """Run in a separate process, so that the example is registered before tests are collected."""
    rooms = [TESTS / room for room in ("layers", "models", "analysis/figures")]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "readme_unit", "-p", "no:cacheprovider"]
    command += ["-k", "distance and not 224", *map(str, rooms)]
    path = os.pathsep.join([str(TESTS / "layers"), *sys.path])
    environment = os.environ | {"PYTHONPATH": path}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert int(done.stdout.split(" passed")[0].split()[-1]) > 30
