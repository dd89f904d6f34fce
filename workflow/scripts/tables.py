"""Write the main table as CSV, Markdown and LaTeX."""

from pathlib import Path

from posmlp.analysis.collect import read_frame
from posmlp.analysis.statistics import summarise
from posmlp.analysis.tables import write_tables
from posmlp.workflow import job_log

with job_log(snakemake.log[0]):
    summary = summarise(read_frame(snakemake.input.runs), snakemake.params.reference)
    write_tables(summary, Path(snakemake.output.csv).parent, snakemake.params.title)
