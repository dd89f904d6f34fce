# What must hold before the results count. A failing check ends the study here and says why; the report
# waits for it, tables and figures do not, so that they can be looked at.


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
