"""The `data` section of a study: which images are trained and tested on."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from posmlp.data.sources import DATASETS
from posmlp.study.errors import did_you_mean
from posmlp.study.section import Section


def _known_data_set(name: str) -> str:
    if name not in DATASETS:
        raise ValueError(
            f"no such data set; {did_you_mean(name, DATASETS)}allowed: {', '.join(DATASETS)}"
        )
    return name


class Data(Section):
    """Which images are trained and tested on."""

    name: Annotated[str, AfterValidator(_known_data_set)] = Field(
        description=f"a data set: {', '.join(DATASETS)}"
    )
    image_size: int | None = Field(
        None, ge=1, le=4096, description="side of the images in pixels; null: the data set's own"
    )
    train_fraction: float = Field(
        1.0, gt=0, le=1, description="share of the training images that is used, class by class"
    )
    validation: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="share of the training images, class by class, that is withheld from training "
        "for choosing between variants; the same images in every run whatever train_fraction, "
        "which is a share of the others, and all seeds are; 0: none",
    )
    eval_fraction: float = Field(
        1.0, gt=0, le=1, description="share of the test images that is used, class by class"
    )
    subset: Literal["random", "first"] = Field(
        "random",
        description="how a share is chosen: drawn at random, or the first images of each class "
        "(as in the released code)",
    )
    subset_seed: int = Field(0, ge=0, lt=2**32, description="seed that a random share is drawn by")
    max_unreadable: int = Field(
        0,
        ge=0,
        description="files of the training and of the test images that may be missing or damaged "
        "(image folders): they are skipped and counted in metrics.json; one more ends the run",
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_image_size(cls, values: Any) -> Any:
        # Resolved here, so that leaving the size out and writing it down are the same run.
        name = values.get("name") if isinstance(values, dict) else None
        if isinstance(name, str) and name in DATASETS and values.get("image_size") is None:
            return {**values, "image_size": DATASETS[name].image_size}
        return values
