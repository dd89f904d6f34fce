# The study, checked before anything else is read, and the names that all rules share.

import hashlib
import os
import sys
from pathlib import Path

from posmlp.code_version import analysis_code_digest, training_code_digest
from posmlp.study import check_models, load_study
from posmlp.workflow import read_settings

SETTINGS = read_settings(config)
STUDY = load_study(SETTINGS.study)
if workflow.is_main_process:  # jobs need no second look
    check_models(STUDY, passed=Path(".snakemake/posmlp-models"))

RESULTS = SETTINGS.results
HERE = f"{RESULTS}/{STUDY.name}"  # what comes out of the study
RUNS = f"{RESULTS}/runs/{STUDY.name}"
LOGS = f"{RESULTS}/logs/{STUDY.name}"
PYTHON = sys.executable  # the interpreter that has posmlp, also where PATH does not know it


wildcard_constraints:
    variant="[A-Za-z0-9][A-Za-z0-9_.-]*",
    seed="[0-9]+",


def figure(name):
    """The three files of a figure."""
    return multiext(f"{HERE}/figures/{name}", pdf=".pdf", svg=".svg", png=".png")


def run_of(wildcards):
    """The settings of a training."""
    return STUDY.run(wildcards.variant, int(wildcards.seed))


def address_digest():
    """Another MLflow address means another store; the address itself may hold a password."""
    return hashlib.sha256(os.environ.get("MLFLOW_TRACKING_URI", "").encode()).hexdigest()[:16]


def digests_of_runs():
    """What the figures of all studies are now, so that other figures are another audit."""
    files = [path for name in ("runs", "curves") for path in Path(RESULTS).glob(f"*/{name}.csv")]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in sorted(files)}
