"""Write comparison.json, and the card of the variant that is chosen."""

from pathlib import Path

from posmlp.analysis.comparison import write_comparison
from posmlp.analysis.statistics import Evidence
from posmlp.study import load_study
from posmlp.workflow import job_log

with job_log(snakemake.log[0]):
    folder = Path(snakemake.input.runs).parent
    write_comparison(Evidence.read(load_study(snakemake.params.study), folder), folder)
