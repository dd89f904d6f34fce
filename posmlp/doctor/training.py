"""A training with everything that a recipe can ask for, its exact resume, DDP and torch.compile."""

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
from posmlp.doctor.speed import (
    SECONDS,
    SMALLEST,
    in_processes,
    make_network,
    rate,
    training_step,
    write_image,
)

STOP_AT = (1, 2)  # epoch and step, of 2 epochs with 4 steps
NUM_CLASSES, SIDE, PER_CLASS = 4, 32, 8
RECIPE = dict(epochs=2, batch_size=8, lr=1e-3, weight_decay=0.05, clip_grad=1.0, deterministic=True)
RECIPE |= dict(mixup=0.5, cutmix=1.0, label_smoothing=0.1, ema_decay=0.9)
RECIPE |= dict(augment=dict(hflip=0.5, shift=2, reprob=0.25))
MODEL = dict(name="posmlp_xs_32", drop_path_rate=0.1)
IMAGES_EACH, SAME_GRADIENT = 8, 1e-3  # of DDP's processes; in parts of a gradient's largest entry
NUM_LOSSES, SAME_LOSS = 4, 1e-2  # of compiled steps, relative


def exact_resume(device: torch.device) -> Finding:
    """Train twice, once interrupted, and compare every tensor bit for bit."""
    if util.find_spec("pydantic") is None or util.find_spec("ruamel") is None:
        text = "A training reads its settings with pydantic and ruamel.yaml."
        return Finding(Verdict.SKIPPED, text, "pip install pydantic ruamel.yaml")
    with tempfile.TemporaryDirectory() as folder:
        try:
            whole, resumed = train_twice(Path(folder), device)
        finally:
            torch.use_deterministic_algorithms(False)
            torch.backends.cudnn.deterministic = False
    different = [name for name, tensor in whole.items() if not tensor.equal(resumed[name])]
    text = f"{MODEL['name']}, {'bf16 autocast, ' if device.type == 'cuda' else ''}Mixup, CutMix, "
    text += "random erasing, drop path, EMA, clipping, recipe.deterministic; stopped at epoch "
    text += f"{STOP_AT[0]}, step {STOP_AT[1]} and resumed: "
    text += f"{len(different)} of {len(whole)} tensors differ"
    if different:
        text += f", such as {different[0]}"
    advice = "Interrupted runs give slightly other numbers here; report this with the versions."
    return Finding(Verdict.FAILED if different else Verdict.OK, text, advice)


def train_twice(root: Path, device: torch.device) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Train without and with an interruption; return all tensors of both at the end."""
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
        """Train until a step; return the state that a checkpoint would hold."""
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
    """Weights, averages, the optimiser's moments and all other tensors by their place."""
    leaves = tree_flatten_with_path(state)[0]
    return {keystr(path): leaf for path, leaf in leaves if isinstance(leaf, Tensor)}


def several_devices(device: torch.device) -> Finding:
    """Compare the gradient over all GPUs, or in two processes, with that of one process."""
    on_gpu = device.type == "cuda"
    num = torch.cuda.device_count() if on_gpu else min(2, num_cores())
    if num < 2:
        return Finding(Verdict.SKIPPED, f"There is one {'GPU' if on_gpu else 'core'} alone.")
    backend = "nccl" if on_gpu else "gloo"
    try:
        with tempfile.TemporaryDirectory() as folder:
            work = partial(compare_gradient, num=num, backend=backend, folder=folder)
            difference = float(torch.tensor(in_processes(num, work)).max())
    except TimeoutError as error:
        advice = "Run again with NCCL_DEBUG=INFO; NCCL_P2P_DISABLE=1 tells whether the link "
        advice += "between the GPUs is at fault."
        return Finding(Verdict.FAILED, f"{backend}: {error}", advice)
    text = f"{num} processes with {backend}: the gradient differs from that of one process by "
    text += f"{difference:.1e}"
    verdict = Verdict.OK if difference <= SAME_GRADIENT else Verdict.FAILED
    return Finding(verdict, text, "Do not train one run on several GPUs here.")


def compare_gradient(rank: int, num: int, backend: str, folder: str) -> float:
    """Train as one process of several; how far the gradient is from that of one."""
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
    together = gradient(network, DistributedDataParallel(network), own)
    dist.destroy_process_group()
    return float((together - alone).abs().max() / alone.abs().max())


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
    text = f"{SMALLEST}, training images a second: "
    text += ", ".join(f"{mode} {speed:,.0f}" for mode, speed in speeds.items())
    text += f"; losses of {NUM_LOSSES} steps differ by {difference:.1e} at most"
    verdict = Verdict.OK if difference <= SAME_LOSS else Verdict.FAILED
    return Finding(verdict, text, "Leave recipe.compile at null here.")
