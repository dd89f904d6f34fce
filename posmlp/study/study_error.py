"""StudyError, and pydantic's errors reworded for users of YAML."""

import difflib
import re
import reprlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

_MESSAGES = {  # by pydantic's type of error
    "bool_type": "should be true or false",
    "dict_type": "should be a mapping",
    "model_type": "should be a mapping",
    "string_too_short": "should not be empty",
    "string_type": "should be text",
    "too_short": "should not be empty",
    "tuple_type": "should be a list",
}


class StudyError(ValueError):
    """A user's mistake; each problem names file and key, what is allowed and what to do."""

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class Fault(NamedTuple):
    """What is wrong with a setting, whose key is a path such as ("recipe", "lr")."""

    key: tuple[str | int, ...]
    text: str

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.key))}: {self.text}" if self.key else self.text


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Suggest the closest known name (`did you mean "lr"? `); empty if none is close."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f'did you mean "{near[0]}"? ' if near else ""


def setting_error(key: str, message: str) -> PydanticCustomError:
    """Error for validators of a whole section, attributed to its setting `key`."""
    # Passed as a value, because pydantic would format braces in the text.
    return PydanticCustomError("setting", "{message}", {"key": key, "message": message})


def faults(error: ValidationError, model: type[BaseModel]) -> list[Fault]:
    """Convert pydantic's errors about `model`, in the order of its fields."""
    return [_fault(details, model) for details in error.errors(include_url=False)]


def _fault(details: dict, model: type[BaseModel]) -> Fault:
    blamed = details.get("ctx", {}).get("key")
    key = (*details["loc"], *blamed.split(".")) if blamed else tuple(details["loc"])
    fields = _fields(model, key[:-1])
    if details["type"] == "extra_forbidden":
        hint = did_you_mean(str(key[-1]), fields)
        return Fault(key, f"unknown key; {hint}allowed here: {', '.join(sorted(fields))}")
    field = fields.get(str(key[-1])) if key else None
    meaning = f" ({field.description})" if field and field.description else ""
    if details["type"] == "missing":
        return Fault(key, f"missing; add it{meaning}")
    reason = re.sub("^(Input|String|Value error,) ", "", details["msg"])
    message = _MESSAGES.get(details["type"], reason)
    found = "" if blamed else f", found {reprlib.repr(details['input'])}"
    return Fault(key, f"{message}{found}{meaning}")


def _fields(model: type[BaseModel], key: Sequence[str | int]) -> dict:
    """Find the settings under `key`; empty if there are none."""
    for name in key:
        field = model.model_fields.get(str(name))
        kinds = (field.annotation, *get_args(field.annotation)) if field else ()
        nested = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if not nested:
            return {}
        model = nested[0]
    return model.model_fields
