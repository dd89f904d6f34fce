"""Check the study's results; what fails ends the rule and says why."""

from pathlib import Path

from posmlp.analysis.checks import CHECKED_CURVES, Results, run_checks
from posmlp.analysis.collect import read_curves, read_frame
from posmlp.analysis.html_page import write_page
from posmlp.analysis.predictions import read_predictions
from posmlp.study import load_study
from posmlp.workflow import job_log

with job_log(snakemake.log[0]):
    runs = read_frame(snakemake.input.runs)
    predictions = read_predictions(snakemake.input.predictions)
    study = load_study(snakemake.params.study)
    curves = read_curves(snakemake.input.curves, CHECKED_CURVES)
    report = run_checks(Results(study, runs, predictions=predictions), curves)
    Path(snakemake.output.report).write_text(report, encoding="utf-8")
    write_page(snakemake.output.page, "Checks of the results", report)
