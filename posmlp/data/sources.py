"""The data sets that a study may name.

A new data set in memory is a function `(root, split) -> Images` and an entry here; a new image
folder is an entry with what the folder should hold.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from posmlp.data.cifar import read_cifar
from posmlp.data.digits import read_digits
from posmlp.data.fashion import read_fashion
from posmlp.data.folder_check import FolderExpectation
from posmlp.data.images import SPLITS, DataError, Images, Split


@dataclass(frozen=True)
class DataSource:
    """A data set: its facts, and how to read it (`read`) or what its folder holds (`folder`)."""

    name: str
    title: str
    num_classes: int
    in_chans: int
    image_size: int  # pixels of a side, square
    num_train: int
    num_test: int
    class_names: tuple[str, ...] = ()  # in the order of the labels; empty: the folder's own
    read: Callable[[Path, Split], Images] | None = None
    folder: FolderExpectation | None = None
    digests: tuple[str, str] | None = None  # of train and test, where `read` does not check files

    @property
    def in_memory(self) -> bool:
        """Whether `load` returns the images, rather than a folder being read as a run goes on."""
        return self.read is not None

    def load(self, root: str | Path, split: Split) -> Images:
        """Return one split of a data set in memory; DataError if it is not as it should be."""
        assert split in SPLITS, split
        if self.read is None:
            raise DataError(f"{self.name} is too large for memory; read its folder of images")
        images = self.read(Path(root).expanduser(), split)
        if problem := self._problem(images, split):
            raise DataError(f"{self.title} from {images.source}: {split} images {problem}")
        return images

    def _problem(self, images: Images, split: Split) -> str | None:
        num = self.num_train if split == "train" else self.num_test
        shape = (num, self.image_size, self.image_size, self.in_chans)
        if images.images_NHWC.shape != shape:
            return f"have the shape {images.images_NHWC.shape}, expected {shape}"
        labels = np.unique(images.labels_N)
        if not np.array_equal(labels, np.arange(self.num_classes)):
            return f"have the labels {labels.tolist()}, expected 0 to {self.num_classes - 1}"
        if self.digests and images.digest != self.digests[SPLITS.index(split)]:
            return (
                "differ from the published ones, so these are other images under the same file "
                "names (MNIST?) or damaged ones; replace the files by the originals"
            )
        return None


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
        folder=FolderExpectation(),
    ),
)
DATASETS: dict[str, DataSource] = {source.name: source for source in _SOURCES}
