"""The tables of config/README.md, and config/schemas: every key of config.yaml and of a study file.

Both are made from the descriptions of the settings; editors complete and check keys by the schemas.
"""

import json
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from posmlp.config import Settings
from posmlp.study.data_settings import Data
from posmlp.study.recipe_settings import Augment, Recipe
from posmlp.study.study_file import Question, StudyFile

README = Path("config/README.md")
SCHEMAS = {
    Path("config/schemas/study.json"): StudyFile,
    Path("config/schemas/settings.json"): Settings,  # of config/config.yaml and slurm/site.yaml
}
TABLES = {  # by their marks in README: the section, and what its keys begin with
    "settings": (Settings, ""),
    "study": (StudyFile, ""),
    "questions": (Question, ""),
    "data": (Data, "data."),
    "recipe": (Recipe, "recipe."),
    "augment": (Augment, "recipe.augment."),
}
_PART = re.compile("(<!-- keys:(.+) -->\n)(?:.*\n)*?(<!-- /keys -->)")


def renew_tables(text: str) -> str:
    """Bring what is between <!-- keys:NAME --> and <!-- /keys --> up to date."""

    def part(match: re.Match[str]) -> str:
        opening, name, closing = match.groups()
        return f"{opening}\n{_table(*TABLES[name])}\n{closing}"

    return _PART.sub(part, text)


def _table(section: type[BaseModel], prefix: str) -> str:
    schemas = section.model_json_schema()["properties"]
    lines = ["| key | allowed | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in section.model_fields.items():
        default = "required" if field.is_required() else _default(field.default)
        lines.append(
            f"| `{prefix}{name}` | {_allowed(schemas[name])} | {default} | {field.description} |"
        )
    return "\n".join(lines) + "\n"


def _default(value: object) -> str:
    if isinstance(value, BaseModel):
        return "its defaults"
    if isinstance(value, tuple):
        return f"[{', '.join(f'{number:.4g}' for number in value)}]"
    if value is None or isinstance(value, bool | list):
        return json.dumps(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _allowed(schema: dict) -> str:
    """Put type and range of a field's JSON schema in words."""
    if "anyOf" in schema:
        return " or ".join(_allowed(option) for option in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if "prefixItems" in schema:
        return f"list of {len(schema['prefixItems'])} numbers > 0"
    if "items" in schema:
        return f"list of: {_allowed(schema['items'])}"
    if "$ref" in schema or schema.get("type") == "object":
        return "mapping"
    words = {"string": "text", "boolean": "true, false"}.get(schema["type"], schema["type"])
    signs = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}
    return " ".join(
        [words, *(f"{sign} {schema[key]}" for key, sign in signs.items() if key in schema)]
    )


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
