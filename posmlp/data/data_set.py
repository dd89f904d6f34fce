"""DataSet: both splits of a study's data set, in memory if they fit, otherwise as files."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from posmlp.data.image_folder import LabelledFiles, load_images
from posmlp.data.images import DataError, Images, dataset_digest
from posmlp.data.sources import DATASETS

if TYPE_CHECKING:
    from posmlp.study.data_settings import Data
    from posmlp.study.recipe_settings import Augment

MEMORY_LIMIT = 2_000_000_000  # most bytes of pixels held in memory


@dataclass(frozen=True)
class DataSet:
    """The images of both splits, either all in memory (Images) or all as LabelledFiles.

    Args:
        others: ignored files, whose endings are not those of images.
    """

    train: Images | LabelledFiles
    test: Images | LabelledFiles
    others: tuple[str, ...] = ()

    @property
    def in_memory(self) -> bool:
        return isinstance(self.train, Images)

    @property
    def digests(self) -> dict[str, str]:
        """Digest of each split: over pixels for arrays, over file contents for image files held in
        memory, over names and sizes for streamed files.
        """
        splits = {"train": self.train, "test": self.test}
        return {name: getattr(s, "files_digest", None) or s.digest for name, s in splits.items()}

    @property
    def digest(self) -> str:
        """Digest of the whole data set, 16 hex digits; compared with a study's `data.digest`."""
        return dataset_digest(self.digests)


def open_data(data: "Data", augment: "Augment", root: str | Path) -> DataSet:
    """Read a data set into memory, or list its image files for streaming.

    Image files are held in memory if their pixels at `data.image_size` take at most MEMORY_LIMIT
    and the recipe uses no augmentation that needs files.

    Raises:
        DataError: data are missing or invalid, or do not match `data.digest`.
    """
    source = DATASETS[data.name]
    if source.read:
        opened = DataSet(source.load(root, "train"), source.load(root, "test"))
    else:
        opened = _open_files(data, augment, root)
    if data.digest and data.digest != opened.digest:
        raise DataError(
            f"data.digest: the study is for data with the digest {data.digest}, and those in "
            f"{root} have {opened.digest}: other images, other names or damaged files. Get the "
            "images that the study names, or write the new digest into the study for new results"
        )
    return opened


def _open_files(data: "Data", augment: "Augment", root: str | Path) -> DataSet:
    train, test = DATASETS[data.name].list_files(root, data.num_classes, data.folder)
    others = (*train.others, *test.others)
    size = data.image_size
    num_bytes = (len(train) + len(test)) * size * size * data.in_chans
    fits = num_bytes <= MEMORY_LIMIT
    if fits and not augment.needs_files:
        held = (load_images(f, size, data.in_chans, data.max_unreadable) for f in (train, test))
        return DataSet(*held, others)
    if augment.shift:
        raise DataError(
            f"recipe.augment.shift: needs the images in memory, where {num_bytes / 1e9:.1f} GB at "
            f"data.image_size {size} exceed the limit of {MEMORY_LIMIT / 1e9:.0f} GB; delete it, "
            "or take smaller images"
        )
    if train.tree.is_packed:
        reason = f"recipe.augment.{augment.needs_files}" if fits else f"{num_bytes / 1e9:.1f} GB"
        raise DataError(
            f"{train.tree.root}: images are not held in memory here ({reason}), and an archive is "
            "too slow to stream from; unpack it and name the folder as data_root"
        )
    return DataSet(train, test, others)
