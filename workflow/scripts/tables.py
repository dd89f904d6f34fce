"""Write the tables as CSV, Markdown and LaTeX."""

from pathlib import Path

from posmlp.analysis.main_table import write_tables
from posmlp.analysis.statistics import Evidence
from posmlp.study import load_study
from posmlp.workflow import job_log

with job_log(snakemake.log[0]):
    folder = Path(snakemake.input.runs).parent
    write_tables(Evidence.read(load_study(snakemake.params.study), folder), folder / "tables")
