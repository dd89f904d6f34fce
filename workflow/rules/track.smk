# Updates MLflow at the end. It cannot fail the study: the files in results/runs are the record.


rule sync:
    input:
        here=f"{MARKS}.collected",
        runs=f"{HERE}/runs.csv",
        tables=f"{HERE}/tables/variants.csv",
        study=f"{HERE}/study.json",
        networks=f"{HERE}/granularity.csv",  # written after the figures in the run folders
    output:
        report=f"{HERE}/tracked.json",
    log:
        f"{LOGS}/sync.log",
    localrule: True
    params:
        address=address_digest(),
        study=STUDY.name,
    message:
        f"Updating MLflow from {RUNS}"
    script:
        "../scripts/sync.py"
