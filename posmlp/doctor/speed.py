"""How fast this machine trains and decodes, long windows, and several runs side by side."""

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
from posmlp.layers import TokenMixing
from posmlp.layers.mixing import CONVOLVE_FROM

Work = Callable[[], Any]
SMALLEST, TINY, SWIN = "gmlp_posgu_xs1_8", "posmlp_tiny_224", "swin_tiny_patch4_window7_224"
BATCHES = {"cpu": {SMALLEST: 32, TINY: 1, SWIN: 1}, "cuda": {SMALLEST: 512, TINY: 64, SWIN: 64}}
SECONDS, REPETITIONS = 2.0, 6  # of each measurement
SIDES = (14, 28, 32, 56)  # of square windows
CLEARLY = 1.1  # times as fast
LONGEST = 112
JPEG_SIZE, NUM_JPEGS = (500, 375), 48  # the usual size in ImageNet
TIMEOUT_S = 90


def seconds(work: Work) -> float:
    """Time a piece of work, to its end on the GPU."""
    began = time.perf_counter()
    work()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def rate(work: Work, num_images: int, least_s: float = SECONDS) -> float:
    """Images a second of work that is repeated for some seconds, after once that does not count."""
    seconds(work)
    times = []
    while sum(times) < least_s:
        times.append(seconds(work))
    return num_images * len(times) / sum(times)


def make_network(name: str, device: torch.device) -> tuple[nn.Module, Tensor]:
    """Build a network, in the memory format of a training, and a batch for it."""
    torch.manual_seed(0)
    network = timm.create_model(name).to(device)
    if device.type == "cuda":
        network = network.to(memory_format=torch.channels_last)
    size = (BATCHES[device.type][name], *network.pretrained_cfg["input_size"])
    return network.train(), torch.randn(size, device=device)


def training_step(
    network: nn.Module, images: Tensor, autocast: bool | None = None
) -> Callable[[], Tensor]:
    """A step with AdamW, in bf16 where `autocast` or else on a GPU, which gives the loss."""
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
    """Images a second: training, beside timm's Swin-T, and decoding, which needs enough cores."""
    speeds = {}
    for name in (SMALLEST, TINY, SWIN):
        network, images = make_network(name, device)
        speeds[name] = rate(training_step(network, images), len(images))
    text = ", ".join(f"{name} {speed:,.0f}" for name, speed in speeds.items())
    decoded = decoding_rate()
    text = f"Images a second: training in {'bf16' if device.type == 'cuda' else 'float32'} {text}; "
    text += f"decoding and augmenting for ImageNet on one core {decoded:,.0f}"
    if device.type != "cuda":
        return Finding(Verdict.OK, text)
    needed = torch.cuda.device_count() * speeds[TINY] / decoded
    text += f". All GPUs training {TINY} need {needed:.0f} cores; there are {num_cores()}"
    advice = "The GPUs will wait where images are decoded from files: ask for more cores, as in "
    advice += "srun --cpus-per-task 16."
    verdict = Verdict.OK if needed <= num_cores() else Verdict.WARNING
    return Finding(verdict, text, advice)


def decoding_rate() -> float:
    """Images per CPU second: JPEG files made up, then read, cropped, flipped, jittered."""
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
    """Write a picture of random blots, which compresses as photographs do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(path, quality=90)


def mixing_pass(side: int, device: torch.device, convolves: bool) -> tuple[Work, int]:
    """Forward and backward pass of a unit on a square window in one of two ways, and its images.

    On few images the map would be slow, because it is built once for all of them.
    """
    channels, images, groups = (192, 16, 8) if device.type == "cuda" else (48, 16, 2)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    mixing = TokenMixing((side, side), "gqpe", groups).to(device)
    mixing.convolves = convolves
    v = torch.randn(channels, images, side**2, device=device, dtype=dtype, requires_grad=True)
    return lambda: mixing(v).sum().backward(), images


def long_windows(device: torch.device) -> Finding:
    """Is the crossover of map and convolution right here, and what do 12,544 tokens cost?"""
    gains = {side**2: gain_of_convolution(side, device) for side in SIDES}
    text = f"Mixing is a convolution from {CONVOLVE_FROM:,} tokens on. Times as fast as the map: "
    text += ", ".join(f"{gain:.2f} at {n:,}" for n, gain in gains.items())
    work, num_images = mixing_pass(LONGEST, device, convolves=True)
    seconds_each = 1 / rate(work, num_images, SECONDS / 2)
    text += f". {LONGEST**2:,} tokens take {1e3 * seconds_each:.1f} ms an image"
    if device.type == "cuda":
        text += f" and {peak_memory(work) / 1e9:.1f} GB for {num_images}"
    wrong = [n for n, gain in gains.items() if (1 / gain if n >= CONVOLVE_FROM else gain) > CLEARLY]
    advice = "CONVOLVE_FROM in posmlp/layers/mixing.py does not suit this machine at "
    advice += f"{', '.join(f'{n:,}' for n in wrong)} tokens. It costs time, not accuracy."
    return Finding(Verdict.WARNING if wrong else Verdict.OK, text, advice)


def gain_of_convolution(side: int, device: torch.device) -> float:
    """Times as fast as the map, by the shortest of alternating repetitions."""
    ways = [mixing_pass(side, device, convolves)[0] for convolves in (False, True)]
    times = [[seconds(way) for way in ways] for _ in range(REPETITIONS)]
    by_map, by_convolution = np.min(times[1:], axis=0).tolist()
    return by_map / by_convolution


def peak_memory(work: Work) -> int:
    """Bytes that a piece of work adds to the GPU memory in use, at its peak."""
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    work()
    return torch.cuda.max_memory_allocated() - before


def runs_at_once(device: torch.device) -> Finding:
    """Whether several small runs at once train more images than one after the other."""
    counts = (1, 2, 4) if device.type == "cuda" else (1, 2)[: num_cores()]
    speeds = side_by_side(device, counts)
    text = f"Training images a second of {SMALLEST}, all runs together: "
    text += ", ".join(f"{n} at once {speed:,.0f}" for n, speed in speeds.items())
    if device.type == "cuda":
        best = min(n for n in counts if speeds[n] * CLEARLY >= max(speeds.values()))
        text += f". For small networks set runs_at_once in config/config.yaml to {best} per GPU"
    return Finding(Verdict.OK, text)


def side_by_side(device: torch.device, counts: tuple[int, ...]) -> dict[int, float]:
    """Training images a second of so many runs of the smallest network at once, all together."""
    if device.type == "cuda":
        torch.cuda.empty_cache()  # of this process, which keeps what it has used
    with mp.Manager() as manager:
        all_ready = manager.Barrier(max(counts))
        work = partial(train_at_once, device=device, counts=counts, all_ready=all_ready)
        return dict(sum(map(Counter, in_processes(max(counts), work)), Counter()))


def train_at_once(
    number: int, device: torch.device, counts: tuple[int, ...], all_ready: Any
) -> dict[int, float]:
    """One of the runs; it trains in the rounds of so many runs that its number is among them."""
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
    """Results of `work(0)` to `work(num - 1)`, each in a process, in no order; all end with one."""
    with mp.get_context("spawn").Pool(num) as pool:
        return list(pool.imap_unordered(work, range(num)))
