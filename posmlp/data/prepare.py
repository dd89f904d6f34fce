"""The first step of a study: get its data, check them once, and record the facts.

This is not a rule before `train`. When such a rule runs again, Snakemake 9.27 does not check
whether jobs below it have their own reasons to run (`ancient` makes no difference), so runs with
changed settings would not be retrained.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from posmlp.data.data_set import open_data
from posmlp.data.image_folder import LabelledFiles
from posmlp.data.image_reader import COUNTED, check_unreadable, endings
from posmlp.data.images import Images
from posmlp.data.sources import DATASETS

if TYPE_CHECKING:
    from posmlp.study import Study
    from posmlp.study.data_settings import Data
    from posmlp.study.recipe_settings import Augment

CHECKED = {"name", "folder", "image_size", "num_classes", "in_chans", "max_unreadable", "digest"}


def prepare_study(study: "Study", data_root: str | Path, record: Path) -> None:
    """Check a study's data sets, downloading them if possible; once per folder, noted in `record`.

    Raises:
        DataError: data are missing or invalid.
    """
    wanted: dict[str, tuple[Data, Augment]] = {}
    for config in study.configs.values():
        data, augment = config.data, config.recipe.augment
        facts = data.model_dump(mode="json", include=CHECKED) | {"in_files": augment.needs_files}
        wanted.setdefault(json.dumps(facts), (data, augment))
    asked = {"data": [json.loads(facts) for facts in wanted], "root": str(data_root)}
    if record.exists() and json.loads(record.read_text(encoding="utf-8")).get("asked") == asked:
        return
    found = []
    for data, augment in wanted.values():
        print(f"Checking the data: {data.name}", flush=True)
        found.append(prepare(data, augment, data_root))
        print(f"{data.name}: {described(found[-1])}", flush=True)
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps({"asked": asked, "found": found}, indent=2) + "\n", "utf-8")


def prepare(data: "Data", augment: "Augment", root: str | Path) -> dict[str, object]:
    """Check one data set, downloading it if possible, and return its facts for JSON."""
    opened = open_data(data, augment, root)
    splits = {"train": opened.train, "test": opened.test}
    train = opened.train
    return {
        "name": data.name,
        "title": DATASETS[data.name].title,
        "source": train.source if isinstance(train, Images) else str(train.tree.root),
        "in_memory": opened.in_memory,
        "num_images": {split: len(images) for split, images in splits.items()},
        "num_unreadable": {
            split: _num_unreadable(images, data.max_unreadable) for split, images in splits.items()
        },
        "left_out": endings(opened.others),
        "digests": opened.digests,
        "digest": opened.digest,
        "num_classes": data.num_classes,
        "in_chans": data.in_chans,
        "image_size": data.image_size,
    }


def _num_unreadable(images: Images | LabelledFiles, max_unreadable: int) -> int:
    """Count images that cannot be decoded or, if files are streamed, broken links."""
    if isinstance(images, Images):
        return len(images.unreadable)
    sizes = zip(images.paths, images.sizes, strict=True)
    missing = {path: "missing" for path, size in sizes if size is None}
    check_unreadable(missing, max_unreadable)
    return len(missing)


def described(facts: dict) -> str:
    """Describe the data set, with a warning about ignored files."""
    num = facts["num_images"]
    lines = [
        f"{num['train']:,} training and {num['test']:,} test images of {facts['num_classes']:,} "
        f"classes in {facts['source']}, digest {facts['digest']}, "
        f"{'held in memory' if facts['in_memory'] else 'read as training goes on'}"
    ]
    if facts["left_out"]:
        lines.append(f"warning: files left out, by ending: {facts['left_out']}; {COUNTED}")
    return "\n".join(lines)
