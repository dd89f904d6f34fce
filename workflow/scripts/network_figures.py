"""Measure what the networks of all runs have learned; draw that of every variant's first seed."""

from pathlib import Path

import pandas as pd

from posmlp.analysis.collect import write_frame
from posmlp.analysis.figures.catalogue import draw_network
from posmlp.study import load_study
from posmlp.workflow import job_log

with job_log(snakemake.log[0]):
    from posmlp.analysis.granularity import granularities
    from posmlp.analysis.learned import load_learned

    study, frames = load_study(snakemake.params.study), []
    for config in study.runs():
        run = load_learned(config.folder(snakemake.params.results))
        frames.append(granularities(run))
        if run.seed == study.seeds[0]:
            draw_network(run, Path(snakemake.output.granularity).parent / "figures")
    write_frame(pd.concat(frames, ignore_index=True), snakemake.output.granularity)
