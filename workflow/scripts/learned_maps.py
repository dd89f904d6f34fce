"""Draw every run's maps into its folder, and those of each variant's first seed as a figure."""

import json
from pathlib import Path

from posmlp.analysis.maps import learned_maps, load_maps
from posmlp.analysis.style import save
from posmlp.workflow import job_log

with job_log(snakemake.log[0]):
    drawn = {}
    for folder, variant, seed in snakemake.params.runs:
        figure = learned_maps(load_maps(folder), f"{variant}, seed {seed}")
        if variant not in drawn:
            save(figure, Path(snakemake.output.maps[0]).parent, variant)
        figures = Path(folder) / "figures"
        figures.mkdir(exist_ok=True)
        figure.savefig(figures / "learned_maps.png")
        drawn.setdefault(variant, []).append(seed)
    Path(snakemake.output.drawn).write_text(json.dumps(drawn) + "\n")
