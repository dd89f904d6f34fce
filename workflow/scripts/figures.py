"""Draw the figures of a study from its collected runs."""

from pathlib import Path

from posmlp.analysis.collect import read_frame
from posmlp.analysis.figures.catalogue import draw_figures, figures_from
from posmlp.analysis.figures.learning import DRAWN_COLUMNS
from posmlp.analysis.statistics import Evidence
from posmlp.study import load_study
from posmlp.workflow import job_log

with job_log(snakemake.log[0]):
    study = load_study(snakemake.params.study)
    inputs = {
        "summary": Evidence.read(study, Path(snakemake.input.runs).parent).summary,
        "margin": study.margin,
        "settings": {name: config.flat() for name, config in study.configs.items()},
        "curves": read_frame(snakemake.input.curves, DRAWN_COLUMNS),
        "granularities": read_frame(snakemake.input.granularity),
    }
    draw_figures(figures_from("study", study), inputs, Path(snakemake.output[0]).parent)
