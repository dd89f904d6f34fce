"""Make an MLflow model of every run's network."""

from posmlp.study import load_study
from posmlp.tracking.models import make_models
from posmlp.workflow import job_log

with job_log(snakemake.log[0]):
    runs = load_study(snakemake.params.study).runs()
    make_models([run.folder(snakemake.params.results) for run in runs])
