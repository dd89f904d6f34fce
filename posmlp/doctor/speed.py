"""How fast this machine trains and decodes, long windows, and several runs side by side."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import timm
import torch
import torch.nn.functional as F
from PIL import Image
from timm.data import create_transform
from torch import Tensor, nn

import posmlp.models  # noqa: F401  registers the backbones
from posmlp.data.image_reader import read_image
from posmlp.doctor.findings import Finding, Verdict, num_cores
from posmlp.layers import TokenMixing
from posmlp.layers.mixing import CONVOLVE_FROM

SMALLEST, TINY, SWIN = "gmlp_posgu_xs1_8", "posmlp_tiny_224", "swin_tiny_patch4_window7_224"
BATCHES = {"cpu": {SMALLEST: 32, TINY: 1, SWIN: 1}, "cuda": {SMALLEST: 512, TINY: 64, SWIN: 64}}
SECONDS, REPETITIONS = 2.0, 8  # of each measurement
SIDES = (14, 28, 32, 56)  # of square windows
CLEARLY = 1.1  # times as fast
LONGEST = 112
JPEG_SIZE, NUM_JPEGS = (500, 375), 48  # the usual size in ImageNet


@dataclass(frozen=True)
class Repeated:
    """Work on a number of images, which can be repeated."""

    work: Callable[[], Tensor | None]
    num_images: int
    device: torch.device

    def images_per_s(self, seconds: float = SECONDS) -> float:
        """Repeat for some seconds, after one that does not count."""
        self.seconds()
        times = [self.seconds()]
        while sum(times) < seconds:
            times.append(self.seconds())
        return self.num_images * len(times) / sum(times)

    def seconds(self) -> float:
        """Time once, to the end of it on the GPU."""
        began = time.perf_counter()
        self.work()
        self.wait()
        return time.perf_counter() - began

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def make_network(name: str, device: torch.device) -> tuple[nn.Module, Tensor]:
    """Build a network, in the memory format of a training, and a batch for it."""
    torch.manual_seed(0)
    network = timm.create_model(name).to(device)
    if device.type == "cuda":
        network = network.to(memory_format=torch.channels_last)
    images = torch.randn(
        BATCHES[device.type][name], *network.pretrained_cfg["input_size"], device=device
    )
    return network, images


def training_step(network: nn.Module, images: Tensor) -> Repeated:
    """A step with AdamW, in bf16 on a GPU; its work gives the loss."""
    device = images.device
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, fused=True)
    labels = torch.zeros(len(images), dtype=torch.long, device=device)

    def work() -> Tensor:
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss = F.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return Repeated(work, len(images), device)


@cache
def training_speed(name: str, device: torch.device) -> float:
    """Training images a second of a network alone on the device."""
    return training_step(*make_network(name, device)).images_per_s()


def networks(device: torch.device) -> Finding:
    """Training speed of the smallest network and of PosMLP-T beside timm's Swin-T."""
    speeds = {name: training_speed(name, device) for name in (SMALLEST, TINY, SWIN)}
    text = ", ".join(f"{name} {speed:,.0f}" for name, speed in speeds.items())
    kind = "bf16" if device.type == "cuda" else "float32"
    return Finding(Verdict.OK, f"Training images a second in {kind}: {text}", values=speeds)


def decoding(device: torch.device) -> Finding:
    """Cores that PosMLP-T on ImageNet needs for decoding, against those that there are."""
    rate, speed = decoding_rate(), training_speed(TINY, device)
    text = f"A core decodes and augments {rate:,.0f} ImageNet images a second"
    if device.type != "cuda":
        return Finding(Verdict.OK, text, values={"decoded_images_s": rate})
    needed = speed / rate
    text += f"; PosMLP-T takes {speed:,.0f} on one GPU, which is {needed:.0f} cores"
    values = {"decoded_images_s": rate, "cores_needed": needed}
    if needed <= num_cores() / torch.cuda.device_count():
        return Finding(Verdict.OK, f"{text} of {num_cores()}", values=values)
    advice = f"{num_cores()} cores will keep the GPUs waiting when images are decoded from files: "
    return Finding(Verdict.WARNING, text, f"{advice}ask for more cores for each GPU.", values)


def decoding_rate() -> float:
    """Images per CPU second: JPEG files made up, then read, cropped, flipped, jittered."""
    random = np.random.default_rng(0)
    changes = create_transform(
        (3, 224, 224),
        is_training=True,
        color_jitter=0.4,
        auto_augment="rand-m6-n3-mstd1.0-inc1",
        interpolation="random",
        use_prefetcher=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / f"{i}.jpg") for i in range(NUM_JPEGS)]
        for path in paths:
            coarse = random.integers(0, 256, (24, 32, 3), dtype=np.uint8)
            image = Image.fromarray(coarse).resize(JPEG_SIZE, Image.Resampling.BICUBIC)
            image.save(path, quality=90)
        changes(read_image(paths[0]))
        began = time.process_time()
        for path in paths:
            changes(read_image(path))
        return NUM_JPEGS / (time.process_time() - began)


def mixing_pass(side: int, device: torch.device, convolves: bool) -> Repeated:
    """Forward and backward pass of a positional unit on a square window, in one of two ways."""
    channels, images, groups = (192, 16, 8) if device.type == "cuda" else (48, 2, 2)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    mixing = TokenMixing((side, side), "gqpe", groups).to(device)
    mixing.convolves = convolves
    v = torch.randn(channels, images, side**2, device=device, dtype=dtype, requires_grad=True)
    return Repeated(lambda: mixing(v).sum().backward(), images, device)


def long_windows(device: torch.device) -> Finding:
    """Map against convolution: is the number of tokens from which one is taken right here?"""
    gains = {side**2: gain_of_convolution(side, device) for side in SIDES}
    text = f"Mixing is a convolution from {CONVOLVE_FROM:,} tokens on. Times as fast as the map: "
    text += ", ".join(f"{gain:.2f} at {n:,} tokens" for n, gain in gains.items())
    wrong = [n for n, gain in gains.items() if gain < 1 / CLEARLY and n >= CONVOLVE_FROM]
    wrong += [n for n, gain in gains.items() if gain > CLEARLY and n < CONVOLVE_FROM]
    if not wrong:
        return Finding(Verdict.OK, text, values=gains)
    advice = "CONVOLVE_FROM in posmlp/layers/mixing.py does not suit this machine at "
    advice += f"{', '.join(f'{n:,}' for n in sorted(wrong))} tokens. It costs time, not accuracy."
    return Finding(Verdict.WARNING, text, advice, gains)


def gain_of_convolution(side: int, device: torch.device) -> float:
    """Times as fast as the map, by the shortest of alternating repetitions."""
    ways = [mixing_pass(side, device, convolves) for convolves in (False, True)]
    times = [[way.seconds() for way in ways] for _ in range(REPETITIONS)]
    by_map, by_convolution = (min(column) for column in zip(*times[1:], strict=True))
    return by_map / by_convolution


def largest_window(device: torch.device) -> Finding:
    """Memory and time of mixing the 12,544 tokens of a 112 x 112 map."""
    step = mixing_pass(LONGEST, device, convolves=True)
    speed = step.images_per_s(SECONDS / 2)
    text = f"Mixing {LONGEST**2:,} tokens forward and backward: {1e3 / speed:.1f} ms an image"
    values = {"images_per_s": speed}
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        step.work()
        values["peak_gb"] = (torch.cuda.max_memory_allocated(device) - before) / 1e9
        text += f", {values['peak_gb']:.1f} GB for {step.num_images}"
    text += f"; a map of a group alone would take {4e-9 * LONGEST**4:.1f} GB"
    return Finding(Verdict.OK, text, values=values)
