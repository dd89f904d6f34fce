"""Write comparison.json, and the card of the variant that is chosen."""

from pathlib import Path

from posmlp.analysis.collect import read_frame
from posmlp.analysis.comparison import write_comparison
from posmlp.analysis.predictions import read_predictions
from posmlp.study import load_study
from posmlp.workflow import job_log

with job_log(snakemake.log[0]):
    study = load_study(snakemake.params.study)
    paths = [Path(snakemake.output[name]) for name in ("comparison", "card")]
    predictions = read_predictions(snakemake.input.predictions)
    write_comparison(study, read_frame(snakemake.input.runs), *paths, predictions)
