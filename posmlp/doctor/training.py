"""Exact resume of a training that uses most of the recipe, DDP and torch.compile."""

import contextlib
import tempfile
from functools import partial
from importlib import util
from pathlib import Path
from typing import Any

import timm
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils._pytree import keystr, tree_flatten_with_path

from posmlp.doctor.findings import Finding, Verdict, num_cores
from posmlp.doctor.precision import away_from_start
from posmlp.doctor.speed import SMALLEST, in_processes, make_network, training_step, write_image
from posmlp.doctor.timing import SECONDS, rate

STOP_AT = (1, 2)  # epoch and step, of 2 epochs with 4 steps
NUM_CLASSES, SIDE, PER_CLASS = 4, 32, 8
RECIPE = dict(epochs=2, batch_size=8, lr=1e-3, weight_decay=0.05, clip_grad=1.0, deterministic=True)
RECIPE |= dict(mixup=0.5, cutmix=1.0, label_smoothing=0.1, ema_decay=0.9)
RECIPE |= dict(augment=dict(hflip=0.5, shift=2, reprob=0.25))
MODEL = dict(name="posmlp_xs_32", drop_path_rate=0.1)
IMAGES_EACH, SAME_GRADIENT = 8, 1e-3  # per DDP process; relative to the largest gradient entry
NUM_LOSSES, SAME_LOSS = 4, 1e-2  # compiled steps, relative difference


def exact_resume(device: torch.device) -> Finding:
    """Train twice, once interrupted, and compare every tensor bit for bit."""
    if util.find_spec("pydantic") is None or util.find_spec("ruamel") is None:
        text = "Training needs pydantic and ruamel.yaml."
        return Finding(Verdict.SKIPPED, text, "pip install pydantic ruamel.yaml")
    with tempfile.TemporaryDirectory() as folder:
        try:
            whole, resumed = train_twice(Path(folder), device)
        finally:
            torch.use_deterministic_algorithms(False)
            torch.backends.cudnn.deterministic = False
    different = [name for name, tensor in whole.items() if not tensor.equal(resumed[name])]
    text = f"{len(different)} of {len(whole)} tensors differ between a run of {MODEL['name']} and "
    text += f"the same run stopped at epoch {STOP_AT[0]}, step {STOP_AT[1]} and resumed"
    text += f" (for example {different[0]})" if different else ""
    text += ": Mixup, CutMix, random erasing, drop path, EMA, gradient clipping, "
    text += f"recipe.deterministic{', bf16' if device.type == 'cuda' else ''}"
    advice = "Interrupted runs give slightly different results here; report this with the versions."
    return Finding(Verdict.FAILED if different else Verdict.OK, text, advice)


def train_twice(root: Path, device: torch.device) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Train without and with an interruption; return the final tensors of both."""
    from posmlp.study import RunConfig
    from posmlp.training.distributed import World
    from posmlp.training.engine import Interrupt, Interrupted, train
    from posmlp.training.trainer import make_trainer

    for number in range(PER_CLASS):
        for folder in (f"{split}/{c}" for split in ("train", "val") for c in range(NUM_CLASSES)):
            write_image(root / folder / f"{number}.png", (SIDE, SIDE), number)
    data = dict(name="folder", image_size=SIDE, num_classes=NUM_CLASSES)
    file, names = root / "state.pt", dict(study="doctor", variant="resume", seed=0)
    config = RunConfig.model_validate(names | dict(data=data, model=MODEL, recipe=RECIPE))

    def finished(stop_at: tuple[int, int] | None = None, state: Any = None) -> Any:
        """Train to the end or to `stop_at`; return the state of a checkpoint."""
        with contextlib.closing(make_trainer(config, root, World(device))) as trainer:
            if state:
                trainer.load_state_dict(state)

            def interrupt() -> Interrupt:
                there = (trainer.epoch, trainer.step) == stop_at
                return Interrupt.STOP if there else Interrupt.NONE

            with contextlib.suppress(Interrupted):
                train(trainer, lambda row: None, partial(torch.save, f=file), interrupt)
        return torch.load(file, map_location="cpu")

    return tensors(finished()), tensors(finished(state=finished(STOP_AT)))


def tensors(state: dict[str, Any]) -> dict[str, Tensor]:
    """All tensors of a checkpoint (weights, averages, optimiser moments) by their path."""
    leaves = tree_flatten_with_path(state)[0]
    return {keystr(path): leaf for path, leaf in leaves if isinstance(leaf, Tensor)}


def several_devices(device: torch.device) -> Finding:
    """Compare the DDP gradient over all GPUs, or two CPU processes, with that of one process."""
    on_gpu = device.type == "cuda"
    num = torch.cuda.device_count() if on_gpu else min(2, num_cores())
    if num < 2:
        return Finding(Verdict.SKIPPED, f"Only one {'GPU' if on_gpu else 'core'} here.")
    backend = "nccl" if on_gpu else "gloo"
    try:
        with tempfile.TemporaryDirectory() as folder:
            work = partial(compare_gradient, num=num, backend=backend, folder=folder)
            difference = float(torch.tensor(in_processes(num, work)).max())
    except TimeoutError as error:
        advice = "Run again with NCCL_DEBUG=INFO. If it passes with NCCL_P2P_DISABLE=1, the link "
        advice += "between the GPUs is at fault."
        return Finding(Verdict.FAILED, f"{backend}: {error}", advice)
    text = f"Relative difference between the gradients of {num} processes ({backend}) and of one: "
    text += f"{difference:.1e}"
    verdict = Verdict.OK if difference <= SAME_GRADIENT else Verdict.FAILED
    return Finding(verdict, text, "Do not train one run on several GPUs here.")


def compare_gradient(rank: int, num: int, backend: str, folder: str) -> float:
    """Relative difference between the gradients of all processes and of this one alone."""
    torch.set_num_threads(1)
    device = torch.device("cuda", rank) if backend == "nccl" else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group(backend, f"file://{folder}/meet", rank=rank, world_size=num)
    torch.manual_seed(0)
    network = away_from_start(timm.create_model(SMALLEST)).to(device)
    images = torch.randn(num * IMAGES_EACH, 3, 8, 8).to(device)
    alone = gradient(network, network, images)
    own = images[rank * IMAGES_EACH :][:IMAGES_EACH]
    shared = gradient(network, DistributedDataParallel(network), own)
    dist.destroy_process_group()
    return float((shared - alone).abs().max() / alone.abs().max())


def gradient(network: nn.Module, wrapped: nn.Module, images: Tensor) -> Tensor:
    network.zero_grad()
    labels = torch.zeros(len(images), dtype=torch.long, device=images.device)
    F.cross_entropy(wrapped(images), labels).backward()
    return nn.utils.parameters_to_vector([p.grad for p in network.parameters()])


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
        losses[mode] = torch.tensor([float(step()) for _ in range(NUM_LOSSES)])
        speeds[mode] = rate(step, len(images), SECONDS / 2)
    found = torch.stack(list(losses.values()))
    difference = float((found / found[0] - 1).abs().max())
    text = f"Training {SMALLEST}, images/s: "
    text += ", ".join(f"{speed:,.0f} {mode}" for mode, speed in speeds.items())
    text += f"; losses of {NUM_LOSSES} steps differ by at most {difference:.1e}"
    verdict = Verdict.OK if difference <= SAME_LOSS else Verdict.FAILED
    return Finding(verdict, text, "Do not set recipe.compile on this machine.")
