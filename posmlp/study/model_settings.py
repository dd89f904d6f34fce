"""The `model` section of a study file: name and arguments of a timm model, checked without timm."""

import math
import re
from typing import Annotated, Any

from pydantic import AfterValidator

from posmlp.study.study_error import setting_error

# Arguments of timm.create_model that a study must not set, and why or where instead.
NOT_MODEL_SETTINGS = {
    "num_classes": "comes from data.name",
    "in_chans": "comes from data.name",
    "img_size": "is data.image_size",
    "decay_position": "is recipe.decay_position",
    "model_name": "is model.name",
    "features_only": "would drop the classifier",
    **dict.fromkeys(
        ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir"),
        "would start from trained weights; every run starts from random ones",
    ),
    **dict.fromkeys(
        ("scriptable", "exportable", "no_jit"), "says how to run the network, not which"
    ),
}


def _check_model_value(key: str, value: Any) -> None:
    if isinstance(value, str) and value.lower() in ("yes", "no", "on", "off"):
        raise setting_error(key, f"found the word {value!r}; write true or false")
    if isinstance(value, float) and not math.isfinite(value):
        raise setting_error(key, f"should be a finite number, found {value}")
    if not isinstance(value, str | bool | int | float):
        raise setting_error(key, "should be a number, true, false, a word or a plain list of these")
    if isinstance(value, int) and abs(value) > 2**53:
        raise setting_error(key, "a number beyond 2^53 is not a sensible setting")


def _model_value(key: str, value: Any) -> Any:
    if not isinstance(value, list | tuple):
        _check_model_value(key, value)
        return value
    for entry in value:
        _check_model_value(key, entry)
    return tuple(value)


def _model_settings(values: dict[str, Any]) -> dict[str, Any]:
    """Sort the arguments after the name; null, the model's default, is left out."""
    name = values.get("name")
    if name is None:
        raise setting_error(
            "name", "missing; add the name of a timm model, such as gmlp_posgu_xs1_8"
        )
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.]*", name):
        raise setting_error(
            "name", f"should be the name of a model registered with timm, found {name!r}"
        )
    settings = {"name": name}
    for key in sorted(values.keys() - {"name"}):
        if key in NOT_MODEL_SETTINGS:
            raise setting_error(
                key, f"not a setting of a study's model: it {NOT_MODEL_SETTINGS[key]}"
            )
        if values[key] is not None:
            settings[key] = _model_value(key, values[key])
    return settings


Model = Annotated[dict[str, Any], AfterValidator(_model_settings)]
