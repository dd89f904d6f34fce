"""Make the MLflow store and the study's experiment; without them the study goes on untracked."""

import json
from pathlib import Path

from posmlp.tracking import StoreUnavailable, init_store, write_store
from posmlp.tracking.study import first_note
from posmlp.workflow import job_log, warn

with job_log(snakemake.log[0]):
    params, facts = snakemake.params, snakemake.params.facts
    Path(snakemake.output.study).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    try:
        store = init_store(facts["name"], first_note(facts), results=Path(params.results))
    except StoreUnavailable as error:
        warn(f"MLflow: {error}; the study runs without it, its last step tries again")
        store = None
    write_store(store, Path(snakemake.output.store))
