"""Draw the figure that the rule is named for."""

from pathlib import Path

from posmlp.analysis.collect import read_frame
from posmlp.analysis.curves import PANELS, training_curves
from posmlp.analysis.figures import accuracy_vs_groups, accuracy_vs_params
from posmlp.analysis.statistics import summarise
from posmlp.analysis.style import save
from posmlp.workflow import job_log

with job_log(snakemake.log[0]):
    summary = summarise(read_frame(snakemake.input.runs), snakemake.params.reference)
    if snakemake.rule == "training_curves":
        curves = read_frame(snakemake.input.curves, ["variant", "epoch", *PANELS])
        figure = training_curves(curves, summary)
    else:
        draw = {f.__name__: f for f in (accuracy_vs_params, accuracy_vs_groups)}[snakemake.rule]
        figure = draw(summary)
    save(figure, Path(snakemake.output.png).parent, snakemake.rule)
