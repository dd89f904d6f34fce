"""Gather the study's runs."""

from posmlp.analysis.collect import collect, write_frame
from posmlp.study import load_study
from posmlp.workflow import job_log

with job_log(snakemake.log[0]):
    runs, curves = collect(load_study(snakemake.params.study), snakemake.params.results)
    write_frame(runs, snakemake.output.runs)
    write_frame(curves, snakemake.output.curves)
