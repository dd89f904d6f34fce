# PosMLP: train every variant of a study with every seed, then tables and figures.
# Table of contents; rules are included in the order in which they run.

from snakemake.utils import min_version

from posmlp.workflow.terminal import shorten

min_version("9.27")
shorten(workflow)  # first, because reading the settings may print something


configfile: "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/start.smk"
include: "workflow/rules/track.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/plan.smk"
include: "workflow/rules/analyse.smk"
include: "workflow/rules/check.smk"
include: "workflow/rules/audit.smk"
include: "workflow/rules/report.smk"


# The whole study: tables, figures, checks passed, the report, and MLflow up to date.
rule all:
    default_target: True
    input:
        tables=rules.tables.output,
        figures=[
            rules.studies_figures.output,
            rules.figures.output,
            rules.network_figures.output,
        ],
        checked=rules.checks.output,
        pages=rules.pages.output,
        tracked=rules.sync.output if SETTINGS.tracking else [],
    localrule: True
