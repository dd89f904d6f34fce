"""Draw the figures of all seeds but the first, whose network_figures draws, into their folders."""

from posmlp.analysis.figures.draw import draw_run
from posmlp.study import load_study
from posmlp.workflow import job_log

with job_log(snakemake.log[0]):
    for run in load_study(snakemake.params.study).other_seeds():
        draw_run(run.folder(snakemake.params.results))
