"""Make the MLflow store and the study's experiment; without them the study goes on untracked."""

from pathlib import Path

from posmlp.tracking import StoreUnavailable, init_store, write_store
from posmlp.tracking.study import first_note
from posmlp.workflow import job_log, warn

with job_log(snakemake.log[0]):
    params, store = snakemake.params, None
    try:
        if params.live:
            store = init_store(params.name, first_note(params.words), results=Path(params.results))
    except StoreUnavailable as error:
        warn(f"MLflow: {error}; the study runs without it, its last step tries again")
    write_store(store, Path(snakemake.output.store))
