"""The `data` section of a study file."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from posmlp.data.sources import DATASETS
from posmlp.study.section import PathName, Section
from posmlp.study.study_error import setting_error

FACTS = ("image_size", "num_classes", "in_chans")  # known for most data sets


class Data(Section):
    """Images to train and test on."""

    name: Literal[*DATASETS] = Field(
        description="data set; `folder`: your own images in `train/<class>/` and `val/<class>/` "
        "(or `test/`)"
    )
    folder: PathName | None = Field(
        None,
        description="start of the name of an image folder or archive in data_root, such as "
        "CIFAR-10-images; null: data_root itself, or the only data set in it",
    )
    image_size: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="image side in pixels; required for `folder`; null: that of the data set",
    )
    placement: Literal["fill", "centred", "random"] = Field(
        "fill",
        description="fill: images are resized to image_size; otherwise they keep their size on a "
        "larger black canvas, centred or at a random position: fixed for each test and validation "
        "image, new every epoch for training images (data sets held in memory)",
    )
    num_classes: int | None = Field(
        None,
        ge=2,
        description="number of classes; required for `folder`; null: that of the data set",
    )
    in_chans: Literal[1, 3] | None = Field(
        None,
        description="channels: 3 for colour, 1 for grey; null: those of the data set, or 3",
    )
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] | None = Field(
        None,
        description="expected digest of the data, as printed by `posmlp prepare`; other data is "
        "refused; null: not checked",
    )
    train_fraction: float = Field(
        1.0, gt=0, le=1, description="fraction of each class's training images to use"
    )
    validation: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="fraction of each class's training images held out for validation, on which "
        "variants are chosen; the same images in every run, whatever the seed; train_fraction "
        "applies to the rest; 0: none",
    )
    eval_fraction: float = Field(
        1.0, gt=0, le=1, description="fraction of each class's test images to use"
    )
    subset: Literal["random", "first"] = Field(
        "random",
        description="how a fraction is chosen: at random, or the first images of each class (as in "
        "the released code)",
    )
    subset_seed: int = Field(0, ge=0, lt=2**32, description="seed of the random choice")
    max_unreadable: int = Field(
        0,
        ge=0,
        description="missing or damaged files to tolerate among training and among test images "
        "(image folders); they are skipped and counted in metrics.json",
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_facts(cls, values: Any) -> Any:
        # Resolved here, so that omitting a fact and stating it give the same run key.
        name = values.get("name") if isinstance(values, dict) else None
        if not isinstance(name, str) or name not in DATASETS:
            return values
        facts = {key: getattr(DATASETS[name], key) for key in FACTS}
        facts["in_chans"] = facts["in_chans"] or 3
        return {**values, **{k: v for k, v in facts.items() if values.get(k) is None}}

    @model_validator(mode="after")
    def _facts_fit(self) -> "Data":
        source = DATASETS[self.name]
        for key in FACTS:
            if getattr(self, key) is None:
                raise setting_error(key, f"missing; required for {self.name}")
        for key in ("num_classes", "in_chans"):
            if getattr(source, key) not in (None, getattr(self, key)):
                reason = f"{getattr(self, key)}, but {source.title} has {getattr(source, key)}"
                raise setting_error(key, f"{reason}; delete it")
        if self.folder and source.read:
            raise setting_error("folder", f"has no effect on {source.name}; delete it")
        if self.placement != "fill":
            if not source.read:
                reason = f"has no effect on {self.name}, which is read from image files; delete it"
                raise setting_error("placement", reason)
            if self.image_size <= source.image_size:
                needed = f"needs an image_size above {source.image_size}, the size of the images"
                raise setting_error("placement", f"{self.placement} {needed}")
        return self
