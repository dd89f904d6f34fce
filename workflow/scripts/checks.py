"""Check the study's results; a failed check ends the rule with its reason."""

from pathlib import Path

from posmlp.analysis.checks import CHECKED_CURVES, run_checks
from posmlp.analysis.collect import read_curves
from posmlp.analysis.statistics import Evidence
from posmlp.study import load_study
from posmlp.workflow import job_log

with job_log(snakemake.log[0]):
    evidence = Evidence.read(load_study(snakemake.params.study), Path(snakemake.input.runs).parent)
    report = run_checks(evidence, read_curves(snakemake.input.curves, CHECKED_CURVES))
    Path(snakemake.output[0]).write_text(report, encoding="utf-8")
