"""Bring MLflow to what the files say; a store that does not answer fails nothing."""

import json
from pathlib import Path

from posmlp.tracking import StoreUnavailable, init_store
from posmlp.tracking.study import sync
from posmlp.workflow import job_log, warn

with job_log(snakemake.log[0]):
    params = snakemake.params
    folders = [Path(folder) for folder in params.folders]
    try:
        store = init_store(params.name, results=Path(params.results))
        report = sync(folders, store, Path(snakemake.output.report).parent)
        print(f"Registry: {report['registry']}")
    except StoreUnavailable as error:
        warn(f"MLflow: {error}; bring it up to date later by: snakemake --forcerun sync")
        report = {"runs": 0, "failed": len(folders)}
    Path(snakemake.output.report).write_text(json.dumps(report) + "\n")
