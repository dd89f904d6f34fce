"""Generate the key tables of config/README.md and the JSON schemas that editors check keys with."""

import json
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from posmlp.config import Settings
from posmlp.study.data_settings import Data
from posmlp.study.recipe_settings import Augment, Recipe
from posmlp.study.study_file import Question, StudyFile

README = Path("config/README.md")
SCHEMAS = {
    Path("config/schemas/study.json"): StudyFile,
    Path("config/schemas/settings.json"): Settings,  # of config/config.yaml and slurm/site.yaml
}
TABLES = {  # by marker in the README: the section and the prefix of its keys
    "settings": (Settings, ""),
    "study": (StudyFile, ""),
    "questions": (Question, ""),
    "data": (Data, "data."),
    "recipe": (Recipe, "recipe."),
    "augment": (Augment, "recipe.augment."),
}
_MARKED = re.compile("(<!-- keys:(.+) -->\n)(?:.*\n)*?(<!-- /keys -->)")


class _EditorSchema(GenerateJsonSchema):
    """Without required keys, which a base may set, and without titles, which repeat the keys."""

    def field_is_required(self, *_: Any, **__: Any) -> bool:
        return False

    def field_title_should_be_set(self, *_: Any) -> bool:
        return False


def schema(model: type[BaseModel]) -> str:
    """The text of a JSON schema file."""
    return json.dumps(model.model_json_schema(schema_generator=_EditorSchema), indent=1) + "\n"


def renew_tables(text: str) -> str:
    """Update the tables between <!-- keys:NAME --> and <!-- /keys -->."""
    return _MARKED.sub(lambda found: f"{found[1]}\n{_table(*TABLES[found[2]])}\n{found[3]}", text)


def _table(section: type[BaseModel], prefix: str) -> str:
    lines = ["| key | allowed | default | meaning |", "| --- | --- | --- | --- |"]
    described = section.model_json_schema()
    for name, key in described["properties"].items():
        default = json.dumps(key["default"]).strip('"') if "default" in key else ""
        if name in described.get("required", ()):
            default = "required"
        lines.append(f"| `{prefix}{name}` | {_allowed(key)} | {default} | {key['description']} |")
    return "\n".join(lines) + "\n"


def _allowed(schema: dict) -> str:
    """Type and range of a key, from its JSON schema."""
    if "anyOf" in schema:
        return " or ".join(_allowed(option) for option in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if "prefixItems" in schema:
        return f"list of {len(schema['prefixItems'])} numbers > 0"
    if "items" in schema:
        return f"list of {_allowed(schema['items'])}"
    if "$ref" in schema or schema["type"] == "object":
        return "mapping"
    words = {"string": "text", "boolean": "true, false"}.get(schema["type"], schema["type"])
    signs = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
    limits = [f"{sign} {schema[key]}" for key, sign in signs.items() if key in schema]
    return " ".join([words, ", ".join(limits)]).strip()
