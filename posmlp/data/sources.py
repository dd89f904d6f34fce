"""The catalogue of data sets.

To add one stored as arrays, write a function `(root, split) -> Images` and add an entry here; one
of image files only needs the entry.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from posmlp.data.array_sets import read_cifar, read_digits, read_fashion
from posmlp.data.file_tree import find_tree
from posmlp.data.image_folder import LabelledFiles, labelled_files
from posmlp.data.imagenet import check_imagenet
from posmlp.data.images import DataError, Images, SourceSplit


@dataclass(frozen=True)
class DataSource:
    """Facts about a data set, and how to `read` its arrays; without `read` it is image files.

    Facts that are None come from the study: it uses the user's own images.

    Args:
        image_size: pixels per side of the square images.
        num_images: numbers of training and test images.
        read: reads a split of a data set stored as arrays.
        digests: of train and test, if `read` does not verify its files.
        pattern: glob pattern of the folder or archive of image files in data_root.
        check: checks that image files are complete, in place of `num_images`.
    """

    name: str
    title: str
    num_classes: int | None = None
    in_chans: int | None = None
    image_size: int | None = None
    num_images: tuple[int, int] | None = None
    read: Callable[[Path, SourceSplit], Images] | None = None
    digests: tuple[str, str] | None = None
    pattern: str = "*"
    check: Callable[[LabelledFiles, LabelledFiles], None] | None = None

    def load(self, root: str | Path, split: SourceSplit) -> Images:
        """Read one split of a data set stored as arrays; DataError if it is not the original."""
        images, k = self.read(Path(root).expanduser(), split), ("train", "test").index(split)
        shape = (self.num_images[k], self.image_size, self.image_size, self.in_chans)
        classes = np.unique(images.labels_N).tolist()
        problem = None
        if images.images_NHWC.shape != shape:
            problem = f"have the shape {images.images_NHWC.shape}, expected {shape}"
        elif classes != list(range(self.num_classes)):
            problem = f"have the labels {classes}, expected 0 to {self.num_classes - 1}"
        elif self.digests and images.digest != self.digests[k]:
            problem = (
                "differ from the published ones: these are other images under the same file names "
                "(MNIST?) or damaged ones; replace the files by the originals"
            )
        if problem:
            raise DataError(f"{self.title} from {images.source}: {split} images {problem}")
        return images

    def list_files(
        self, root: str | Path, num_classes: int, folder: str | None = None
    ) -> tuple[LabelledFiles, LabelledFiles]:
        """List the image files of train and test.

        Args:
            folder: start of the data set's name in `root`, in place of `pattern`.

        Raises:
            DataError: files are missing, or the number of classes or images is wrong.
        """
        tree = find_tree(Path(root).expanduser(), f"{folder}*" if folder else self.pattern)
        train = labelled_files(tree, "train")
        if len(train.class_names) != num_classes:
            raise DataError(
                f"{tree.root}: {len(train.class_names):,} class folders in train and "
                f"data.num_classes is {num_classes:,}"
            )
        test = labelled_files(tree, "test", train.class_names)
        found = len(train), len(test)
        if self.check:
            self.check(train, test)
        elif self.num_images not in (None, found):
            raise DataError(
                f"{self.title} in {tree.root}: {found} training and test images, expected "
                f"{self.num_images}; fetch it again"
            )
        return train, test


_SOURCES = (
    DataSource(
        name="digits",
        title="scikit-learn's handwritten digits",
        num_classes=10,
        in_chans=1,
        image_size=8,
        num_images=(1_297, 500),
        read=read_digits,
        digests=("14aca45db72332f0", "cb7939074515b95c"),
    ),
    DataSource(
        name="fashion",
        title="Fashion-MNIST",
        num_classes=10,
        in_chans=1,
        image_size=28,
        num_images=(60_000, 10_000),
        read=read_fashion,
        digests=("debaf8fa8041be7a", "31f656d43529baa0"),
    ),
    DataSource(
        name="cifar10",
        title="CIFAR-10",
        num_classes=10,
        in_chans=3,
        image_size=32,
        num_images=(50_000, 10_000),
        read=partial(read_cifar, "CIFAR10"),
    ),
    DataSource(
        name="cifar100",
        title="CIFAR-100",
        num_classes=100,
        in_chans=3,
        image_size=32,
        num_images=(50_000, 10_000),
        read=partial(read_cifar, "CIFAR100"),
    ),
    DataSource(
        name="imagenet",
        title="ImageNet-1k (ILSVRC 2012)",
        num_classes=1_000,
        in_chans=3,
        image_size=224,
        num_images=(1_281_167, 50_000),
        check=check_imagenet,
    ),
    DataSource(
        name="tiny_imagenet",
        title="Tiny ImageNet",
        num_classes=200,
        in_chans=3,
        image_size=64,
        num_images=(100_000, 10_000),
        pattern="tiny-imagenet-200*",
    ),
    DataSource(name="folder", title="images of your own"),
)
DATASETS: dict[str, DataSource] = {source.name: source for source in _SOURCES}
