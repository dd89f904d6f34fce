"""The `data` section of a study file."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from posmlp.data.sources import DATASETS
from posmlp.study.section import Section
from posmlp.study.study_error import did_you_mean


def _known_data_set(name: str) -> str:
    if name not in DATASETS:
        raise ValueError(
            f"no such data set; {did_you_mean(name, DATASETS)}allowed: {', '.join(DATASETS)}"
        )
    return name


class Data(Section):
    """Images to train and test on."""

    name: Annotated[str, AfterValidator(_known_data_set)] = Field(
        description=f"data set: {', '.join(DATASETS)}"
    )
    image_size: int | None = Field(
        None, ge=1, le=4096, description="side of the images, in pixels; null: the data set's own"
    )
    train_fraction: float = Field(
        1.0, gt=0, le=1, description="fraction of each class's training images to use"
    )
    validation: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="fraction of each class's training images withheld for validation, on which "
        "variants are chosen; the same images in every run, whatever the seed and train_fraction "
        "(a fraction of the rest); 0: none",
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
        "(image folders); they are skipped and counted in metrics.json, one more ends the run",
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_image_size(cls, values: Any) -> Any:
        # Resolved here: a size left out and the same size written down must be the same run.
        name = values.get("name") if isinstance(values, dict) else None
        if isinstance(name, str) and name in DATASETS and values.get("image_size") is None:
            return {**values, "image_size": DATASETS[name].image_size}
        return values
