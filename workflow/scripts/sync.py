"""Update MLflow from the files; if the store does not answer, warn."""

import json
from pathlib import Path

from posmlp.tracking.store import StoreError
from posmlp.tracking.sync import sync_once
from posmlp.workflow import job_log, warn

with job_log(snakemake.log[0]):
    counts = {}
    try:
        (report,) = sync_once(Path(snakemake.output.report).parents[1], [snakemake.params.study])
        counts = report.counts()
        print("\n".join(report.lines()))
        if problems := [*report.damaged, *report.problems]:
            warn(f"MLflow does not show all of {report.study}: see {snakemake.log[0]}")
    except StoreError as error:
        warn(f"MLflow: {error}; update it later with: posmlp sync")
    Path(snakemake.output.report).write_text(json.dumps(counts) + "\n")
