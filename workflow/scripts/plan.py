"""Print what the study will cost."""

import sys
from pathlib import Path

from posmlp.plan.calibration import read_calibrations
from posmlp.plan.estimate import estimate
from posmlp.plan.report import plan_text
from posmlp.study import load_study
from posmlp.workflow import job_log

with job_log(snakemake.log[0]):
    params = snakemake.params
    study, results = load_study(params.study), Path(params.results)
    estimates = estimate(study, results, read_calibrations(Path(params.calibration)))
    at_once, where = params.at_once
    text = plan_text(study, results, estimates, at_once, where, params.limit, params.runs_per_gpu)
    print(text)
    print(text, file=sys.__stdout__)
