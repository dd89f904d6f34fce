"""Write the main table as CSV, Markdown and LaTeX."""

from pathlib import Path

from posmlp.analysis.collect import read_frame
from posmlp.analysis.main_table import write_main_table
from posmlp.study import load_study
from posmlp.workflow import job_log

with job_log(snakemake.log[0]):
    study = load_study(snakemake.params.study)
    folder = Path(snakemake.output.csv).parent
    write_main_table(read_frame(snakemake.input.runs), study, folder)
