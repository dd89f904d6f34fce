"""Write tables, results section, comparison.json, and the card of the variant that is chosen."""

from pathlib import Path

from posmlp.analysis import results_section
from posmlp.analysis.comparison import write_comparison
from posmlp.analysis.main_table import write_tables
from posmlp.analysis.statistics import Evidence
from posmlp.study import load_study
from posmlp.workflow import job_log

with job_log(snakemake.log[0]):
    folder = Path(snakemake.input.runs).parent
    evidence = Evidence.read(load_study(snakemake.params.study), folder)
    write_tables(evidence, folder / "tables")
    results_section.write(evidence, folder)
    write_comparison(evidence, folder)
