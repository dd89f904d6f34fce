# Checks that results must pass. A failed check ends the study with its reason. The report waits for the
# checks; tables and figures do not, so that they can be inspected.


rule checks:
    input:
        runs=rules.collect.output.runs,
        curves=rules.collect.output.curves,
        predictions=rules.collect.output.predictions,
    output:
        f"{HERE}/checks.md",
    log:
        f"{LOGS}/checks.log",
    localrule: True
    params:
        study=SETTINGS.study,
        may_not_learn=STUDY.may_not_learn,
        code=analysis_code_digest(),
    message:
        f"Checking the results of {STUDY.name}"
    script:
        "../scripts/checks.py"
