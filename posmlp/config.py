"""Settings: how to run, from config/config.yaml, slurm/site.yaml and `snakemake --config`."""

from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from posmlp.slurm.site import Site
from posmlp.study.section import Section
from posmlp.study.study_error import StudyError, faults
from posmlp.study.yaml_files import read_mapping

CONFIG_FILE, SITE_FILE = Path("config/config.yaml"), Path("slurm/site.yaml")


class Settings(Section):
    """How to run: the keys of config/config.yaml and of `snakemake --config`."""

    # Snakemake may pass `false` and 2 as strings, and a study named 2024 as a number.
    model_config = ConfigDict(strict=False, coerce_numbers_to_str=True)

    study: str = Field(description="name of a study in config/studies, or path of a study file")
    data_root: str = Field("data", description="folder of the data sets")
    results: str = Field("results", description="folder of runs, tables and figures")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="device to train on")
    checkpoint_minutes: float = Field(
        10.0,
        gt=0,
        description="minutes between checkpoints within an epoch; each epoch ends with one",
    )
    tracking: bool = Field(
        True, description="update MLflow at the end of a study, like `posmlp sync`"
    )
    runs_per_job: int | None = Field(
        None,
        ge=1,
        description="runs trained by one job; null: all runs of the study, or one on a cluster",
    )
    runs_at_once: int | None = Field(
        None,
        ge=1,
        description="runs of a job trained at the same time, sharing its cores and GPUs; null: one "
        "per GPU of this machine, or per core if it has none; on a cluster one",
    )
    slurm: Site | None = Field(None, description="settings of the cluster, from slurm/site.yaml")


def read_settings(config: dict[str, Any], where: str = f"{CONFIG_FILE} or --config") -> Settings:
    """Check settings.

    Args:
        config: Snakemake's whole config.
        where: source of the settings, for error messages.

    Raises:
        StudyError: names every invalid key.
    """
    try:
        return Settings.model_validate(config)
    except ValidationError as error:
        raise StudyError([f"{where}: {fault}" for fault in faults(error, Settings)]) from None


def default_settings(*, cluster: bool = False) -> Settings:
    """Read config/config.yaml and, for a `cluster`, slurm/site.yaml.

    Without a config.yaml, outside a checkout, every key has its default.

    Raises:
        StudyError: a file is unreadable or invalid.
    """
    settings = read_mapping(CONFIG_FILE) if CONFIG_FILE.exists() else {"study": ""}
    if not cluster:
        return read_settings(settings, str(CONFIG_FILE))
    return read_settings(settings | read_mapping(SITE_FILE), f"{CONFIG_FILE} or {SITE_FILE}")
