"""Draw the figures that need no run."""

from pathlib import Path

from posmlp.analysis.figures.catalogue import draw_figures, figures_from
from posmlp.analysis.figures.released_logs import read_released_logs
from posmlp.workflow import job_log

with job_log(snakemake.log[0]):
    logs = read_released_logs(Path(snakemake.input.logs).parent)
    draw_figures(figures_from("project"), {"released": logs}, Path(snakemake.output[0]).parent)
