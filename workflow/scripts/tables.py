"""Write the main table as CSV, Markdown and LaTeX."""

from pathlib import Path

import numpy as np

from posmlp.analysis.collect import read_frame
from posmlp.analysis.main_table import write_main_table
from posmlp.analysis.statistics import Better, summarise
from posmlp.workflow import job_log

with job_log(snakemake.log[0]):
    params, better = snakemake.params, Better(**snakemake.params.better)
    runs = read_frame(snakemake.input.runs)
    summary = summarise(runs, params.reference, better, np.random.default_rng(0))
    write_main_table(summary, better, params.title, Path(snakemake.output.csv).parent)
