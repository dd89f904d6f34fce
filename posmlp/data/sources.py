"""The data sets that a study may name.

A new data set of arrays is a function `(root, split) -> Images` and an entry here; one of image
files is an entry alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from posmlp.data.cifar import read_cifar
from posmlp.data.digits import read_digits
from posmlp.data.fashion import read_fashion
from posmlp.data.file_tree import find_tree
from posmlp.data.folder_check import FolderExpectation
from posmlp.data.image_folder import LabelledFiles, labelled_files
from posmlp.data.images import SOURCE_SPLITS, DataError, Images, SourceSplit


@dataclass(frozen=True)
class DataSource:
    """A data set: its facts, and either how to `read` its arrays or that it is image files.

    Facts that are None are those of the user's own images: the study states them.

    Args:
        image_size: pixels of a side, square.
        class_names: in the order of the labels; empty: the class folders of train.
        read: reads a split from a folder, for data sets that come as arrays.
        pattern: names below data_root that a folder or archive of image files may have.
        expected: what a complete folder holds, where that is known in detail (ImageNet).
        digests: of train and test, where `read` does not verify files.
    """

    name: str
    title: str
    num_classes: int | None = None
    in_chans: int | None = None
    image_size: int | None = None
    num_train: int | None = None
    num_test: int | None = None
    class_names: tuple[str, ...] = ()
    read: Callable[[Path, SourceSplit], Images] | None = None
    pattern: str = "*"
    expected: FolderExpectation | None = None
    digests: tuple[str, str] | None = None

    def load(self, root: str | Path, split: SourceSplit) -> Images:
        """Read one split of a data set of arrays; DataError if it is not as published."""
        assert split in SOURCE_SPLITS, split
        images = self.read(Path(root).expanduser(), split)
        if problem := self._problem(images, split):
            raise DataError(f"{self.title} from {images.source}: {split} images {problem}")
        return images

    def _problem(self, images: Images, split: SourceSplit) -> str | None:
        num = self.num_train if split == "train" else self.num_test
        shape = (num, self.image_size, self.image_size, self.in_chans)
        if images.images_NHWC.shape != shape:
            return f"have the shape {images.images_NHWC.shape}, expected {shape}"
        labels = np.unique(images.labels_N)
        if not np.array_equal(labels, np.arange(self.num_classes)):
            return f"have the labels {labels.tolist()}, expected 0 to {self.num_classes - 1}"
        if self.digests and images.digest != self.digests[SOURCE_SPLITS.index(split)]:
            return (
                "differ from the published ones: these are other images under the same file names "
                "(MNIST?) or damaged ones; replace the files by the originals"
            )
        return None

    def list_files(self, root: str | Path, num_classes: int) -> dict[SourceSplit, LabelledFiles]:
        """List the image files of both splits.

        Raises:
            DataError: they are not there, or not as many classes and images as they should be.
        """
        tree = find_tree(Path(root).expanduser(), self.pattern)
        train = labelled_files(tree, "train")
        if len(train.class_names) != num_classes:
            raise DataError(
                f"{tree.root}: {len(train.class_names):,} class folders in train and "
                f"data.num_classes is {num_classes:,}"
            )
        found = {"train": train, "test": labelled_files(tree, "test", train.class_names)}
        if not self.expected:  # ImageNet may lack a few; `check_image_folder` says how many
            for split, num in (("train", self.num_train), ("test", self.num_test)):
                if num not in (None, len(found[split])):
                    raise DataError(
                        f"{self.title} in {tree.root}: {len(found[split]):,} {split} images, "
                        f"expected {num:,}; fetch it again"
                    )
        return found


_CIFAR100_CLASSES = tuple(
    """apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
    butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab
    crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard
    lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom
    oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
    possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake
    spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor
    train trout tulip turtle wardrobe whale willow_tree wolf woman worm""".split()  # noqa: SIM905
)

_SOURCES = (
    DataSource(
        name="digits",
        title="scikit-learn's handwritten digits",
        num_classes=10,
        in_chans=1,
        image_size=8,
        num_train=1_297,
        num_test=500,
        class_names=tuple("0123456789"),
        read=read_digits,
        digests=("14aca45db72332f0", "cb7939074515b95c"),
    ),
    DataSource(
        name="fashion",
        title="Fashion-MNIST",
        num_classes=10,
        in_chans=1,
        image_size=28,
        num_train=60_000,
        num_test=10_000,
        class_names=(
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ),
        read=read_fashion,
        digests=("debaf8fa8041be7a", "31f656d43529baa0"),
    ),
    DataSource(
        name="cifar10",
        title="CIFAR-10",
        num_classes=10,
        in_chans=3,
        image_size=32,
        num_train=50_000,
        num_test=10_000,
        class_names=(
            *("airplane", "automobile", "bird", "cat", "deer"),
            *("dog", "frog", "horse", "ship", "truck"),
        ),
        read=partial(read_cifar, "CIFAR10"),
    ),
    DataSource(
        name="cifar100",
        title="CIFAR-100",
        num_classes=100,
        in_chans=3,
        image_size=32,
        num_train=50_000,
        num_test=10_000,
        class_names=_CIFAR100_CLASSES,
        read=partial(read_cifar, "CIFAR100"),
    ),
    DataSource(
        name="imagenet",
        title="ImageNet-1k (ILSVRC 2012)",
        num_classes=1_000,
        in_chans=3,
        image_size=224,
        num_train=1_281_167,
        num_test=50_000,
        expected=FolderExpectation(),
    ),
    DataSource(
        name="tiny_imagenet",
        title="Tiny ImageNet",
        num_classes=200,
        in_chans=3,
        image_size=64,
        num_train=100_000,
        num_test=10_000,
        pattern="tiny-imagenet-200*",
    ),
    DataSource(name="folder", title="images of your own"),
)
DATASETS: dict[str, DataSource] = {source.name: source for source in _SOURCES}
