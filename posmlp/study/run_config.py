"""The resolved settings of one run, its key and its folder."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError, model_validator

from posmlp.code_version import training_code_digest
from posmlp.study.data_settings import Data
from posmlp.study.model_settings import Model
from posmlp.study.recipe_settings import Recipe
from posmlp.study.section import PathName, Section
from posmlp.study.study_error import StudyError, faults
from posmlp.study.study_file import Seed, settings_apply
from posmlp.study.yaml_files import dump_yaml, read_mapping


class RunConfig(Section):
    """Everything that determines a run, apart from the code."""

    study: PathName
    variant: PathName
    seed: Seed
    data: Data
    model: Model
    recipe: Recipe

    _settings_apply = model_validator(mode="after")(settings_apply)

    @property
    def name(self) -> str:
        """Name of the run in messages."""
        return f"{self.variant} seed {self.seed}"

    @property
    def key(self) -> str:
        """16 hex digits that identify settings, seed and code; names do not count."""
        settings = self.model_dump(mode="json", exclude={"study", "variant"})
        return digest({"settings": canonical(settings), "code": training_code_digest()})

    @property
    def speed_key(self) -> str:
        """16 hex digits that identify the settings without the seed, which determine the speed."""
        return digest(canonical(self.flat()))

    def flat(self) -> dict[str, Any]:
        """All settings that the result depends on, except the seed, as {dotted key: value}."""
        values = self.model_dump(mode="json", include={"data", "model", "recipe"})
        return dict(dotted("", values))

    def differences(self, other: Self) -> list[str]:
        """Describe every setting that differs from another run."""
        ours, theirs = self.flat(), other.flat()
        return [
            f"{name} is {json.dumps(ours.get(name))} here and {json.dumps(theirs.get(name))} there"
            for name in sorted(ours.keys() | theirs.keys())
            if canonical(ours.get(name)) != canonical(theirs.get(name))
        ]

    def model_arguments(self) -> dict[str, Any]:
        """Arguments of timm.create_model; classes, channels and image size come from the data."""
        arguments = {key: value for key, value in self.model.items() if key != "name"}
        if self.recipe.decay_position:
            arguments["decay_position"] = True
        return {
            "model_name": self.model["name"],
            "num_classes": self.data.num_classes,
            "in_chans": self.data.in_chans,
            "img_size": self.data.image_size,
            **arguments,
        }

    def folder(self, results_dir: str | Path) -> Path:
        """The run's folder, <results>/runs/<study>/<variant>/seed<k>."""
        return Path(results_dir) / "runs" / self.study / self.variant / f"seed{self.seed}"

    def to_yaml(self) -> str:
        """The text of config.yaml: the settings, and the run key with the current code."""
        return dump_yaml({**self.model_dump(mode="json"), "key": self.key})

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a config.yaml, ignoring the recorded key.

        Raises:
            StudyError: the file cannot be read or has invalid settings.
        """
        values = read_mapping(Path(path))
        values.pop("key", None)
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise StudyError([f"{path}: {fault}" for fault in faults(error, cls)]) from error


def recorded_values(path: str | Path) -> dict[str, Any]:
    """Read a config.yaml unchecked: an earlier version may have written it.

    Raises:
        StudyError: the file cannot be read or lacks a section.
    """
    values = read_mapping(Path(path))
    if missing := {"key", *RunConfig.model_fields} - values.keys():
        raise StudyError(f"{path}: {', '.join(sorted(missing))} missing; not the config of a run")
    return values


def digest(facts: Any) -> str:
    """Hash JSON values to 16 hex digits."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def dotted(prefix: str, values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield every setting with its dotted key."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from dotted(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", value


def canonical(value: Any) -> Any:
    """Turn whole floats into integers, so that 1 and 1.0 are the same setting."""
    if isinstance(value, dict):
        return {key: canonical(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [canonical(entry) for entry in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
