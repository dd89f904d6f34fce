"""The `model` section of a study file: name and arguments of a timm model."""

import math
import re
from typing import Annotated, Any

from pydantic import AfterValidator

from posmlp.study.study_error import setting_error

# Arguments of timm.create_model that a study must not set, and why.
NOT_MODEL_SETTINGS = {
    "num_classes": "comes from data.name",
    "in_chans": "comes from data.name",
    "img_size": "is data.image_size",
    "decay_position": "is recipe.decay_position",
    "model_name": "is model.name",
    "features_only": "would drop the classifier",
    **dict.fromkeys(
        ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir"),
        "would load trained weights; every run starts from random ones",
    ),
    **dict.fromkeys(
        ("scriptable", "exportable", "no_jit"), "says how to run the network, not which"
    ),
}


def _model_settings(values: dict[str, Any]) -> dict[str, Any]:
    """Sort the arguments and drop those that are null, for the model's default."""
    name = values.get("name")
    # timm would download a model whose name contains a slash.
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.]*", name):
        needed = "the name of a model registered with timm, such as gmlp_posgu_xs1_8"
        raise setting_error("name", f"should be {needed}, found {name!r}")
    settings = {"name": name}
    for key in sorted(values.keys() - {"name"}):
        value = values[key]
        if key in NOT_MODEL_SETTINGS:
            raise setting_error(
                key, f"not a setting of a study's model: it {NOT_MODEL_SETTINGS[key]}"
            )
        if value is None:
            continue
        is_list = isinstance(value, list | tuple)
        for entry in value if is_list else (value,):
            if isinstance(entry, str) and entry.lower() in ("yes", "no", "on", "off"):
                raise setting_error(key, f"found the word {entry!r}; write true or false")
            if not isinstance(entry, str | int) and not (
                isinstance(entry, float) and math.isfinite(entry)
            ):
                allowed = "a finite number, true, false, text or a list of these"
                raise setting_error(key, f"should be {allowed}, found {entry!r:.60}")
        settings[key] = tuple(value) if is_list else value
    return settings


Model = Annotated[dict[str, Any], AfterValidator(_model_settings)]
