"""The keys of a study file, and checks across several keys."""

import re
import sys
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from posmlp.data.sources import DATASETS
from posmlp.study.data_settings import Data
from posmlp.study.model_settings import Model
from posmlp.study.recipe_settings import Recipe
from posmlp.study.section import PathName, Section, Text
from posmlp.study.study_error import setting_error

Seed = Annotated[int, Field(ge=0, lt=2**32)]
CONTRAST_RULE = (
    "variants joined by + or - with spaces around the signs, as many added as subtracted: "
    "gqpe - sgu, or gqpe_few - sgu_few - gqpe + sgu"
)


def terms(contrast: str) -> list[tuple[int, str]]:
    """Split a contrast into signs and names: [(1, "gqpe"), (-1, "sgu")].

    Raises:
        ValueError: not a contrast.
    """
    words = contrast.split()
    signs = [1, *(1 if sign == "+" else -1 for sign in words[1::2])]
    if not re.fullmatch(r"\S+( [+-] \S+)+", contrast) or sum(signs):
        raise ValueError(f"{contrast!r} is not a valid contrast; allowed: {CONTRAST_RULE}")
    return list(zip(signs, words[::2], strict=True))


def _is_contrast(contrast: str) -> str:
    terms(contrast)
    return contrast


def _distinct(seeds: list[int]) -> list[int]:
    if len(set(seeds)) < len(seeds):
        raise ValueError("a seed is duplicated; delete one")
    return seeds


class Question(Section):
    """A question, its claim and the contrasts that answer it."""

    ask: Text = Field(description="the question")
    claim: Literal["superior", "non-inferior"] = Field(
        "superior",
        description="claim to test; non-inferior: worse by less than the study's margin",
    )
    contrasts: Annotated[
        list[Annotated[str, AfterValidator(_is_contrast)]], Field(min_length=1)
    ] = Field(description=f"differences of mean test_top1 between variants: {CONTRAST_RULE}")


def settings_apply(config: Any) -> Any:
    """Refuse settings of data, model and recipe that conflict or have no effect."""
    source, recipe = DATASETS[config.data.name], config.recipe
    kind = "is held in memory" if source.read else "is read from image files"
    no_effect = f"has no effect on {source.name}, which {kind}; delete it"
    if source.read and config.data.max_unreadable:
        raise setting_error("data.max_unreadable", no_effect)
    if source.read and (key := recipe.augment.needs_files):
        raise setting_error(f"recipe.augment.{key}", no_effect)
    if source.check and recipe.augment.shift:
        raise setting_error("recipe.augment.shift", no_effect)
    if recipe.augment.shift and (key := recipe.augment.needs_files):
        reason = f"applies to images held in memory, but {key} to image files"
        raise setting_error("recipe.augment.shift", f"{reason}; delete one of the two")
    # The number of your own images is known only when they are read.
    num_images = source.num_images[0] if source.num_images else sys.maxsize
    num_train = int(num_images * (1 - config.data.validation) * config.data.train_fraction)
    if recipe.batch_size > num_train:
        reason = f"{recipe.batch_size} exceeds the {num_train} training images"
        raise setting_error("recipe.batch_size", reason)
    if recipe.batch_size % recipe.grad_accum:
        reason = f"{recipe.batch_size} is not a multiple of recipe.grad_accum, {recipe.grad_accum}"
        raise setting_error("recipe.batch_size", reason)
    if recipe.batch_size // recipe.grad_accum % 2 and (recipe.mixup or recipe.cutmix):
        reason = "Mixup and CutMix need an even number of images per micro-batch"
        raise setting_error("recipe.batch_size", reason)
    return config


class StudyFile(Section):
    """A study file merged with its base."""

    title: Text = Field(description="one line, for tables and figures")
    question: Text = Field(description="what the study is meant to find out")
    base: str | None = Field(
        None,
        description="study file in the same folder to start from; this file then lists only "
        "changes (mappings are merged key by key, everything else is replaced)",
    )
    data: Data = Field(description="images to train and test on")
    model: Model = Field(
        description="name: a model registered with timm; other keys: arguments of that model "
        "(gate, groups, softmax, psd, bias, gate_norm, center_init, spread_init, bias_init, "
        "patch_size, num_blocks, embed_dim, mlp_ratio, drop_path_rate, ...) that do not follow "
        "from data or recipe, checked by building the network; null: the model's default"
    )
    recipe: Recipe = Field(description="optimisation, schedule and augmentation")
    seeds: Annotated[list[Seed], Field(min_length=1), AfterValidator(_distinct)] = Field(
        description="integers from 0; every variant is trained with each"
    )
    gpus: int = Field(
        1,
        ge=1,
        le=4096,
        description="GPUs per run, over all its nodes, with one process each (on CPUs: processes); "
        "not part of the run key, so changing it retrains nothing",
    )
    nodes: int = Field(1, ge=1, description="cluster nodes that share these GPUs evenly")
    reference: PathName = Field(
        description="variant that the others are compared with, unless the column `against` of the "
        "sheet names another"
    )
    level: float = Field(
        0.05,
        gt=0,
        le=0.5,
        description="family-wise error rate over all contrasts of the questions",
    )
    margin: float | None = Field(
        None,
        gt=0,
        le=100,
        description="a loss of test_top1 below this many points counts as non-inferior; "
        "null: non-inferiority is not tested",
    )
    questions: list[Question] = Field(
        [], description="what the study is to decide, written before its runs; see below"
    )
    may_not_learn: list[PathName] = Field(
        [],
        description="variants that may stay at chance level; for all others, the checks require a "
        "falling loss and an accuracy above chance",
    )

    _settings_apply = model_validator(mode="after")(settings_apply)

    @model_validator(mode="after")
    def _keys_fit_together(self) -> "StudyFile":
        for number, question in enumerate(self.questions):
            if question.claim == "non-inferior" and self.margin is None:
                raise setting_error(
                    f"questions.{number}.claim",
                    "non-inferior needs a margin; add `margin: 0.5` (points of test_top1), or "
                    "claim superior",
                )
        if self.gpus % self.nodes:
            reason = f"{self.gpus} GPUs cannot be spread evenly over {self.nodes} nodes"
            raise setting_error("gpus", reason)
        return self
