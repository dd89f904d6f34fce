"""Make the MLflow store and the study's experiment; without them the study goes on untracked."""

from pathlib import Path

from posmlp.tracking import StoreUnavailable, init_store, write_store
from posmlp.workflow import job_log, warn

with job_log(snakemake.log[0]):
    params, store = snakemake.params, None
    try:
        if params.tracking:
            store = init_store(params.study, params.description, results=Path(params.results))
    except StoreUnavailable as error:
        warn(f"MLflow: {error}; the study runs without it, its last step tries again")
    write_store(store, Path(snakemake.output.store))
