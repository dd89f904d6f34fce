"""Check the study's results; what fails ends the rule and says why."""

from pathlib import Path

from posmlp.analysis.checks import Checked, run_checks
from posmlp.study import load_study
from posmlp.workflow import job_log

with job_log(snakemake.log[0]):
    results = Checked.read(load_study(snakemake.params.study), Path(snakemake.input.runs).parent)
    Path(snakemake.output[0]).write_text(run_checks(results), encoding="utf-8")
