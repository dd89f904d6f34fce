"""Data sets: where they come from, what they hold, which part of them a run sees. No torch here."""

from posmlp.data.folder_check import FolderExpectation, check_image_folder
from posmlp.data.image_folder import imagenet_samples
from posmlp.data.images import PARTS, SPLITS, DataError, Images, Part, Split, dataset_digest
from posmlp.data.prepare import prepare
from posmlp.data.sources import DATASETS, DataSource
from posmlp.data.subsets import class_balanced_subset, first_of_each_class, select, subset_indices

__all__ = [
    "DATASETS",
    "PARTS",
    "SPLITS",
    "DataError",
    "DataSource",
    "FolderExpectation",
    "Images",
    "Part",
    "Split",
    "check_image_folder",
    "class_balanced_subset",
    "dataset_digest",
    "first_of_each_class",
    "imagenet_samples",
    "prepare",
    "select",
    "subset_indices",
]
