"""Draw the figures of a study from its collected runs."""

from pathlib import Path

from posmlp.analysis.collect import read_frame
from posmlp.analysis.figures.catalogue import draw_figures
from posmlp.analysis.figures.curves import DRAWN_COLUMNS
from posmlp.analysis.figures.released_logs import read_released_logs
from posmlp.analysis.predictions import read_predictions
from posmlp.analysis.statistics import summarise
from posmlp.workflow import job_log

with job_log(snakemake.log[0]):
    logs = snakemake.params.overlay
    inputs = {
        "summary": summarise(
            read_frame(snakemake.input.runs),
            snakemake.params.reference,
            snakemake.params.level,
            read_predictions(snakemake.input.predictions),
        ),
        "margin": snakemake.params.margin,
        "curves": read_frame(snakemake.input.curves, DRAWN_COLUMNS),
        "granularities": read_frame(snakemake.input.granularity),
        "overlay": read_released_logs(logs) if logs else {},
    }
    draw_figures("study", inputs, Path(snakemake.output[0]).parent)
