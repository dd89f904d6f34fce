"""The study file: every key with unit, range and default, and what must fit together in it."""

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
    "variants with + or - between them, each in spaces, as many added as subtracted: gqpe - sgu, "
    "or gqpe_few - sgu_few - gqpe + sgu"
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
    """A question, what it claims, and the contrasts that answer it."""

    ask: Text = Field(description="the question")
    claim: Literal["superior", "non-inferior"] = Field(
        "superior",
        description="the verdict that the question is about; non-inferior: not worse by the "
        "study's margin or more",
    )
    contrasts: Annotated[
        list[Annotated[str, AfterValidator(_is_contrast)]], Field(min_length=1)
    ] = Field(description=f"differences of mean test_top1 between variants: {CONTRAST_RULE}")


def settings_apply(config: Any) -> Any:
    """Refuse settings of data, model and recipe that do not fit together or have no effect."""
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
        reason = f"moves images in memory, and {key} changes image files as they are read"
        raise setting_error("recipe.augment.shift", f"{reason}; delete one of the two")
    num_train = int(
        (
            source.num_images[0] if source.num_images else sys.maxsize
        )  # of images of your own: known when they are read
        * (1 - config.data.validation)
        * config.data.train_fraction
    )
    if recipe.batch_size > num_train:
        reason = f"{recipe.batch_size} exceeds the {num_train} training images"
        raise setting_error("recipe.batch_size", reason)
    if recipe.batch_size % recipe.grad_accum:
        reason = f"{recipe.batch_size} is not a multiple of recipe.grad_accum, {recipe.grad_accum}"
        raise setting_error("recipe.batch_size", reason)
    if recipe.batch_size // recipe.grad_accum % 2 and (recipe.mixup or recipe.cutmix):
        reason = "Mixup and CutMix need an even number of images in a micro-batch"
        raise setting_error("recipe.batch_size", reason)
    return config


class StudyFile(Section):
    """A study file merged with its base."""

    title: Text = Field(description="one line for tables and figures")
    question: Text = Field(description="what the study is to find out")
    base: str | None = Field(
        None,
        description="another study file in the same folder; this one then holds only differences "
        "(mappings are merged key by key, everything else is replaced)",
    )
    data: Data = Field(description="images to train and test on")
    model: Model = Field(
        description="name: a model registered with timm; any other key: an argument of that "
        "model (gate, groups, softmax, psd, bias, gate_norm, center_init, spread_init, bias_init, "
        "patch_size, num_blocks, embed_dim, mlp_ratio, drop_path_rate, ...), checked by building "
        "the network, but none that follows from data or recipe; null: the model's default"
    )
    recipe: Recipe = Field(description="optimisation, schedule and augmentation")
    seeds: Annotated[list[Seed], Field(min_length=1), AfterValidator(_distinct)] = Field(
        description="integers from 0; one run of every variant for each"
    )
    gpus: int = Field(
        1,
        ge=1,
        le=4096,
        description="GPUs of a run, over all its nodes, with a process each (processes on CPUs "
        "too); not part of the run key, so changing it retrains nothing",
    )
    nodes: int = Field(1, ge=1, description="nodes of a cluster that share these GPUs evenly")
    reference: PathName = Field(
        description="the variant that the others are compared with, unless the sheet's column "
        "`against` names another"
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
        description="largest loss of test_top1, in points, that still counts as non-inferior; "
        "null: nothing is called non-inferior",
    )
    questions: list[Question] = Field(
        [], description="what the study is to decide, written down before its runs; see below"
    )
    may_not_learn: list[PathName] = Field(
        [],
        description="variants that may do no better than guessing; of all others the checks "
        "demand a falling loss and an accuracy above chance",
    )
    variants: str | None = Field(
        None,
        description="the sheet of variants, a file in the same folder; null: the study's name "
        "with .tsv",
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
