"""Collect the study's runs."""

from pathlib import Path

from posmlp.analysis.collect import (
    collect_predictions,
    find_runs,
    runs_frame,
    write_curves,
    write_frame,
)
from posmlp.analysis.predictions import write_predictions
from posmlp.study import load_study
from posmlp.workflow import job_log

with job_log(snakemake.log[0]):
    study = load_study(snakemake.params.study)
    finished = find_runs(study, Path(snakemake.output.runs).parents[1])
    write_frame(runs_frame(study, finished), snakemake.output.runs)
    write_curves(finished, snakemake.output.curves)
    write_predictions(collect_predictions(finished), snakemake.output.predictions)
