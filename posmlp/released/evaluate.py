"""Evaluate a released checkpoint on ImageNet's validation images, beside published accuracies."""

from collections.abc import Mapping
from pathlib import Path

import timm
import torch
from timm.data import create_transform
from torch import nn
from tqdm import tqdm

from posmlp.data.file_tree import FolderTree
from posmlp.data.image_folder import LabelledFiles, labelled_files
from posmlp.data.images import DataError
from posmlp.models import PosMlp
from posmlp.published import Published, read_published
from posmlp.released.convert import DEFAULTS, ReleasedError, released_network
from posmlp.released.weights import Checkpoint, Weights, read_checkpoint
from posmlp.training.batches import BatchSlice
from posmlp.training.cost import num_parameters
from posmlp.training.distributed import World
from posmlp.training.evaluation import evaluate
from posmlp.training.file_batches import FileBatches, ImageFiles, StoredOrder

NUM_CLASSES, NUM_VALIDATION = 1_000, 50_000  # of published accuracies
PREPROCESSING = timm.get_pretrained_cfg("posmlp_tiny_224").to_dict()  # as released, for all sizes
SECONDS_BETWEEN_LINES = 10
WEIGHTS = {"ema": "averaged (ema)", "raw": "raw", "": "raw or averaged, the file does not say"}


def evaluate_checkpoint(
    path: Path, data: Path, weights: Weights | None, world: World, max_unreadable: int = 0
) -> str:
    """Evaluate a checkpoint of the released layout and return a report.

    Args:
        data: folder with val/<class>/ for every class of the network.
        weights: see read_checkpoint.
        max_unreadable: number of missing or damaged files to tolerate; they are skipped.

    Raises:
        ReleasedError, DataError, TrainingError: the file or folder is wrong, or too many images are
            unreadable.
    """
    checkpoint = read_checkpoint(path, weights)
    model, side = network_and_side(path, checkpoint)
    name, published = published_model(model, checkpoint.options)
    files = validation_images(data, model.num_classes)
    images = batches(files, side, world, max_unreadable)
    scores, num_images = measure(model.to(world.device), images, world)
    epoch = "" if checkpoint.epoch is None else f", epoch {checkpoint.epoch}"
    lines = [
        f"Network  {name}, {num_parameters(model):,} parameters",
        f"Weights  {WEIGHTS[checkpoint.weights]}{epoch}",
        f"Images   {num_images:,} of {model.num_classes:,} classes in {files.tree.root}/val",
        f"         {side} x {side} pixels, {PREPROCESSING['interpolation']}, centre crop of "
        f"{PREPROCESSING['crop_pct']:.0%}, ImageNet's mean and standard deviation",
        f"Top-1    {scores['top1']:.2f} %",
        f"Top-5    {scores['top5']:.2f} %",
        *beside(scores, checkpoint.weights, published),
    ]
    if (model.num_classes, num_images) != (NUM_CLASSES, NUM_VALIDATION):
        lines.append(
            f"Published accuracies are for {NUM_VALIDATION:,} images of {NUM_CLASSES:,} classes; "
            "differences with other images mean little."
        )
    return "\n".join(lines)


def network_and_side(path: Path, checkpoint: Checkpoint) -> tuple[PosMlp, int]:
    """Build the network; return it and the side of its images, square and in colour."""
    try:
        model = released_network(checkpoint.state, checkpoint.options)
    except ValueError as error:  # such as windows that do not divide the image
        raise ReleasedError(f"{path}: {error}") from None
    height, side = (DEFAULTS | checkpoint.options)["img_size"]
    if model.in_chans != 3 or height != side:
        takes = f"{model.in_chans} channels and {height} x {side} pixels"
        raise ReleasedError(f"{path}: takes images of {takes}; only square colour images work")
    return model, side


def validation_images(data: Path, num_classes: int) -> LabelledFiles:
    """List the validation images, labelled by the position of their class among sorted folders."""
    tree = FolderTree(data.expanduser())
    if not tree.has("val"):
        raise DataError(
            f"{tree.root}/val: no such folder; DATA is the folder that holds val/<class>/"
        )
    files = labelled_files(tree, "test")
    if len(files.class_names) != num_classes:
        raise DataError(
            f"{tree.root}/val: {len(files.class_names):,} class folders, but the network has "
            f"{num_classes:,} classes; each needs a folder"
        )
    return files


def batches(files: LabelledFiles, side: int, world: World, max_unreadable: int) -> FileBatches:
    """Stream the images with the released preprocessing."""
    cfg = PREPROCESSING
    kept = {key: cfg[key] for key in ("interpolation", "crop_pct", "mean", "std")}
    crop = create_transform((3, side, side), **kept, use_prefetcher=True)
    images = ImageFiles(files, crop, False, max_unreadable, "--max-unreadable")
    batch_slice = BatchSlice(256 if world.device.type == "cuda" else 32)
    order = StoredOrder(len(images), batch_slice)
    return FileBatches(images, order, batch_slice, cfg, world.device)


def measure(model: nn.Module, batches: FileBatches, world: World) -> tuple[dict[str, float], int]:
    """Score all images in float32; return the scores and the number of images read."""
    size = batches.batch_slice.batch_size
    with tqdm(total=batches.num_images, unit=" images", mininterval=SECONDS_BETWEEN_LINES) as bar:
        scores = evaluate(model, batches, world, after_batch=lambda: bar.update(size))
    return scores, batches.num_images - int(batches.unreadable_N.sum())


def published_model(model: PosMlp, options: Mapping) -> tuple[str, list[Published]]:
    """The name of the published model with this network, and its published numbers."""
    published, counterparts = read_published()
    for name, counterpart in counterparts.items():
        if not counterpart.network.startswith("posmlp_") or DEFAULTS | options != DEFAULTS:
            continue
        with torch.device("meta"):
            arguments = counterpart.arguments | {"num_classes": model.num_classes}
            other = timm.create_model(counterpart.network, **arguments)
        if shapes(other) == shapes(model):
            return name, [number for number in published if number.model == name]
    return "not a published one", []


def shapes(model: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


def beside(scores: dict[str, float], weights: str, published: list[Published]) -> list[str]:
    """Compare with the published accuracies of these weights."""
    lines = []
    for number in published:
        fits = not number.weights or not weights or number.weights.endswith(weights)
        if fits and number.quantity in scores:
            label = number.quantity.replace("top", "top-")
            what = f"{label}, {number.weights}" if number.weights else label
            away = f"{scores[number.quantity] - number.number:+.2f}".replace("-", "−")
            lines.append(f"         {away} from {number.value} % ({what}; {number.where})")
    return lines or ["         published accuracy: unknown"]
