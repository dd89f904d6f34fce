"""JSON schemas of study files and settings, by which editors complete and check keys."""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from posmlp.config import Settings
from posmlp.study.study_file import StudyFile

SCHEMAS = {
    Path("config/schemas/study.json"): StudyFile,
    Path("config/schemas/settings.json"): Settings,  # of config/config.yaml and slurm/site.yaml
}


def schema(model: type[BaseModel]) -> str:
    """Write the text of a schema. No key is required: the base of a study may have it."""
    return json.dumps(_bare(model.model_json_schema()), indent=1) + "\n"


def _bare(part: Any) -> Any:
    """Leave out what keys are required, and titles, which repeat the names of keys."""
    if isinstance(part, list):
        return [_bare(entry) for entry in part]
    if not isinstance(part, dict):
        return part
    left_out = {("title", str), ("required", list)}  # a key of that name is a mapping
    return {k: _bare(v) for k, v in part.items() if (k, type(v)) not in left_out}
