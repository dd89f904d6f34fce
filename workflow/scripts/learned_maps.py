"""Draw the maps of every variant's first seed, for the study and into the run's folder."""

import json
import shutil
from pathlib import Path

from posmlp.analysis.maps import learned_maps, load_maps
from posmlp.analysis.style import save
from posmlp.workflow import job_log

with job_log(snakemake.log[0]):
    drawn = {}
    for folder, variant, seed in snakemake.params.runs:
        if variant in drawn:
            continue
        drawn[variant] = seed
        figure = learned_maps(load_maps(folder), f"{variant}, seed {seed}")
        files = save(figure, Path(snakemake.output.maps[0]).parent, variant)
        (Path(folder) / "figures").mkdir(exist_ok=True)
        shutil.copy(files[-1], Path(folder) / "figures" / "learned_maps.png")
    Path(snakemake.output.drawn).write_text(json.dumps(drawn) + "\n")
