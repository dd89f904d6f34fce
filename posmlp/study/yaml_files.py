"""Read text files; read and write YAML 1.2 with plain values and unique keys."""

import io
import reprlib
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from posmlp.study.study_error import StudyError


def parse_yaml(text: str) -> Any:
    """Parse one document of plain values.

    Raises:
        ValueError: not such a document; gives line and column if known.
    """
    try:
        values = _yaml().load(text)
        _check_plain(values)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        reason = ", ".join(filter(None, (error.context, error.problem)))
        raise ValueError(f"{where}{reason}") from None
    except YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return values


def dump_yaml(values: dict[str, Any]) -> str:
    """Write values, in order, as text that parse_yaml reads back."""
    text = io.StringIO()
    _yaml().dump(values, text)
    return text.getvalue()


def read_text(path: Path) -> str:
    """Read a UTF-8 file, dropping a byte-order mark.

    Raises:
        StudyError: the file cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        names = sorted(file.name for file in path.parent.glob(f"*{path.suffix}"))
        found = ", ".join(names) or f"no {path.suffix} files"
        raise StudyError(f"{path}: no such file; {path.parent} has {found}") from None
    except (OSError, ValueError) as error:
        raise StudyError(f"{path}: not a readable UTF-8 text file ({error})") from None


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a YAML file of `key: value` lines.

    Raises:
        StudyError: the file cannot be read or contains anything else.
    """
    text = read_text(path)
    try:
        values = parse_yaml(text)
    except ValueError as error:
        raise StudyError(f"{path}, {error}") from None
    if not isinstance(values, dict):
        raise StudyError(f"{path}: should contain `key: value` lines, found {reprlib.repr(values)}")
    return values


def _yaml() -> YAML:
    # New every time: a %YAML directive would affect the next document.
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False
    yaml.width = 100
    return yaml


def _check_plain(value: Any) -> None:
    """Refuse values that JSON does not have, such as dates, and text that UTF-8 cannot encode."""
    if isinstance(value, dict):
        for key, entry in value.items():
            if not isinstance(key, str):
                raise ValueError(f"a key must be text, found {key!r}")
            _check_plain(key)
            _check_plain(entry)
    elif isinstance(value, list):
        for entry in value:
            _check_plain(entry)
    elif isinstance(value, str):
        value.encode()  # UnicodeEncodeError is a ValueError
    elif not isinstance(value, bool | int | float | None):
        raise ValueError(f"{value} is read as a {type(value).__name__}; put text in quotes")
