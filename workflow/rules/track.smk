# MLflow, brought up to date at the end. It cannot fail the study: the files in results/runs are the
# record.


# What MLflow says of the study.
rule describe:
    output:
        study=f"{HERE}/study.json",
    log:
        f"{LOGS}/describe.log",
    localrule: True
    params:
        facts={
            "name": STUDY.name,
            "title": STUDY.title,
            "question": STUDY.question,
            "seeds": list(STUDY.seeds),
            "variants": [{"name": v.name, "claim": v.claim} for v in STUDY.variants],
        },
    message:
        "Writing down what {STUDY.name} compares"
    script:
        "../scripts/describe.py"


rule sync:
    input:
        study=rules.describe.output.study,
        here=f"{MARKS}.collected",
        runs=f"{HERE}/runs.csv",
        tables=f"{HERE}/tables/main.md",
        comparison=f"{HERE}/comparison.json",
        networks=f"{HERE}/granularity.csv",  # written after the figures in the run folders
    output:
        report=f"{HERE}/tracked.json",
    log:
        f"{LOGS}/sync.log",
    localrule: True
    params:
        address=address_digest(),
        study=STUDY.name,
        results=RESULTS,
    message:
        "Bringing MLflow up to date with {RUNS}"
    script:
        "../scripts/sync.py"
