"""The `recipe` section of a study file, including `recipe.augment`."""

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
    """Augmentation of the training images."""

    shift: int = Field(
        0,
        ge=0,
        le=64,
        description="largest translation along each axis, in pixels (data sets held in memory)",
    )
    hflip: Probability = Field(0.0, description="probability of a horizontal flip")
    rand_augment: Annotated[str, Field(pattern=r"^rand(-[a-z]+[0-9.]+)*$")] | None = Field(
        None,
        description="timm's RandAugment (image folders), e.g. rand-m6-n3-mstd1.0-inc1; null: none",
    )
    color_jitter: Probability = Field(
        0.0,
        description="strength of brightness, contrast and saturation jitter (image folders; timm "
        "ignores it with RandAugment)",
    )
    scale: Interval | None = Field(
        None,
        description="area range of random crops, as a fraction of the image (image folders); "
        "null: no crops",
    )
    ratio: Interval = Field(
        (3 / 4, 4 / 3),
        description="aspect ratio range of random crops, width / height (image folders)",
    )
    reprob: Probability = Field(0.0, description="probability of erasing a random rectangle")
    interpolation: Literal["random", "bilinear", "bicubic"] = Field(
        "bicubic",
        description="interpolation of training images (image folders); random: bilinear or bicubic",
    )
    crop_pct: float | None = Field(
        None,
        gt=0,
        le=1,
        description="side of the centre crop of test images, as a fraction of the image (image "
        "folders); null: the model's default",
    )

    @property
    def needs_files(self) -> str | None:
        """The first setting changed that works only on image files; None if there is none."""
        keys = ("rand_augment", "color_jitter", "scale", "ratio", "interpolation", "crop_pct")
        fields = type(self).model_fields
        return next((k for k in keys if getattr(self, k) != fields[k].default), None)

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

    epochs: int = Field(
        ge=1, le=100_000, description="epochs of the schedule: warm-up and cosine decay"
    )
    cooldown_epochs: int = Field(
        0, ge=0, description="further epochs at min_lr, after the schedule"
    )
    warmup_epochs: int = Field(
        0, ge=0, description="epochs of linear warm-up to lr, included in `epochs`"
    )
    eval_every: int = Field(
        1,
        ge=1,
        description="epochs between evaluations on test and validation images; the last epoch is "
        "always evaluated",
    )
    batch_size: int = Field(
        ge=1, le=1_048_576, description="images per optimiser step, over all devices"
    )
    grad_accum: int = Field(
        1,
        ge=1,
        le=65_536,
        description="micro-batches per batch on each device; more need less memory",
    )
    opt: Literal["adamw", "lamb"] = Field("adamw", description="optimiser (timm)")
    lr: float = Field(gt=0, le=10, description="learning rate after warm-up")
    position_lr: float = Field(
        1.0,
        ge=0,
        le=1000,
        description="factor on the learning rate of the positional encodings (tables of lrpe, "
        "centres and spreads of qpe and gqpe; not the position bias); 0: they keep their initial "
        "values",
    )
    lr_base_size: int | None = Field(
        None,
        ge=1,
        description="reference batch size for lr: lr, warmup_lr and min_lr are multiplied by "
        "batch_size / lr_base_size; null: not scaled",
    )
    warmup_lr: float = Field(1e-6, ge=0, description="learning rate at the start of warm-up")
    min_lr: float = Field(0.0, ge=0, description="learning rate at the end of cosine decay")
    weight_decay: float = Field(ge=0, le=10, description="decoupled weight decay")
    opt_eps: float = Field(1e-8, gt=0, le=1, description="the optimiser's epsilon")
    clip_grad: float | None = Field(
        None, gt=0, description="largest gradient norm; null: no clipping"
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="amount of label smoothing")
    mixup: float = Field(0.0, ge=0, description="alpha of Mixup; 0: none")
    cutmix: float = Field(0.0, ge=0, description="alpha of CutMix; 0: none")
    mixup_prob: Probability = Field(1.0, description="probability of mixing a batch")
    mixup_switch_prob: Probability = Field(
        0.5, description="probability of CutMix over Mixup if both are on"
    )
    ema_decay: float | None = Field(
        None, gt=0, lt=1, description="decay per step of averaged weights (EMA); null: off"
    )
    amp: Literal["auto", "off"] = Field(
        "auto", description="bfloat16 autocast; auto: enabled on CUDA"
    )
    compile: Literal["default", "reduce-overhead", "max-autotune"] | None = Field(
        None,
        description="mode of torch.compile; the last two use CUDA graphs, which help small models "
        "most (GPUs only); needs a C++ compiler; null: not compiled",
    )
    dist_bn: Literal["reduce", "sync"] = Field(
        "reduce",
        description="BatchNorm across devices; reduce: each device normalises with its own images, "
        "and running statistics are averaged every epoch (as in the released code); sync: every "
        "step uses the statistics of the whole batch (GPUs only)",
    )
    deterministic: bool = Field(
        False,
        description="use only algorithms that are reproducible bit for bit on a GPU; slower, and "
        "operations without one raise an error",
    )
    decay_position: bool = Field(
        False,
        description="apply weight decay to positional parameters too (as in the released code)",
    )
    augment: Augment = Field(
        default_factory=Augment, description="augmentation of the training images; default: none"
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
