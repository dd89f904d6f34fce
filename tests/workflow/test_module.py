"""Another workflow uses this one as a module, with its own config."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from checkout import ROOT, SHEET, STUDY

pytestmark = pytest.mark.xdist_group("workflow")
SNAKEFILE = """\
module ablation:
    snakefile: {snakefile!r}
    config: {config!r}


use rule * from ablation as ablation_*


rule summary:
    default_target: True
    input:
        rules.ablation_tables.output[0],
    output:
        "summary.csv",
    shell:
        "cp {{input}} {{output}}"
"""


def test_a_module_trains_and_its_tables_are_inputs_of_the_other_workflow(tmp_path):
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies/tiny.yaml").write_text(STUDY)
    (tmp_path / "studies/tiny.tsv").write_text(SHEET)
    config = {"study": "studies/tiny.yaml", "results": "ablation", "device": "cpu"}
    text = SNAKEFILE.format(snakefile=str(ROOT / "Snakefile"), config=config)
    (tmp_path / "Snakefile").write_text(text)
    command = [Path(sys.executable).with_name("snakemake"), "--cores", "2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list(pd.read_csv(tmp_path / "summary.csv").variant) == ["sgu", "gqpe"]
    assert (tmp_path / "ablation/runs/tiny/gqpe/seed0/metrics.json").exists()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"Snakefile", "studies", "summary.csv", "ablation", ".snakemake"}
