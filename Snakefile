# PosMLP: train every variant of a study with every seed, then tables and figures.
# Table of contents; the rules stand in the order in which they run.

from snakemake.utils import min_version

min_version("9.27")


configfile: "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/track.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/analyse.smk"
include: "workflow/rules/check.smk"
include: "workflow/rules/audit.smk"


# The whole study: tables, figures, checks passed, and MLflow brought up to date.
rule all:
    default_target: True
    input:
        tables=rules.tables.output,
        figures=[
            rules.accuracy_vs_params.output,
            rules.accuracy_vs_groups.output,
            rules.training_curves.output,
            rules.learned_maps.output,
        ],
        checked=rules.checks.output,
        tracked=rules.sync.output if SETTINGS.tracking else [],
    localrule: True
