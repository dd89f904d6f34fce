"""Draw the figures of all studies that have results."""

import json
from pathlib import Path

from posmlp.analysis.collect import read_frame
from posmlp.analysis.figures.catalogue import draw_figures, figures_from
from posmlp.workflow import job_log

with job_log(snakemake.log[0]):
    folder = Path(snakemake.output[0]).parent
    paths = sorted(folder.parent.glob("*/study.json"))
    studies = [
        (json.loads(path.read_text("utf-8")), read_frame(path.with_name("tables") / "main.csv"))
        for path in paths
    ]
    draw_figures(figures_from("studies"), {"studies": studies}, folder)
