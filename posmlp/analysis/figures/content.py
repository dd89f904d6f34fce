"""What the figures of a study have to show: known from its settings before any run.

Needs no matplotlib. Settings are those of every variant, by dotted key.
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
# Settings that may change along with a swept one: with fewer images, training takes more epochs.
ALONG = {"data.train_fraction": SCHEDULE, "recipe.epochs": SCHEDULE}
AXES = {  # the settings that sweeps vary, and their axis labels
    "data.train_fraction": "training images",
    "recipe.epochs": "epochs",
    "model.groups": "groups (s)",
    "recipe.lr": "learning rate (10⁻³)",
    "recipe.position_lr": "positional learning rate (factor)",
}


def settings_of(study: Study) -> Settings:
    return {name: config.flat() for name, config in study.configs.items()}


def compares(study: Study) -> bool:
    """Whether any variant is compared with another."""
    return any(v.against != NOTHING for v in study.variants if v.name != study.reference)


def compares_networks(study: Study) -> bool:
    """Whether compared variants differ in their networks."""
    return compares(study) and len({repr(c.model) for c in study.configs.values()}) > 1


def sweeps_numbers(study: Study) -> bool:
    """Whether some variants differ in a single setting of AXES."""
    settings = settings_of(study)
    return any(families(settings, key) for key in AXES)


def compares_epochs(study: Study) -> bool:
    """Whether several units are evaluated at several epochs."""
    recipe = study.configs[study.reference].recipe
    evaluations = sum(map(recipe.evaluates, range(recipe.num_epochs)))
    return evaluations > 1 and len(units(study)) > 1


def families(settings: Settings, key: str) -> list[dict[str, float]]:
    """Values of a setting by variant, for each set of variants that differ in it alone.

    Settings that change ALONG with it may differ as well.
    """
    free = {key, *ALONG.get(key, ())}
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for variant, values in settings.items():
        if values.get(key) is not None:
            rest = sorted((name, repr(v)) for name, v in values.items() if name not in free)
            found[repr(rest)][variant] = on_axis(values[key])
    return [family for family in found.values() if len(set(family.values())) > 1]


def on_axis(value: float | Sequence[float]) -> float:
    """Position of a setting on an axis: the geometric mean where stages differ."""
    values = value if isinstance(value, list | tuple) else [value]
    return math.exp(sum(map(math.log, values)) / len(values)) if len(values) > 1 else values[0]


def units(study: Study) -> list[str]:
    """The reference and, for every other gating unit, its variant with the most groups.

    Candidates differ from the reference in their unit alone, or are compared with it after as many
    epochs on the same images; the former take precedence.
    """
    settings = settings_of(study)
    reference = settings[study.reference]
    candidates: dict[str, tuple[bool, float]] = {}
    for variant in study.variants:
        own = settings[variant.name]
        changed = {k for k in own.keys() | reference.keys() if own.get(k) != reference.get(k)}
        trained_alike = not any(key.startswith("data.") or key in SCHEDULE for key in changed)
        unit_alone = changed <= {"model.gate", "model.groups"}
        compared = (variant.against or study.reference) == study.reference
        if "model.gate" in changed and trained_alike and (unit_alone or compared):
            candidates[variant.name] = unit_alone, on_axis(own.get("model.groups") or 1)
    ranked = sorted(candidates, key=candidates.__getitem__)
    best = {settings[name].get("model.gate"): name for name in ranked}.values()  # the last of each
    return [study.reference, *(name for name in settings if name in best)]
