"""Reading a user's text files, and the small, strict YAML of study files, sheet cells and runs.

YAML as its version 1.2 reads it: only `true` and `false` are truth values (`off` is a word) and
`1e-3` is a number; and no key twice, no anchors, aliases or tags.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from posmlp.study.errors import StudyError

_TAG = "tag:yaml.org,2002:"
_SCALARS = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?(?:0|[1-9][0-9]*)",
    "float": r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
}
_RESOLVERS = {
    None: [(f"{_TAG}{name}", re.compile(f"^(?:{form})$")) for name, form in _SCALARS.items()]
}


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = _RESOLVERS

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if self.check_event(yaml.AliasEvent) or event.anchor or getattr(event, "tag", None):
            raise yaml.composer.ComposerError(
                None, None, "anchors, aliases and tags are not allowed", event.start_mark
            )
        if isinstance(event, yaml.ScalarEvent):
            event.value.encode()  # "\ud800" is a text that no file can hold: ValueError
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                problem = f"a key must be a word, found {key!r}"
            elif key in seen:
                problem = f'the key "{key}" stands twice; keep one of the two'
            else:
                seen.add(key)
                continue
            raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    # Texts that either version of YAML would read as something else are quoted.
    yaml_implicit_resolvers = {**yaml.SafeDumper.yaml_implicit_resolvers, **_RESOLVERS}  # noqa: RUF012


def parse_yaml(text: str) -> Any:
    """The value that `text` holds; ValueError with line and column when it is not our YAML."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        reason = ", ".join(filter(None, (error.context, error.problem)))
        raise ValueError(f"{where}{reason}") from error
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def dump_yaml(values: dict) -> str:
    """Canonical YAML of `values`, in their order: equal values give equal text."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def read_text(path: Path) -> str:
    """The text of a UTF-8 file (a byte-order mark is dropped); StudyError when there is none."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        there = sorted(file.name for file in path.parent.glob(f"*{path.suffix}"))
        found = f"the files there are {', '.join(there)}" if there else "there are no such files"
        raise StudyError(f"{path}: no such file; in {path.parent} {found}") from None
    except IsADirectoryError:
        raise StudyError(f"{path}: this is a folder; a file is needed") from None
    except UnicodeDecodeError as error:
        raise StudyError(f"{path}: not UTF-8 ({error}); save it with that encoding") from None
    except (OSError, ValueError) as error:
        raise StudyError(f"{path}: cannot be read ({error})") from None


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds; StudyError when it holds anything else."""
    try:
        values = parse_yaml(read_text(path))
    except StudyError:
        raise
    except ValueError as error:
        raise StudyError(f"{path}, {error}") from error
    if not isinstance(values, dict):
        found = "it is empty" if values is None else f"found {type(values).__name__}"
        raise StudyError(f"{path}: should hold `key: value` lines; {found}")
    return values
