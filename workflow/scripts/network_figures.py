"""Measure what all networks have learned; draw it for every variant's first seed."""

from pathlib import Path

from posmlp.analysis.collect import write_frame
from posmlp.study import load_study
from posmlp.workflow import job_log

with job_log(snakemake.log[0]):
    from posmlp.analysis.learned import study_networks

    study, path = load_study(snakemake.params.study), Path(snakemake.output.granularity)
    measured = study_networks(study, path.parents[1], path.parent / "figures", snakemake.threads)
    write_frame(measured, path)
