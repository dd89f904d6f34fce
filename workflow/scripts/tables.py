"""Write tables, the results section, study.json and the card of the chosen run."""

from pathlib import Path

from posmlp.analysis import results_section
from posmlp.analysis.choice import write_choice
from posmlp.analysis.main_table import write_tables
from posmlp.analysis.statistics import Evidence
from posmlp.study import load_study
from posmlp.workflow import job_log

with job_log(snakemake.log[0]):
    folder = Path(snakemake.input.runs).parent
    evidence = Evidence.read(load_study(snakemake.params.study), folder)
    write_tables(evidence, folder / "tables")
    results_section.write(evidence, folder)
    write_choice(evidence, folder)
