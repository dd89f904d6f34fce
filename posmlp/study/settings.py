"""The settings of a study: every key of its YAML file, with unit, range and default."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from posmlp.data.sources import DATASETS
from posmlp.study.errors import did_you_mean, setting_error
from posmlp.study.model_settings import Model

NAME_RULE = (
    "letters, digits and _ . - only, a letter or digit first, 64 characters at most "
    "(it becomes a folder)"
)
# What only one of the two ways of reading images can do.
MEMORY_AUGMENT = ("shift",)
FOLDER_AUGMENT = ("rand_augment", "color_jitter", "scale", "ratio", "interpolation", "crop_pct")


class Section(BaseModel):
    """A part of a study file: unknown keys, wrong types and non-finite numbers are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _known_data_set(name: str) -> str:
    if name not in DATASETS:
        raise ValueError(
            f"no such data set; {did_you_mean(name, DATASETS)}allowed: {', '.join(DATASETS)}"
        )
    return name


def is_path_name(name: str) -> bool:
    """Whether `name` can be a study's or a variant's."""
    return len(name) <= 64 and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name) is not None


def _path_name(name: str) -> str:
    if not is_path_name(name):
        raise ValueError(f"not a usable name; allowed: {NAME_RULE}")
    return name


PathName = Annotated[str, AfterValidator(_path_name)]
Text = Annotated[str, Field(min_length=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
# A YAML list becomes a tuple: the one conversion that strict mode must let pass.
Interval = Annotated[
    tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]], Field(strict=False)
]


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


class Augment(Section):
    """Random changes to the training images."""

    shift: int = Field(
        0,
        ge=0,
        le=64,
        description="largest translation along each axis, in pixels (data sets in memory)",
    )
    hflip: Probability = Field(0.0, description="probability of a horizontal flip")
    rand_augment: Annotated[str, Field(pattern=r"^rand(-[a-z]+[0-9.]+)*$")] | None = Field(
        None,
        description="timm's RandAugment (image folders), such as rand-m6-n3-mstd1.0-inc1; "
        "null: none",
    )
    color_jitter: Probability = Field(
        0.0,
        description="strength of the jitter of brightness, contrast and saturation (image folders; "
        "timm leaves it out where RandAugment is on)",
    )
    scale: Interval | None = Field(
        None,
        description="area of a random crop as a share of the image (image folders); null: none",
    )
    ratio: Interval = Field(
        (3 / 4, 4 / 3), description="width by height of a random crop (image folders)"
    )
    reprob: Probability = Field(0.0, description="probability of erasing a random rectangle")
    interpolation: Literal["random", "bilinear", "bicubic"] = Field(
        "bicubic",
        description="how training images are resized (image folders); random: bilinear or bicubic",
    )
    crop_pct: float | None = Field(
        None,
        gt=0,
        le=1,
        description="share of a test image's side in the centre crop (image folders); "
        "null: the model's own",
    )

    @model_validator(mode="after")
    def _intervals_ascend(self) -> "Augment":
        for key in ("scale", "ratio"):
            interval = getattr(self, key)
            if interval and interval[0] > interval[1]:
                raise setting_error(key, "the first number must not exceed the second")
        if self.scale and self.scale[1] > 1:
            raise setting_error("scale", "a share of the image cannot exceed 1")
        return self


class Recipe(Section):
    """How a network is trained."""

    epochs: int = Field(ge=1, le=100_000, description="epochs of warm-up and cosine decay together")
    cooldown_epochs: int = Field(0, ge=0, description="epochs at min_lr that follow these")
    warmup_epochs: int = Field(0, ge=0, description="first epochs, in which the rate rises to lr")
    batch_size: int = Field(
        ge=1, le=1_048_576, description="images per optimiser step, over all devices"
    )
    grad_accum: int = Field(
        1,
        ge=1,
        le=65_536,
        description="parts that a device computes its share of a batch in, one after the other; "
        "more parts need less memory",
    )
    opt: Literal["adamw", "lamb"] = Field("adamw", description="optimiser, by timm's name")
    lr: float = Field(gt=0, le=10, description="learning rate after the warm-up")
    lr_base_size: int | None = Field(
        None,
        ge=1,
        description="batch size that lr is meant for: lr, warmup_lr and min_lr are multiplied by "
        "batch_size / lr_base_size; null: they are used as they stand",
    )
    warmup_lr: float = Field(1e-6, ge=0, description="learning rate at the start of the warm-up")
    min_lr: float = Field(0.0, ge=0, description="learning rate at the end of the cosine")
    weight_decay: float = Field(ge=0, le=10, description="decoupled weight decay")
    opt_eps: float = Field(1e-8, gt=0, le=1, description="the optimiser's epsilon")
    clip_grad: float | None = Field(
        None, gt=0, description="largest norm of the gradient; null: not clipped"
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="mass moved off the true class")
    mixup: float = Field(0.0, ge=0, description="alpha of Mixup; 0: none")
    cutmix: float = Field(0.0, ge=0, description="alpha of CutMix; 0: none")
    mixup_prob: Probability = Field(1.0, description="probability that a batch is mixed at all")
    mixup_switch_prob: Probability = Field(
        0.5, description="probability of CutMix where both are on"
    )
    ema_decay: float | None = Field(
        None, gt=0, lt=1, description="decay, per step, of the averaged weights; null: no average"
    )
    amp: Literal["auto", "off"] = Field(
        "auto", description="bfloat16 autocast; auto: on where the device gains by it"
    )
    dist_bn: Literal["reduce", "sync"] = Field(
        "reduce",
        description="BatchNorm over several devices: each normalises its own share and the running "
        "statistics are averaged after every epoch (as in the released code), or every step "
        "uses the statistics of the whole batch (GPUs only)",
    )
    deterministic: bool = Field(
        False,
        description="use only algorithms that repeat a GPU's results to the bit; slower, and the "
        "few operations that have none are refused",
    )
    decay_position: bool = Field(
        False, description="weight decay on positional parameters too (as in the released code)"
    )
    augment: Augment = Field(
        Augment(), description="random changes to the training images; default: none"
    )

    @property
    def num_epochs(self) -> int:
        """Epochs of the whole training."""
        return self.epochs + self.cooldown_epochs

    @model_validator(mode="after")
    def _schedule_fits(self) -> "Recipe":
        if self.warmup_epochs >= self.epochs:
            raise setting_error("warmup_epochs", f"must be smaller than epochs, {self.epochs}")
        for key in ("warmup_lr", "min_lr"):
            if getattr(self, key) > self.lr:
                raise setting_error(key, f"{getattr(self, key)} must not exceed lr, {self.lr}")
        return self


class Better(Section):
    """The rule for better, set before the runs."""

    level: float = Field(
        0.05,
        gt=0,
        le=0.5,
        description="largest probability of one or more wrong verdicts in the whole table where no "
        "variant differs (family-wise, by Holm's correction of paired t tests)",
    )
    smallest_difference: float | None = Field(
        None,
        gt=0,
        le=100,
        description="smallest difference of interest, in points of top-1: the number of seeds that "
        "would settle a comparison is computed for it where the difference measured is smaller; "
        "null: for the difference measured",
    )
    power: float = Field(
        0.8,
        gt=0,
        lt=1,
        description="probability with which that number of seeds shows such a difference",
    )


Seed = Annotated[int, Field(ge=0, lt=2**32)]


def _distinct(seeds: list[int]) -> list[int]:
    for seed in seeds:
        if seeds.count(seed) > 1:
            raise ValueError(f"the seed {seed} stands twice; keep one of the two")
    return seeds


def settings_apply(config: Any) -> Any:
    """Refuse settings of data, model and recipe that do not fit together or would do nothing."""
    source, recipe = DATASETS[config.data.name], config.recipe
    kind = "is held in memory" if source.in_memory else "is read from an image folder"
    if source.in_memory and config.data.max_unreadable:
        reason = f"has no effect on {source.name}, which {kind}; delete it"
        raise setting_error("data.max_unreadable", reason)
    for key in FOLDER_AUGMENT if source.in_memory else MEMORY_AUGMENT:
        if getattr(recipe.augment, key) != Augment.model_fields[key].default:
            reason = f"has no effect on {source.name}, which {kind}; delete it"
            raise setting_error(f"recipe.augment.{key}", reason)
    num_train = int(source.num_train * (1 - config.data.validation) * config.data.train_fraction)
    if recipe.batch_size > num_train:
        reason = f"{recipe.batch_size} exceeds the {num_train} training images"
        raise setting_error("recipe.batch_size", reason)
    if recipe.batch_size % recipe.grad_accum:
        reason = f"{recipe.batch_size} is no multiple of recipe.grad_accum, {recipe.grad_accum}"
        raise setting_error("recipe.batch_size", reason)
    if recipe.batch_size // recipe.grad_accum % 2 and (recipe.mixup or recipe.cutmix):
        raise setting_error("recipe.batch_size", "Mixup and CutMix need an even number a part")
    return config


class StudyFile(Section):
    """A study file, its base included."""

    title: Text = Field(description="one line for tables and figures")
    question: Text = Field(description="what the study is to find out")
    base: str | None = Field(
        None,
        description="another study file in the same folder; this one then holds only differences "
        "(mappings are merged key by key, everything else is replaced)",
    )
    data: Data = Field(description="which images are trained and tested on")
    model: Model = Field(
        description="name: of a model registered with timm; any other key: an argument of that "
        "model (gate, groups, softmax, psd, bias, gate_norm, drop_rate, drop_path_rate, ...); "
        "null: the model's default"
    )
    recipe: Recipe = Field(description="how a network is trained")
    seeds: Annotated[list[Seed], Field(min_length=1), AfterValidator(_distinct)] = Field(
        description="one run of every variant for each; they are integers from 0"
    )
    reference: PathName = Field(
        description="the variant that the others are compared with, where the sheet's column "
        "`against` names no other"
    )
    better: Better = Field(Better(), description="when a variant counts as better; see below")
    may_not_learn: list[PathName] = Field(
        [],
        description="variants that may do no better than guessing; of all others a check demands "
        "that their loss falls and that they learn something",
    )
    variants: str | None = Field(
        None,
        description="the sheet of variants, a file in the same folder; null: the study's name "
        "followed by .tsv",
    )

    _settings_apply = model_validator(mode="after")(settings_apply)
