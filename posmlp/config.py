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

    # On Snakemake's command line `false` and 2 may be texts, and a study's name may be a number.
    model_config = ConfigDict(strict=False, coerce_numbers_to_str=True)

    study: str = Field(description="name of a study in config/studies, or path of a study file")
    data_root: str = Field("data", description="folder of the data sets")
    results: str = Field("results", description="folder of runs, tables and figures")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="what runs train on")
    checkpoint_minutes: float = Field(
        10.0, gt=0, description="minutes between the checkpoints that a run writes within an epoch"
    )
    tracking: bool = Field(
        True, description="bring MLflow up to date at the end of a study (`posmlp sync`)"
    )
    runs_per_gpu: int = Field(
        1,
        ge=1,
        description="most runs that share a GPU, for small networks on a large one; on a cluster "
        "its GPUs must have shards",
    )
    slurm: Site | None = Field(None, description="the cluster, from slurm/site.yaml")


def read_settings(config: dict[str, Any], where: str = f"{CONFIG_FILE} or --config") -> Settings:
    """Check settings.

    Args:
        config: all of Snakemake's config.
        where: they come from, for messages.

    Raises:
        StudyError: names every key that is wrong.
    """
    try:
        return Settings.model_validate(config)
    except ValidationError as error:
        raise StudyError([f"{where}: {fault}" for fault in faults(error, Settings)]) from None


def default_settings(*, cluster: bool = False) -> Settings:
    """Read config/config.yaml and, for a `cluster`, slurm/site.yaml as its profile does.

    Outside a checkout, where there is no config.yaml, every key has its default.

    Raises:
        StudyError: a file cannot be read or is wrong.
    """
    settings = read_mapping(CONFIG_FILE) if CONFIG_FILE.exists() else {"study": ""}
    if not cluster:
        return read_settings(settings, str(CONFIG_FILE))
    return read_settings(settings | read_mapping(SITE_FILE), f"{CONFIG_FILE} or {SITE_FILE}")


def sharing(settings: Settings, gpus: int) -> int:
    """Count the runs that share a GPU; 1 on CPUs.

    Raises:
        StudyError: each run takes several GPUs.
    """
    if settings.device == "cpu":
        return 1
    if settings.runs_per_gpu > 1 and gpus > 1:
        raise StudyError(
            f"{CONFIG_FILE} or --config: runs_per_gpu: {settings.runs_per_gpu} runs cannot share a "
            f"GPU because each takes {gpus} (gpus in the study file). Write runs_per_gpu=1, or "
            "gpus: 1 in the study file"
        )
    return settings.runs_per_gpu
