"""Write the report and the page of all runs with their logs."""

from pathlib import Path

from posmlp.analysis.pages import write_page
from posmlp.analysis.report import report, runs_page
from posmlp.analysis.statistics import Evidence
from posmlp.study import load_study
from posmlp.workflow import job_log

with job_log(snakemake.log[0]):
    study, folder = load_study(snakemake.params.study), Path(snakemake.input.runs).parent
    evidence = Evidence.read(study, folder)
    write_page(snakemake.output.report, study.title, report(evidence, folder))
    runs = runs_page(evidence.runs, Path(snakemake.params.logs))
    write_page(snakemake.output.runs, f"{study.title}: runs", runs)
