"""A training with everything that a recipe can ask for, its exact resume, and torch.compile."""

import contextlib
import io
import tempfile
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from posmlp.doctor.findings import Finding, Verdict
from posmlp.doctor.precision import away_from_start
from posmlp.doctor.speed import SECONDS, SMALLEST, make_network, training_step

STOP_AT = (1, 2)  # epoch and step, of 2 epochs with 4 steps
NUM_CLASSES, SIDE, PER_CLASS = 4, 32, 8
RECIPE = dict(epochs=2, batch_size=8, lr=1e-3, weight_decay=0.05, clip_grad=1.0, deterministic=True)
RECIPE |= dict(mixup=0.5, cutmix=1.0, label_smoothing=0.1, ema_decay=0.9)
RECIPE |= dict(augment=dict(hflip=0.5, shift=2, reprob=0.25))
MODEL = dict(name="posmlp_xs_32", drop_path_rate=0.1)
NUM_LOSSES, LARGEST_DIFFERENCE = 4, 1e-2  # of compiled steps, relative


def exact_resume(device: torch.device) -> Finding:
    """Train twice, once interrupted, and compare every weight bit for bit."""
    if util.find_spec("pydantic") is None or util.find_spec("ruamel") is None:
        text = "A training reads its settings with pydantic and ruamel.yaml."
        return Finding(Verdict.SKIPPED, text, "pip install pydantic ruamel.yaml")
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder))
        try:
            whole, resumed = train_twice(Path(folder), device)
        finally:
            torch.use_deterministic_algorithms(False)
            torch.backends.cudnn.deterministic = False
    different = [name for name, tensor in whole.items() if not tensor.equal(resumed[name])]
    text = f"{MODEL['name']}, {'bf16 autocast, ' if device.type == 'cuda' else ''}Mixup, CutMix, "
    text += "random erasing, drop path, EMA, clipping, recipe.deterministic; stopped at epoch "
    text += f"{STOP_AT[0]}, step {STOP_AT[1]} and resumed: "
    if not different:
        return Finding(Verdict.OK, f"{text}all {len(whole)} tensors are equal bit for bit")
    text += f"{len(different)} of {len(whole)} tensors differ, such as {different[0]}"
    advice = "Interrupted runs give slightly other numbers here; report this with the versions."
    return Finding(Verdict.FAILED, text, advice)


def write_images(root: Path) -> None:
    """Write a folder of random images, a shade for each class."""
    random = np.random.default_rng(0)
    for split in ("train", "val"):
        for label in range(NUM_CLASSES):
            folder = root / split / f"class{label}"
            folder.mkdir(parents=True)
            for number in range(PER_CLASS):
                pixels = random.integers(50 * label, 50 * label + 100, (SIDE, SIDE, 3), np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")


def train_twice(root: Path, device: torch.device) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Train without and with an interruption; return all tensors of both at the end."""
    from posmlp.study import RunConfig
    from posmlp.training.distributed import World
    from posmlp.training.engine import Interrupt, Interrupted, train
    from posmlp.training.trainer import make_trainer

    data = dict(name="folder", image_size=SIDE, num_classes=NUM_CLASSES)
    names = dict(study="doctor", variant="resume", seed=0)
    config = RunConfig.model_validate(names | dict(data=data, model=MODEL, recipe=RECIPE))
    world = World(device)

    saved = io.BytesIO()

    def save(state: dict[str, Any]) -> None:
        saved.seek(0)
        saved.truncate()
        torch.save(state, saved)

    def load() -> dict[str, Any]:
        saved.seek(0)
        return torch.load(saved, map_location="cpu", weights_only=True)

    def stop() -> Interrupt:
        there = (trainer.epoch, trainer.step) == STOP_AT
        return Interrupt.STOP if there else Interrupt.NONE

    train(make_trainer(config, root, world), print_nothing, save)
    whole = tensors(load())
    trainer = make_trainer(config, root, world)
    with contextlib.suppress(Interrupted):
        train(trainer, print_nothing, save, stop)
    trainer = make_trainer(config, root, world)
    trainer.load_state_dict(load())
    train(trainer, print_nothing, save)
    return whole, tensors(load())


def print_nothing(row: dict) -> None:
    """A log for a training that nobody follows."""


def tensors(state: dict[str, Any]) -> dict[str, Tensor]:
    """Weights, averages and the optimiser's moments by name."""
    found = {f"{part}.{name}": t for part in ("model", "ema") for name, t in state[part].items()}
    for number, moments in state["optimizer"]["state"].items():
        found |= {f"optimizer.{number}.{name}": torch.as_tensor(t) for name, t in moments.items()}
    return found


def compiled(device: torch.device) -> Finding:
    """Compile the smallest network, with and without CUDA graphs, and compare its losses."""
    modes = ("default", "reduce-overhead") if device.type == "cuda" else ("default",)
    losses, speeds = {}, {}
    for mode in ("not compiled", *modes):
        torch._dynamo.reset()
        network, images = make_network(SMALLEST, device)
        if mode in modes:
            network.compile(mode=mode, fullgraph=True)
        step = training_step(away_from_start(network), images)
        losses[mode] = torch.tensor([float(step.work()) for _ in range(NUM_LOSSES)])
        speeds[mode] = step.images_per_s(SECONDS / 2)
    exact = losses["not compiled"]
    difference = max(float((found / exact - 1).abs().max()) for found in losses.values())
    text = f"{SMALLEST}, training images a second: "
    text += ", ".join(f"{mode} {speed:,.0f}" for mode, speed in speeds.items())
    text += f"; losses of {NUM_LOSSES} steps differ by {difference:.1e} at most"
    if difference <= LARGEST_DIFFERENCE:
        return Finding(Verdict.OK, text, values=speeds)
    return Finding(Verdict.FAILED, text, "Leave recipe.compile at null here.", speeds)
