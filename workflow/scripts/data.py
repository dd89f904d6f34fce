"""Check the study's data sets and write down what they are."""

import json
from pathlib import Path

from posmlp.data.prepare import prepare
from posmlp.workflow import job_log

with job_log(snakemake.log[0]):
    facts = [prepare(name, snakemake.params.root) for name in snakemake.params.names]
    Path(snakemake.output.facts).write_text(json.dumps(facts, indent=2) + "\n")
