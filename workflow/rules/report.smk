# What the report shows beside figures: pages about the study, its tables, its runs, the audit.


report: "../report/workflow.rst"


rule pages:
    input:
        **pictures(),
        here=rules.collect.output.here,  # pages show the runs' logs
        runs=rules.collect.output.runs,
        predictions=rules.collect.output.predictions,
        table=rules.tables.output.first,
    output:
        **{page: report_page(page) for page in ("study", "results", "provenance", "runs")},
        # a results section that can be pasted into a paper
        md=f"{HERE}/results.md",
        tex=f"{HERE}/results.tex",
    log:
        f"{LOGS}/pages.log",
    localrule: True
    params:
        study=SETTINGS.study,
        words=WORDS,
        logs=f"{LOGS}/train",
        code=analysis_code_digest(),
    message:
        "Writing the pages of the report, and the results in sentences"
    script:
        "../scripts/pages.py"
