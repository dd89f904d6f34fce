"""Draw what the networks have learned: every variant's first seed; numbers of all runs."""

from pathlib import Path

from posmlp.analysis.collect import read_frame, write_frame
from posmlp.analysis.figures.draw import draw_networks
from posmlp.analysis.statistics import summarise
from posmlp.study import load_study
from posmlp.workflow import job_log

with job_log(snakemake.log[0]):
    study, results = load_study(snakemake.params.study), snakemake.params.results
    summary = summarise(read_frame(snakemake.input.runs), study.reference)
    first = [run.folder(results) for run in study.configs.values()]
    others = [run.folder(results) for run in study.other_seeds()]
    granularities = draw_networks(first, summary, Path(snakemake.output[0]).parent, others)
    write_frame(granularities, snakemake.output.granularity)
