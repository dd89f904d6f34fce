"""Write down what the study compares, for MLflow."""

import json
from pathlib import Path

from posmlp.workflow import job_log

with job_log(snakemake.log[0]):
    text = json.dumps(snakemake.params.facts, indent=2)
    Path(snakemake.output.study).write_text(f"{text}\n", encoding="utf-8")
