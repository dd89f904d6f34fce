"""Draw the figures of a study from its collected runs."""

from pathlib import Path

from posmlp.analysis.figures.catalogue import draw_figures, figures_from, study_inputs
from posmlp.analysis.statistics import Evidence
from posmlp.study import load_study
from posmlp.workflow import job_log

with job_log(snakemake.log[0]):
    study, folder = load_study(snakemake.params.study), Path(snakemake.input.runs).parent
    inputs = study_inputs(Evidence.read(study, folder), folder)
    draw_figures(figures_from("study", study), inputs, folder / "figures")
