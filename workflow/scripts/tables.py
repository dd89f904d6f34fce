"""Write the tables as CSV, Markdown and LaTeX."""

from pathlib import Path

from posmlp.analysis.collect import read_frame
from posmlp.analysis.main_table import write_tables
from posmlp.analysis.predictions import read_predictions
from posmlp.study import load_study
from posmlp.workflow import job_log

with job_log(snakemake.log[0]):
    study = load_study(snakemake.params.study)
    runs = read_frame(snakemake.input.runs)
    folder = Path(snakemake.output.first).parent
    write_tables(runs, study, folder, read_predictions(snakemake.input.predictions))
