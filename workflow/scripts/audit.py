"""Compare published numbers with our networks and runs."""

from pathlib import Path

from posmlp.analysis.audit import audit, write_audit
from posmlp.workflow import job_log

with job_log(snakemake.log[0]):
    folder = Path(snakemake.output.html).parent
    write_audit(audit(folder.parent, Path(snakemake.input.published).parent), folder)
