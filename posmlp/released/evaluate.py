"""Accuracy of a released checkpoint on ImageNet's validation images, beside what was published."""

import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from PIL import Image
from timm.data import create_loader
from timm.data.loader import PrefetchLoader
from torch import Tensor, nn
from torch.utils.data import Dataset

from posmlp.data.image_folder import SPLIT_FOLDERS, list_split
from posmlp.data.images import DataError
from posmlp.models import PosMlp
from posmlp.published import Published, read_published
from posmlp.released.checkpoint import Checkpoint, Weights, read_checkpoint
from posmlp.released.convert import ReleasedError
from posmlp.released.export import export_network
from posmlp.released.network import architecture, released_network

NUM_CLASSES, NUM_VALIDATION = 1_000, 50_000  # what published accuracies are over
PREPROCESSING = timm.get_pretrained_cfg("posmlp_tiny_224").to_dict()  # as released, for all sizes
SECONDS_BETWEEN_LINES = 10
FEW_IMAGES = 1_000  # read without further processes


@dataclass(frozen=True)
class Accuracy:
    """Per cent of the images whose class is the best guess, or among the best five."""

    top1: float
    top5: float
    num_images: int


class ImageFiles(Dataset):
    """Image files with labels; timm's loader sets `transform`. A broken file is named."""

    def __init__(self, folder: Path, paths: list[str], labels: list[int]) -> None:
        self.folder, self.paths, self.labels, self.transform = folder, paths, labels, None

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int):
        try:
            with Image.open(self.paths[index]) as image:
                return self.transform(image.convert("RGB")), self.labels[index]
        except (OSError, SyntaxError) as error:  # what PIL raises on broken files
            raise DataError(f"{self.paths[index]}: cannot be read as an image ({error})") from None


def evaluate_checkpoint(
    path: Path, data: Path, weights: Weights | None, device: torch.device
) -> str:
    """Evaluate a file of the released layout and return what is to be said of it.

    Args:
        data: folder with val/<class>/ of every class that the network knows.
        weights: see read_checkpoint.

    Raises:
        ReleasedError, DataError: the file or the folder is not what it should be.
    """
    checkpoint = read_checkpoint(path, weights)
    try:
        model = released_network(checkpoint.state, checkpoint.options)
    except ValueError as error:  # also of windows that do not divide the image
        raise ReleasedError(f"{path}: {error}") from None
    shape = architecture(checkpoint.state, checkpoint.options)
    if shape["in_chans"] != 3:
        raise ReleasedError(f"{path}: takes images of {shape['in_chans']} channels, not of colours")
    images = validation_images(data, model.num_classes)
    name, published = published_model(shape)
    accuracy = measure(model.to(device), batches(images, shape["img_size"], device), device)
    side, cfg = shape["img_size"][0], PREPROCESSING
    return "\n".join(
        [
            f"Network  {name}, {sum(p.numel() for p in model.parameters()):,} parameters",
            f"Weights  {described(checkpoint)}",
            f"Images   {accuracy.num_images:,} of {model.num_classes:,} classes in {images.folder}",
            f"         {side} x {side} pixels, {cfg['interpolation']}, centre crop of "
            f"{cfg['crop_pct']:.0%}, ImageNet's mean and standard deviation",
            f"Top-1    {accuracy.top1:.2f} %",
            f"Top-5    {accuracy.top5:.2f} %",
            *beside(accuracy, checkpoint.weights, published),
            *caveats(accuracy, model.num_classes),
        ]
    )


def validation_images(data: Path, num_classes: int) -> ImageFiles:
    """List the validation images; a label is the place of its class among the sorted folders."""
    folder = data.expanduser() / SPLIT_FOLDERS["test"]
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; DATA is the folder that holds val/<class>/")
    classes = list_split(folder).classes
    if len(classes) != num_classes:
        raise DataError(
            f"{folder}: {len(classes):,} class folders, and the network knows {num_classes:,}; "
            "a label is the place of its folder among all, so every class must have one"
        )
    paths, labels = [], []
    for label, (name, listing) in enumerate(classes.items()):
        paths += [f"{folder}/{name}/{image}" for image in listing.images]
        labels += [label] * len(listing.images)
    if not paths:
        raise DataError(f"{folder}: its class folders hold no image (.JPEG, .jpg, .png)")
    return ImageFiles(folder, paths, labels)


def batches(images: ImageFiles, img_size: tuple[int, int], device: torch.device) -> PrefetchLoader:
    """Stream the images through timm's loader with the released preprocessing."""
    height, width = img_size
    if height != width:
        raise ReleasedError(f"images of {height} x {width} pixels; only square ones are evaluated")
    cfg = PREPROCESSING
    return create_loader(
        images,
        input_size=(3, height, width),
        batch_size=256 if device.type == "cuda" else 32,
        interpolation=cfg["interpolation"],
        crop_pct=cfg["crop_pct"],
        mean=cfg["mean"],
        std=cfg["std"],
        num_workers=torch.get_num_threads() if len(images) > FEW_IMAGES else 0,
        persistent_workers=False,
        pin_memory=device.type == "cuda",
        device=device,
    )


@torch.inference_mode()
def measure(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], device: torch.device
) -> Accuracy:
    """Count right guesses, in float32; say now and then how far it is."""
    hits_2, num, shown = torch.zeros(2, dtype=torch.long, device=device), 0, time.monotonic()
    for images, labels in decoded(batches):
        best_B5 = model(images).topk(min(5, model.num_classes), dim=1).indices
        right_B5 = best_B5 == labels[:, None]
        hits_2 += torch.stack([right_B5[:, 0].sum(), right_B5.sum()])
        num += len(labels)
        if time.monotonic() - shown >= SECONDS_BETWEEN_LINES:
            shown = time.monotonic()
            print(f"{num:,} images: top-1 {100 * hits_2[0] / num:.2f} %", file=sys.stderr)
    top1, top5 = (100 * hits_2.double() / num).tolist()
    return Accuracy(top1, top5, num)


def decoded(batches: Iterable[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches; of an error in a loading process keep what it is about."""
    try:
        yield from batches
    except DataError as error:
        *_, last = str(error).strip().splitlines()
        raise DataError(last.removeprefix(f"{DataError.__module__}.DataError: ")) from None


def published_model(shape: dict) -> tuple[str, list[Published]]:
    """Return the published model of this architecture and what is published of it."""
    published, counterparts = read_published()
    wanted = {key: value for key, value in shape.items() if key != "num_classes"}
    for name, counterpart in counterparts.items():
        if not counterpart.network.startswith("posmlp_"):
            continue
        with torch.device("meta"):
            model = timm.create_model(counterpart.network, **counterpart.arguments)
            assert isinstance(model, PosMlp)
            theirs = architecture(export_network(model), {})
        if wanted.items() <= theirs.items():
            return name, [number for number in published if number.model == name]
    sizes = f"widths {list(shape['dims'])}, depths {list(shape['depths'])}, gate {shape['gate']}"
    return f"no published one ({sizes}, groups {list(shape['groups'])})", []


def described(checkpoint: Checkpoint) -> str:
    """Say which set of weights was taken, of what epoch, and what else the file holds."""
    names = {"ema": "averaged (ema)", "raw": "raw", "": "the file does not say whether averaged"}
    epoch = "" if checkpoint.epoch is None else f", epoch {checkpoint.epoch}"
    others = "".join(f"; --weights {kind} takes the others" for kind in checkpoint.others)
    return f"{names[checkpoint.weights]}{epoch}{others}"


def beside(accuracy: Accuracy, weights: str, published: list[Published]) -> list[str]:
    """Set every published accuracy that these weights may be compared with beside ours."""
    lines = []
    for number in published:
        fits = not number.weights or not weights or number.weights.endswith(weights)
        if fits and (ours := getattr(accuracy, number.quantity, None)) is not None:
            label = number.quantity.replace("top", "top-")
            what = f"{label}, {number.weights}" if number.weights else label
            away = f"{ours - number.number:+.2f}".replace("-", "−")
            lines.append(f"         {away} from {number.value} % ({what}; {number.where})")
    return lines or ["         published accuracy of this network: unknown"]


def caveats(accuracy: Accuracy, num_classes: int) -> list[str]:
    """Say why figures on these images are not the published ones'."""
    if (num_classes, accuracy.num_images) == (NUM_CLASSES, NUM_VALIDATION):
        return []
    return [
        f"Published accuracies are over {NUM_VALIDATION:,} images of {NUM_CLASSES:,} classes; "
        "with others the differences mean little."
    ]
