"""config/README.md and config/schemas: every key of config.yaml, a study file and its sheet.

Both are written from the descriptions of the settings; editors complete and check keys by the
schemas.
"""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from posmlp.config import Settings
from posmlp.study.data_settings import Data
from posmlp.study.model_settings import NOT_MODEL_SETTINGS
from posmlp.study.recipe_settings import Augment, Recipe
from posmlp.study.section import NAME_RULE
from posmlp.study.study_file import Question, StudyFile

SCHEMAS = {
    Path("config/schemas/study.json"): StudyFile,
    Path("config/schemas/settings.json"): Settings,  # of config/config.yaml and slurm/site.yaml
}
INTRODUCTION = """\
# Configuration

<!-- Written by `posmlp docs` from the descriptions in posmlp/config.py, posmlp/study/study_file.py
and posmlp/study/*_settings.py. -->

`config.yaml` says which study runs and where files are. `studies/<study>.yaml` says what is trained
and `studies/<study>.tsv` how its variants differ. Both are checked before any job starts: an
unknown key, a duplicate key or a value out of range is an error that names file and key, and
nothing is written. Files are YAML 1.2 (`off` is a word, `1e-3` a number). Editors with a
YAML language server complete and check keys by the JSON schemas in `schemas/`, which the first
comments of the files name.

A run is one variant with one seed. Its result depends on `data`, `model` and `recipe`, on the seed
and on the code that trains. Changing a title, a claim, a comparison, a question or a comment
retrains nothing.
"""

SHEET = f"""\
## The sheet of variants

Text with one variant a row and single tabs between columns, without quotes. Lines that begin with
`#` are comments.

| column | meaning |
| --- | --- |
| `variant` | unique name, whatever its case: {NAME_RULE} |
| `claim` | what the variant tests, in a sentence |
| `against` | the variant that it is compared with; empty: `reference`; `none`: no other |
| any setting, such as `model.gate` | what the variant changes; empty: the study's value |

A setting is a dotted key of the tables above: `model.groups`, `recipe.lr`, `data.train_fraction`,
`recipe.augment.shift`. A cell is YAML: `4`, `false`, `[8, 16]`, and `null` for "none" (under
`model`: the model's default). Two variants with equal settings are an error.
"""


def config_readme() -> str:
    refused = ", ".join(f"`{key}`" for key in NOT_MODEL_SETTINGS)
    network = StudyFile.model_fields["model"].description
    chapters = [
        INTRODUCTION,
        f"## `config.yaml`: how to run\n\n{_table(Settings, '')}",
        f"## The study file\n\n{_table(StudyFile, '')}",
        f"## `questions`: {_meaning(Question)}\n\n{_table(Question, '')}",
        f"## `data`: {_meaning(Data)}\n\n{_table(Data, 'data.')}",
        f"## `model`: the network\n\n{network}.\n\nArguments are checked by building the network. "
        f"These are not settings: {refused}.\n",
        f"## `recipe`: {_meaning(Recipe)}\n\n{_table(Recipe, 'recipe.')}",
        f"## `recipe.augment`: {_meaning(Augment)}\n\n{_table(Augment, 'recipe.augment.')}",
        SHEET,
    ]
    return "\n".join(chapters)


def _meaning(section: type[BaseModel]) -> str:
    text = (section.__doc__ or "").rstrip(".")
    return text[0].lower() + text[1:]


def _table(section: type[BaseModel], prefix: str) -> str:
    schemas = section.model_json_schema()["properties"]
    lines = ["| key | allowed | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in section.model_fields.items():
        default = "required" if field.is_required() else _default(field.default)
        allowed = _allowed(schemas[name])
        if name == "model":
            lines.append("| `model` | mapping | required | the network, see below |")
            continue
        lines.append(f"| `{prefix}{name}` | {allowed} | {default} | {field.description} |")
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
