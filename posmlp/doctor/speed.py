"""Training and decoding speed, long windows, and several runs side by side."""

import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import torch.multiprocessing as mp
import torch.nn.functional as F
from PIL import Image
from timm.data import create_transform
from torch import Tensor, nn

import posmlp.models  # noqa: F401  registers the backbones
from posmlp.data.image_reader import read_image
from posmlp.doctor.findings import Finding, Verdict, num_cores
from posmlp.doctor.timing import SECONDS, Work, compare, peak_memory, rate
from posmlp.layers import TokenMixing
from posmlp.layers.mixing import CONVOLVE_FROM

SMALLEST, TINY, SWIN = "gmlp_posgu_xs1_8", "posmlp_tiny_224", "swin_tiny_patch4_window7_224"
BATCHES = {"cpu": {SMALLEST: 32, TINY: 1, SWIN: 1}, "cuda": {SMALLEST: 512, TINY: 64, SWIN: 64}}
SIDES = (14, 28, 32, 56)  # of square windows
REPETITIONS = 6
MARGIN = 1.1  # smaller speed-ups count as noise
LONGEST = 112
JPEG_SIZE, NUM_JPEGS = (500, 375), 48  # the usual size in ImageNet
TIMEOUT_S = 90


def make_network(name: str, device: torch.device) -> tuple[nn.Module, Tensor]:
    """Build a network, in the memory format used for training, and a batch for it."""
    torch.manual_seed(0)
    network = timm.create_model(name).to(device)
    if device.type == "cuda":
        network = network.to(memory_format=torch.channels_last)
    size = (BATCHES[device.type][name], *network.pretrained_cfg["input_size"])
    return network.train(), torch.randn(size, device=device)


def training_step(
    network: nn.Module, images: Tensor, autocast: bool | None = None
) -> Callable[[], Tensor]:
    """A step with AdamW that returns the loss; `autocast` to bf16 defaults to on for GPUs."""
    kind = images.device.type
    autocast = kind == "cuda" if autocast is None else autocast
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, fused=True)
    labels = torch.zeros(len(images), dtype=torch.long, device=images.device)

    def work() -> Tensor:
        optimizer.zero_grad()
        with torch.autocast(kind, torch.bfloat16, enabled=autocast):
            loss = F.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return work


def training_and_decoding(device: torch.device) -> Finding:
    """Training speed beside timm's Swin-T, and whether the cores decode images fast enough."""
    speeds = {}
    for name in (SMALLEST, TINY, SWIN):
        network, images = make_network(name, device)
        speeds[name] = rate(training_step(network, images), len(images))
    text = ", ".join(f"{name} {speed:,.0f}" for name, speed in speeds.items())
    decoded = decoding_rate()
    text = f"Images/s: training in {'bf16' if device.type == 'cuda' else 'float32'} {text}; "
    text += f"decoding and augmenting for ImageNet {decoded:,.0f} per core"
    if device.type != "cuda":
        return Finding(Verdict.OK, text)
    needed = torch.cuda.device_count() * speeds[TINY] / decoded
    text += f". Training {TINY} on all GPUs needs {needed:.0f} cores; there are {num_cores()}"
    advice = "GPUs will wait for images that are decoded from files. Request more cores, for "
    advice += "example `srun --cpus-per-task 16`."
    verdict = Verdict.OK if needed <= num_cores() else Verdict.WARNING
    return Finding(verdict, text, advice)


def decoding_rate() -> float:
    """Synthetic JPEG files read, cropped, flipped and jittered per CPU second."""
    changes = create_transform(
        (3, 224, 224),
        is_training=True,
        color_jitter=0.4,
        auto_augment="rand-m6-n3-mstd1.0-inc1",
        interpolation="random",
        use_prefetcher=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.jpg" for number in range(NUM_JPEGS)]
        for number, path in enumerate(paths):
            write_image(path, JPEG_SIZE, number)
        changes(read_image(str(paths[0])))
        began = time.process_time()
        for path in paths:
            changes(read_image(str(path)))
        return NUM_JPEGS / (time.process_time() - began)


def write_image(path: Path, size: tuple[int, int], seed: int) -> None:
    """Write an image of random blots, which compresses about as well as a photograph."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(path, quality=90)


def mixing_pass(
    side: int, device: torch.device, *, convolves: bool, gate: str = "gqpe"
) -> tuple[Work, int]:
    """Forward and backward pass of token mixing on a square window, and its batch size.

    A smaller batch would put the map at a disadvantage: it is built once per batch.
    """
    channels, images, groups = (192, 16, 8) if device.type == "cuda" else (48, 16, 2)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    mixing = TokenMixing((side, side), gate, groups).to(device)
    mixing.convolves = convolves
    v = torch.randn(channels, images, side**2, device=device, dtype=dtype, requires_grad=True)
    return lambda: mixing(v).sum().backward(), images


def convolution_and_map(side: int, device: torch.device, gate: str = "gqpe") -> tuple[Work, Work]:
    """The same mixing, computed in both ways."""
    return tuple(mixing_pass(side, device, convolves=c, gate=gate)[0] for c in (True, False))


def long_windows(device: torch.device) -> Finding:
    """Check where a convolution becomes faster than the map, and time a window of 112 x 112."""
    gains = {n**2: compare(*convolution_and_map(n, device), REPETITIONS) for n in SIDES}
    text = f"Windows of {CONVOLVE_FROM:,} tokens or more are mixed by a convolution. Its speed-up "
    text += "over the map: " + ", ".join(f"{gain.ratio:.2f} at {n:,}" for n, gain in gains.items())
    work, num_images = mixing_pass(LONGEST, device, convolves=True)
    ms = 1e3 / rate(work, num_images, SECONDS / 2)
    text += f". A window of {LONGEST**2:,} tokens takes {ms:.1f} ms per image"
    if device.type == "cuda":
        text += f" and {peak_memory(work) / 1e9:.1f} GB for {num_images} images"
    wrong = [
        n
        for n, gain in gains.items()
        if (1 / gain.high if n >= CONVOLVE_FROM else gain.low) > MARGIN  # all but a quarter agree
    ]
    advice = "CONVOLVE_FROM in posmlp/layers/mixing.py picks the slower method here at "
    advice += f"{', '.join(f'{n:,}' for n in wrong)} tokens. This costs time, not accuracy."
    return Finding(Verdict.WARNING if wrong else Verdict.OK, text, advice)


def runs_at_once(device: torch.device) -> Finding:
    """Whether several small runs side by side train more images per second than one."""
    counts = (1, 2, 4) if device.type == "cuda" else (1, 2)[: num_cores()]
    speeds = side_by_side(device, counts)
    text = f"Training {SMALLEST}, images/s of all runs together: "
    text += ", ".join(f"{speed:,.0f} with {n}" for n, speed in speeds.items())
    if device.type == "cuda":
        best = min(n for n in counts if speeds[n] * MARGIN >= max(speeds.values()))
        text += f". For small networks set runs_at_once in config/config.yaml to {best} per GPU"
    return Finding(Verdict.OK, text)


def side_by_side(device: torch.device, counts: tuple[int, ...]) -> dict[int, float]:
    """Total training images per second of the smallest network, by the number of runs at once."""
    if device.type == "cuda":
        torch.cuda.empty_cache()  # memory that this process no longer uses
    with mp.Manager() as manager:
        all_ready = manager.Barrier(max(counts))
        work = partial(train_at_once, device=device, counts=counts, all_ready=all_ready)
        return dict(sum(map(Counter, in_processes(max(counts), work)), Counter()))


def train_at_once(
    number: int, device: torch.device, counts: tuple[int, ...], all_ready: Any
) -> dict[int, float]:
    """Be run `number`: train in every round of more than `number` runs, and time it."""
    torch.set_num_threads(1)
    network, images = make_network(SMALLEST, device)
    step = training_step(network, images)
    for _ in range(3):
        step()
    speeds = {}
    for count in counts:
        all_ready.wait(TIMEOUT_S)
        if number < count:
            speeds[count] = rate(step, len(images))
    all_ready.wait(TIMEOUT_S)
    return speeds


def in_processes(num: int, work: Callable[[int], Any]) -> list:
    """Call `work(0)` to `work(num - 1)` in a process each; results come unordered."""
    with mp.get_context("spawn").Pool(num) as pool:
        return list(pool.imap_unordered(work, range(num)))
