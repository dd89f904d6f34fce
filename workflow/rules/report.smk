# The report of the study, one printable page, and a page of its runs with their logs.
# `snakemake --report` archives both together with learned maps, the audit and the code.


report: "../report/workflow.rst"


rule pages:
    input:
        here=rules.collect.output.here,  # pages show the runs' logs
        runs=rules.collect.output.runs,
        curves=rules.collect.output.curves,
        predictions=rules.collect.output.predictions,
        networks=f"{HERE}/granularity.csv",  # written after the figures of networks
        checks=rules.checks.output,
    output:
        report=archived(f"{HERE}/report.html", 1),
        runs=archived(f"{HERE}/runs.html", 3),
    log:
        f"{LOGS}/pages.log",
    localrule: True
    params:
        study=SETTINGS.study,
        words=WORDS,
        logs=f"{LOGS}/train",
        code=analysis_code_digest(),
    message:
        f"Writing the report of {STUDY.name}"
    script:
        "../scripts/pages.py"
