"""Bring MLflow to what the files say; a store that does not answer fails nothing."""

import json
from pathlib import Path

from posmlp.study import load_study
from posmlp.tracking import StoreUnavailable, init_store
from posmlp.tracking.study import sync
from posmlp.workflow import job_log, warn

with job_log(snakemake.log[0]):
    params = snakemake.params
    study, results = load_study(params.study), Path(params.results)
    folders = [run.folder(results) for run in study.runs()]
    try:
        store = init_store(study.name, results=results)
        report = sync(folders, store, Path(snakemake.output.report).parent)
        print(f"Registry: {report['registry']}")
    except StoreUnavailable as error:
        warn(f"MLflow: {error}; bring it up to date later by: snakemake --forcerun sync")
        report = {"runs": 0, "failed": len(folders)}
    Path(snakemake.output.report).write_text(json.dumps(report) + "\n")
