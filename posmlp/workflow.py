"""What the Snakefile and its scripts need: the settings of config.yaml, and a job's log."""

import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from posmlp.slurm.site import Site
from posmlp.study.errors import StudyError, faults
from posmlp.study.section import Section


class Settings(Section):
    """How to run: the keys of config/config.yaml and of `snakemake --config`."""

    model_config = ConfigDict(strict=False)  # on the command line `false` and 2 may be texts

    study: str = Field(description="name of a study in config/studies, or the path of its file")
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
        description="runs that share a GPU, at most, for small networks on a large one; on a "
        "cluster its GPUs must have shards",
    )
    slurm: Site | None = Field(None, description="the cluster, from slurm/site.yaml")


def read_settings(config: dict[str, Any]) -> Settings:
    """Check Snakemake's config; StudyError names every key that is wrong."""
    try:
        return Settings.model_validate(config)
    except ValidationError as error:
        where = "config/config.yaml or --config"
        raise StudyError([f"{where}: {fault}" for fault in faults(error, Settings)]) from None


def sharing(settings: Settings, gpus: int) -> int:
    """How many runs share a GPU; 1 on CPUs. StudyError where each takes several GPUs."""
    if settings.device == "cpu":
        return 1
    if settings.runs_per_gpu > 1 and gpus > 1:
        raise StudyError(
            f"config/config.yaml or --config: runs_per_gpu: {settings.runs_per_gpu} runs cannot "
            f"share a GPU where each takes {gpus} (gpus in the study file); only runs of one GPU "
            "can. Write runs_per_gpu=1, or gpus: 1 in the study file"
        )
    return settings.runs_per_gpu


@contextmanager
def job_log(path: str) -> Iterator[None]:
    """Send a script's output to its log; a user's mistake is one line there and on the terminal."""
    with Path(path).open("w", encoding="utf-8") as log, redirect_stdout(log), redirect_stderr(log):
        try:
            yield
        except ValueError as error:  # all errors that a user can mend
            print(f"error: {error}", file=log)
            print(f"error: {error}", file=sys.__stderr__)
            sys.exit(1)
        except KeyboardInterrupt:  # Ctrl-C on the study, which says itself that it ends
            print("interrupted", file=log)
            sys.exit(128 + signal.SIGINT)
        except Exception:
            traceback.print_exc(file=log)
            raise


def warn(message: str) -> None:
    """Say something on the terminal and in the job's log that does not end the job."""
    print(f"warning: {message}")
    print(f"warning: {message}", file=sys.__stderr__)
