"""config/README.md: every key of a study file and its sheet, from the fields' descriptions."""

import json

from pydantic import BaseModel

from posmlp.study.data_settings import Data
from posmlp.study.model_settings import NOT_MODEL_SETTINGS
from posmlp.study.questions import Question
from posmlp.study.recipe_settings import Augment, Recipe
from posmlp.study.section import NAME_RULE
from posmlp.study.settings import StudyFile
from posmlp.workflow import Settings

INTRODUCTION = """\
# Configuration

<!-- Written by `python -m posmlp.study > config/README.md`; change the descriptions in
posmlp/study/*settings.py and posmlp/workflow.py, and renew it. -->

`config.yaml` says which study runs and where files are. `studies/<study>.yaml` says what is
trained and `studies/<study>.tsv` how its variants differ. Both are checked before any job starts: a
key that is not listed here, a key that stands twice or a value out of range is an error that names
file and key, and nothing is written.

A run is one variant with one seed. Its result depends on what stands under `data`, `model` and
`recipe`, on the seed and on the code that trains; changing a title, a claim, what a variant
is compared with, a question or a comment retrains nothing.
"""

SHEET = f"""\
## The sheet of variants

Text with one variant a row, columns separated by single tabs, nothing in quotes. Lines that begin
with `#` are comments.

| column | meaning |
| --- | --- |
| `variant` | name, unlike all others in more than case: {NAME_RULE} |
| `claim` | what the variant tests, in a sentence |
| `against` | the variant that it is compared with; empty: `reference`; `none`: no other |
| any setting, such as `model.gate` | what the variant changes; an empty cell leaves the study's |

A setting is a dotted key of the tables above: `model.groups`, `recipe.lr`, `data.train_fraction`,
`recipe.augment.shift`. A cell is read as YAML: `4`, `false`, `[8, 16]`, and `null` for "none"
(under `model`: for the model's default). Two variants with equal settings are an error.
"""


def describe() -> str:
    """The text of config/README.md."""
    refused = ", ".join(f"`{key}`" for key in NOT_MODEL_SETTINGS)
    network = StudyFile.model_fields["model"].description
    parts = [
        INTRODUCTION,
        f"## `config.yaml`: how to run\n\n{_table(Settings, '')}",
        f"## The study file\n\n{_table(StudyFile, '')}",
        f"## `questions`: {_meaning(Question)}\n\n{_table(Question, '')}",
        f"## `data`: {_meaning(Data)}\n\n{_table(Data, 'data.')}",
        f"## `model`: the network\n\n{network}.\n\nIts arguments are checked by building it. "
        f"These are not settings of it: {refused}.\n",
        f"## `recipe`: {_meaning(Recipe)}\n\n{_table(Recipe, 'recipe.')}",
        f"## `recipe.augment`: {_meaning(Augment)}\n\n{_table(Augment, 'recipe.augment.')}",
        SHEET,
    ]
    return "\n".join(parts)


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
    """Type and range in words, from a field's JSON schema."""
    if "anyOf" in schema:
        return " or ".join(_allowed(option) for option in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(schema["enum"])
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
