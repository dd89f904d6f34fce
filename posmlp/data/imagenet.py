"""Check before any run that ImageNet-1k is complete and correctly labelled."""

import re

import numpy as np

from posmlp.data.image_folder import LabelledFiles
from posmlp.data.image_reader import some
from posmlp.data.images import DataError

LEAST_TRAIN = 700  # images per class; originally 732 to 1,300, but copies may lack a few
NUM_VAL = 50  # images per class
_WNID = re.compile(r"n\d{8}")
_TRAIN_IMAGE = re.compile(r"(n\d{8})_\d+\.")
# The classes of five validation images reveal a val folder sorted by a different class order.
_VAL_CLASSES = {
    "ILSVRC2012_val_00000001.JPEG": "n01751748",
    "ILSVRC2012_val_00000002.JPEG": "n09193705",
    "ILSVRC2012_val_00000003.JPEG": "n02105855",
    "ILSVRC2012_val_00000004.JPEG": "n04263257",
    "ILSVRC2012_val_00000293.JPEG": "n01440764",
}


def check_imagenet(train: LabelledFiles, val: LabelledFiles) -> None:
    """Check class names, numbers of images, and the classes that file names imply.

    Raises:
        DataError: the message lists every fault.
    """
    classes = train.class_names
    num_train_C, num_val_C = (np.bincount(f.labels_N, minlength=len(classes)) for f in (train, val))
    faults = {
        "class folders are not named by wnid (n and 8 digits), so labels would differ": [
            name for name in classes if not _WNID.fullmatch(name)
        ],
        f"classes hold fewer than {LEAST_TRAIN} training images; unpack them again": [
            f"{classes[k]} {num_train_C[k]:,}" for k in np.flatnonzero(num_train_C < LEAST_TRAIN)
        ],
        f"classes do not hold {NUM_VAL} validation images": [
            f"{classes[k]} {num_val_C[k]:,}" for k in np.flatnonzero(num_val_C != NUM_VAL)
        ],
        "images are in the folder of another class": _strays(train) + _strays(val),
    }
    lines = [f"  - {len(all_):,} {fault}: {some(all_)}" for fault, all_ in faults.items() if all_]
    if lines:
        raise DataError(
            "\n".join([f"{train.tree.root} is not all of ImageNet, correctly sorted:", *lines])
        )


def _strays(files: LabelledFiles) -> list[str]:
    """Find images whose file name implies a different class than their folder."""
    strays = []
    for name, label in zip(files.names, files.labels_N.tolist(), strict=True):
        image = name.rpartition("/")[2]
        match = _TRAIN_IMAGE.match(image)
        wnid = match[1] if match else _VAL_CLASSES.get(image)
        if wnid not in (None, files.class_names[label]):
            strays.append(f"{name} belongs in {wnid}")
    return strays
