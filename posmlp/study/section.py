"""Base class of the sections of a study file, and names that become folders."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

NAME_RULE = (
    "letters, digits and _ . - only, a letter or digit first, 64 characters at most "
    "(it becomes a folder)"
)


class Section(BaseModel):
    """Refuses unknown keys, wrong types and non-finite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def is_path_name(name: str) -> bool:
    """Whether a study or a variant may have this name."""
    return len(name) <= 64 and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name) is not None


def _path_name(name: str) -> str:
    if not is_path_name(name):
        raise ValueError(f"not a valid name; allowed: {NAME_RULE}")
    return name


PathName = Annotated[str, AfterValidator(_path_name)]
Text = Annotated[str, Field(min_length=1)]
