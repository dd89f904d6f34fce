"""What of a study its figures show: known from its settings, before any run and without matplotlib.

Settings are those of every variant by dotted key.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from posmlp.study.variant_sheet import NOTHING

if TYPE_CHECKING:
    from posmlp.study import Study

Settings = Mapping[str, Mapping[str, Any]]

SCHEDULE = ("recipe.epochs", "recipe.warmup_epochs", "recipe.eval_every")
# What may change along with a number and is no sweep of its own: fewer images get more epochs.
ALONG = {"data.train_fraction": SCHEDULE, "recipe.epochs": SCHEDULE}
AXES = {
    "data.train_fraction": "training images",
    "recipe.epochs": "epochs",
    "model.groups": "groups (s)",
    "recipe.lr": "learning rate (10⁻³)",
    "recipe.position_lr": "rate of positional parameters (factor)",
}
UNIT = ("model.gate", "model.groups")


def settings_of(study: Study) -> Settings:
    """The settings of every variant."""
    return {name: config.flat() for name, config in study.configs.items()}


def compares(study: Study) -> bool:
    """Whether a variant is compared with another."""
    return any(v.against != NOTHING for v in study.variants if v.name != study.reference)


def compares_networks(study: Study) -> bool:
    """Whether variants that are compared differ in their networks."""
    return compares(study) and len({repr(c.model) for c in study.configs.values()}) > 1


def sweeps_numbers(study: Study) -> bool:
    """Whether some variants differ in one number of AXES alone."""
    settings = settings_of(study)
    return any(families(settings, key) for key in AXES)


def compares_epochs(study: Study) -> bool:
    """Whether units can be compared at several epochs."""
    recipe = study.configs[study.reference].recipe
    evaluations = sum(map(recipe.evaluates, range(recipe.num_epochs)))
    return evaluations > 1 and len(units_of(study)) > 1


def families(settings: Settings, key: str) -> list[dict[str, float]]:
    """The values of variants that differ in one number alone, and in what it brings along."""
    free = {key, *ALONG.get(key, ())}
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for variant, values in settings.items():
        if values.get(key) is not None:
            rest = sorted((name, repr(v)) for name, v in values.items() if name not in free)
            found[repr(rest)][variant] = on_axis(values[key])
    return [family for family in found.values() if len(set(family.values())) > 1]


def on_axis(value: float | Sequence[float]) -> float:
    """A setting as a position on an axis: the geometric mean where stages differ."""
    values = value if isinstance(value, list | tuple) else [value]
    return math.exp(sum(map(math.log, values)) / len(values)) if len(values) > 1 else values[0]


def units_of(study: Study) -> list[str]:
    """The units of a study, see `units`."""
    against = {v.name: v.against or study.reference for v in study.variants}
    return units(settings_of(study), against, study.reference)


def units(settings: Settings, against: Mapping[str, str], reference: str) -> list[str]:
    """The reference and, of each other unit, the variant with most groups, trained alike.

    One that differs from the reference in its unit alone, or else is compared with it after
    as many epochs on the same images.
    """

    def apart(variant: str) -> set[str]:
        ours, theirs = settings[variant], settings[reference]
        return {name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)}

    chosen: dict[str, tuple[bool, float]] = {}
    for name, keys in {name: apart(name) for name in settings}.items():
        alike = not any(key.startswith("data.") or key in SCHEDULE for key in keys)
        plain = keys <= set(UNIT)
        if "model.gate" in keys and alike and (plain or against[name] == reference):
            chosen[name] = plain, on_axis(settings[name].get("model.groups") or 1)
    ranked = sorted(chosen, key=chosen.__getitem__)  # of a unit the last counts
    best = {settings[name].get("model.gate"): name for name in ranked}.values()
    return [reference, *(name for name in settings if name in best)]
