"""The `recipe` section of a study file, with `recipe.augment`."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from posmlp.study.section import Section
from posmlp.study.study_error import setting_error

Probability = Annotated[float, Field(ge=0, le=1)]
# Not strict: a YAML list becomes a tuple.
Interval = Annotated[
    tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]], Field(strict=False)
]


class Augment(Section):
    """Random changes of the training images."""

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
        description="strength of brightness, contrast and saturation jitter (image folders; timm "
        "drops it where RandAugment is on)",
    )
    scale: Interval | None = Field(
        None,
        description="area of a random crop as a fraction of the image (image folders); null: none",
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
        description="fraction of a test image's side in the centre crop (image folders); "
        "null: the model's own",
    )

    @property
    def needs_files(self) -> str | None:
        """The first setting that changes image files as they are read; None: memory will do."""
        keys = ("rand_augment", "color_jitter", "scale", "ratio", "interpolation", "crop_pct")
        changed = (k for k in keys if getattr(self, k) != type(self).model_fields[k].default)
        return next(changed, None)

    @model_validator(mode="after")
    def _intervals_ascend(self) -> "Augment":
        for key in ("scale", "ratio"):
            interval = getattr(self, key)
            if interval and interval[0] > interval[1]:
                raise setting_error(key, "the first number must not exceed the second")
        if self.scale and self.scale[1] > 1:
            raise setting_error("scale", "a fraction of the image cannot exceed 1")
        return self


class Recipe(Section):
    """Optimisation, schedule and augmentation."""

    epochs: int = Field(ge=1, le=100_000, description="epochs of warm-up and cosine decay")
    cooldown_epochs: int = Field(0, ge=0, description="epochs at min_lr after these")
    warmup_epochs: int = Field(
        0, ge=0, description="epochs of linear rise to lr, the first of these"
    )
    eval_every: int = Field(
        1,
        ge=1,
        description="epochs between evaluations on test and validation images; the last epoch is "
        "always evaluated",
    )
    batch_size: int = Field(
        ge=1, le=1_048_576, description="images an optimiser step, over all devices"
    )
    grad_accum: int = Field(
        1,
        ge=1,
        le=65_536,
        description="micro-batches that a device splits its images of a batch into; more need less "
        "memory",
    )
    opt: Literal["adamw", "lamb"] = Field("adamw", description="optimiser (timm)")
    lr: float = Field(gt=0, le=10, description="learning rate after the warm-up")
    position_lr: float = Field(
        1.0,
        ge=0,
        le=1000,
        description="factor on the learning rate of the positional encodings (tables of lrpe, "
        "centres and spreads of qpe and gqpe; not the position bias), throughout the schedule; "
        "0: they stay as they start",
    )
    lr_base_size: int | None = Field(
        None,
        ge=1,
        description="reference batch size for lr: lr, warmup_lr and min_lr are multiplied by "
        "batch_size / lr_base_size; null: used unscaled",
    )
    warmup_lr: float = Field(1e-6, ge=0, description="learning rate at the start of the warm-up")
    min_lr: float = Field(0.0, ge=0, description="learning rate at the end of the cosine")
    weight_decay: float = Field(ge=0, le=10, description="decoupled weight decay")
    opt_eps: float = Field(1e-8, gt=0, le=1, description="the optimiser's epsilon")
    clip_grad: float | None = Field(
        None, gt=0, description="largest gradient norm; null: no clipping"
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="probability moved off the true class"
    )
    mixup: float = Field(0.0, ge=0, description="alpha of Mixup; 0: none")
    cutmix: float = Field(0.0, ge=0, description="alpha of CutMix; 0: none")
    mixup_prob: Probability = Field(1.0, description="probability that a batch is mixed")
    mixup_switch_prob: Probability = Field(
        0.5, description="probability of CutMix where both are on"
    )
    ema_decay: float | None = Field(
        None, gt=0, lt=1, description="decay per step of the averaged weights; null: no average"
    )
    amp: Literal["auto", "off"] = Field(
        "auto", description="bfloat16 autocast; auto: enabled on CUDA"
    )
    compile: Literal["default", "reduce-overhead", "max-autotune"] | None = Field(
        None,
        description="torch.compile's mode; the last two record CUDA graphs, which help small "
        "models most (GPUs only); needs a C++ compiler; null: not compiled",
    )
    dist_bn: Literal["reduce", "sync"] = Field(
        "reduce",
        description="BatchNorm over several devices; reduce: each normalises by its own images, "
        "and running statistics are averaged every epoch (as in the released code); sync: every "
        "step uses the statistics of the whole batch (GPUs only)",
    )
    deterministic: bool = Field(
        False,
        description="use only algorithms whose results on a GPU repeat bit for bit; slower, and "
        "the few operations without one are refused",
    )
    decay_position: bool = Field(
        False, description="weight decay on positional parameters too (as in the released code)"
    )
    augment: Augment = Field(
        Augment(), description="random changes of the training images; default: none"
    )

    @property
    def num_epochs(self) -> int:
        """Epochs of the whole training, cooldown included."""
        return self.epochs + self.cooldown_epochs

    def evaluates(self, epoch: int) -> bool:
        """Whether an epoch, counted from 0, ends with an evaluation."""
        return (epoch + 1) % self.eval_every == 0 or epoch + 1 == self.num_epochs

    @model_validator(mode="after")
    def _schedule_fits(self) -> "Recipe":
        if self.warmup_epochs >= self.epochs:
            raise setting_error("warmup_epochs", f"must be smaller than epochs, {self.epochs}")
        for key in ("warmup_lr", "min_lr"):
            if getattr(self, key) > self.lr:
                raise setting_error(key, f"{getattr(self, key)} must not exceed lr, {self.lr}")
        return self
