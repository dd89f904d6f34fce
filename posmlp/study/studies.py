"""Read a study file, its bases and its sheet; check them and resolve them into runs."""

from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from posmlp.study.run_config import RunConfig
from posmlp.study.section import NAME_RULE, is_path_name
from posmlp.study.study_error import Fault, StudyError, did_you_mean, faults
from posmlp.study.study_file import Question, StudyFile, terms
from posmlp.study.variant_sheet import NOTHING, Variant, read_sheet
from posmlp.study.yaml_files import read_mapping

CONFIG_DIR = Path("config/studies")
# Other names in the results folder.
NOT_STUDIES = ("audit", "bench", "figures", "logs", "mlartifacts", "mlflow.db", "runs")


@dataclass(frozen=True)
class Study:
    """A checked study. Its runs are all variants with all seeds."""

    name: str
    title: str
    question: str
    reference: str
    level: float  # family-wise error rate over all contrasts of the questions
    margin: float | None  # of non-inferiority, in points of test_top1
    questions: tuple[Question, ...]
    may_not_learn: tuple[str, ...]
    seeds: tuple[int, ...]
    gpus: int  # of one run
    nodes: int
    variants: tuple[Variant, ...]
    files: tuple[Path, ...]  # study file, its bases, sheet last
    configs: dict[str, RunConfig]  # of every variant, with the first seed

    @property
    def command_name(self) -> str:
        """What commands call it: its name, or the path of a file outside config/studies."""
        path = self.files[0]
        return self.name if path.parent == CONFIG_DIR else str(path)

    def runs(self) -> list[RunConfig]:
        """Settings of every run: variants in the order of the sheet, each with all seeds."""
        return [self.run(variant.name, seed) for variant in self.variants for seed in self.seeds]

    def run(self, variant: str, seed: int) -> RunConfig:
        """Settings of one run.

        Raises:
            StudyError: the study has no such variant or seed.
        """
        if variant not in self.configs:
            hint = did_you_mean(variant, self.configs)
            allowed = ", ".join(self.configs)
            raise StudyError(f"{self.files[-1]}: no variant {variant!r}; {hint}allowed: {allowed}")
        if seed not in self.seeds:
            raise StudyError(f"{self.files[0]}: seeds: {seed} is not among {list(self.seeds)}")
        return self.configs[variant].model_copy(update={"seed": seed})


def load_study(name_or_path: str | Path, config_dir: str | Path = CONFIG_DIR) -> Study:
    """Read and check a study.

    Args:
        name_or_path: a name in `config_dir`, or the path of a .yaml file.

    Raises:
        StudyError: lists every mistake found.
    """
    path = _study_path(str(name_or_path), Path(config_dir))
    chain = _with_bases(path)
    merged: dict[str, Any] = {}
    for _, values in reversed(chain):
        merged = _merge(merged, values)
    problems: list[str] = []
    sheet = path.with_suffix(".tsv")
    try:
        file = StudyFile.model_validate(merged)
    except ValidationError as error:
        problems += [f"{_origin(chain, fault)}: {fault}" for fault in faults(error, StudyFile)]
    try:
        variants = read_sheet(sheet)
    except StudyError as error:
        problems += error.problems
    if problems:
        raise StudyError(problems)
    configs = _resolve(path, merged, file, sheet, variants)
    _check_names(path, file, sheet, variants)
    same = ("title", "question", "reference", "level", "margin", "gpus", "nodes")
    return Study(
        name=path.stem,
        **{key: getattr(file, key) for key in same},
        questions=tuple(file.questions),
        may_not_learn=tuple(file.may_not_learn),
        seeds=tuple(file.seeds),
        variants=tuple(variants),
        files=(*(file for file, _ in chain), sheet),
        configs=configs,
    )


def _study_path(name_or_path: str, config_dir: Path) -> Path:
    """Find the study file and check its name, which becomes a folder."""
    is_path = "/" in name_or_path or name_or_path.endswith(".yaml")
    if not is_path and not config_dir.is_dir():
        raise StudyError(
            f"{config_dir}: no such folder, so there is no study {name_or_path!r}; run the command "
            "from the root of the repository, or give the path of a study file"
        )
    path = Path(name_or_path) if is_path else config_dir / f"{name_or_path}.yaml"
    if not is_path_name(path.stem) or path.stem.lower() in NOT_STUDIES:
        reserved = ", ".join(NOT_STUDIES)
        raise StudyError(
            f"{path}: a study cannot be called {path.stem!r}; rename the file. Allowed: "
            f"{NAME_RULE}, except names used in the results folder ({reserved})"
        )
    return path


def _with_bases(path: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Read the file and its bases, nearest first."""
    chain = [(path, read_mapping(path))]
    while (name := chain[-1][1].get("base")) is not None:
        files = [file for file, _ in chain]
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(".yaml"):
            needed = "should be the name of a .yaml file in the same folder, such as fashion.yaml"
            raise StudyError(f"{files[-1]}: base: {needed}, found {name!r}")
        base = path.with_name(name)
        if base in files:
            circle = " -> ".join(file.name for file in (*files, base))
            raise StudyError(
                f"{files[-1]}: base: the files extend each other in a circle: {circle}"
            )
        chain.append((base, read_mapping(base)))
    return chain


def _merge(base: Any, changes: Any) -> Any:
    """Merge mappings key by key and replace everything else."""
    if not isinstance(base, dict) or not isinstance(changes, dict):
        return changes
    return {**base, **{key: _merge(base.get(key), value) for key, value in changes.items()}}


def _origin(chain: list[tuple[Path, dict[str, Any]]], fault: Fault) -> Path:
    """The file that sets the faulty key; if it is missing, the file with most of its parents."""

    def depth(values: Any) -> int:
        for num_names, name in enumerate(fault.key):
            if not isinstance(values, dict) or name not in values:
                return num_names
            values = values[name]
        return len(fault.key)

    return max(chain, key=lambda entry: depth(entry[1]))[0]


def _resolve(
    path: Path, merged: dict[str, Any], file: StudyFile, sheet: Path, variants: list[Variant]
) -> dict[str, RunConfig]:
    """Resolve the settings of every variant, with the first seed."""
    configs: dict[str, RunConfig] = {}
    same: dict[str, Variant] = {}
    problems = []
    for variant in variants:
        values = {key: merged[key] for key in ("data", "model", "recipe")}
        for key, cell in variant.settings.items():
            changes = reduce(lambda value, name: {name: value}, reversed(key.split(".")), cell)
            values = _merge(values, changes)
        values |= {"study": path.stem, "variant": variant.name, "seed": file.seeds[0]}
        where = f"{sheet}, row {variant.row}"
        try:
            config = RunConfig.model_validate(values)
        except ValidationError as error:
            found = faults(error, RunConfig)
            problems += [f"{where}, {_column(variant, fault)}" for fault in found]
            continue
        configs[variant.name] = config
        twin = same.setdefault(config.key, variant)
        if twin is not variant:
            problems.append(
                f"{where}: {variant.name} has the same settings as {twin.name} in row {twin.row}; "
                "delete one of them, or change a setting"
            )
        recipe = config.recipe
        if recipe.batch_size % (recipe.grad_accum * file.gpus):
            problems.append(
                f"{path}: gpus: {file.gpus} GPUs cannot share a batch of {recipe.batch_size} "
                f"images evenly with grad_accum {recipe.grad_accum} ({variant.name}); change gpus "
                "or recipe.batch_size"
            )
    if problems:
        raise StudyError(problems)
    return configs


def _column(variant: Variant, fault: Fault) -> str:
    """Name the column of the faulty setting, or the variant if no cell of its row sets it."""
    key = ".".join(map(str, fault.key))
    for column in variant.settings:
        if f"{key}.".startswith(f"{column}."):
            return f"column {column}: {fault.text}"
    return f"{variant.name}: {fault}"


def _check_names(path: Path, file: StudyFile, sheet: Path, variants: list[Variant]) -> None:
    """Refuse names in the study file, or under `against`, that are not variants of the sheet."""
    names = [variant.name for variant in variants]
    named = [(f"{path}: reference", file.reference)]
    named += [(f"{path}: may_not_learn", name) for name in file.may_not_learn]
    named += [
        (f"{path}: questions: {contrast!r}", name)
        for question in file.questions
        for contrast in question.contrasts
        for _, name in terms(contrast)
    ]
    problems = []
    for variant in variants:
        if variant.against in (None, NOTHING):
            continue
        where = f"{sheet}, row {variant.row}, column against"
        named.append((where, variant.against))
        if variant.name in (variant.against, file.reference):
            problems.append(
                f"{where}: {variant.name} cannot be compared with {variant.against}; name another "
                "variant, or leave the cell empty (the reference of the study must)"
            )
    problems += [
        f"{where}: no variant {name!r} in the sheet; {did_you_mean(name, names)}"
        f"allowed: {', '.join(names)}"
        for where, name in named
        if name not in names
    ]
    if problems:
        raise StudyError(problems)
