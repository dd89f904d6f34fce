"""Draw what the networks have learned: every variant's first seed for the study, all runs."""

from pathlib import Path

from posmlp.analysis.collect import read_frame, write_frame
from posmlp.analysis.figures.draw import draw_networks
from posmlp.analysis.statistics import summarise
from posmlp.workflow import job_log

with job_log(snakemake.log[0]):
    summary = summarise(read_frame(snakemake.input.runs), snakemake.params.reference)
    run_folders = [Path(metrics).parent for metrics in snakemake.input.metrics]
    others = [Path(metrics).parent for metrics in snakemake.input.others]
    granularities = draw_networks(run_folders, summary, Path(snakemake.output[0]).parent, others)
    write_frame(granularities, snakemake.output.granularity)
