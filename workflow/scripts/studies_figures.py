"""Draw the figures of all studies that have results."""

import json
from pathlib import Path

from posmlp.analysis.figures.catalogue import draw_figures, figures_from
from posmlp.workflow import job_log

with job_log(snakemake.log[0]):
    folder = Path(snakemake.output[0]).parent
    paths = sorted(folder.parent.glob("*/comparison.json"))
    comparisons = [json.loads(path.read_text("utf-8")) for path in paths]
    draw_figures(figures_from("studies"), {"comparisons": comparisons}, folder)
