"""How many training images a second one core decodes and augments, as the ImageNet loader does."""

import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from timm.data import create_transform

from posmlp.data.image_reader import read_image

SIZE = (500, 375)  # the usual one in ImageNet
NUM_IMAGES = 48


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
        paths = [str(Path(folder) / f"{i}.jpg") for i in range(NUM_IMAGES)]
        for path in paths:
            coarse = random.integers(0, 256, (24, 32, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC).save(path, quality=90)
        changes(read_image(paths[0]))
        started = time.process_time()
        for path in paths:
            changes(read_image(path))
        return NUM_IMAGES / (time.process_time() - started)
