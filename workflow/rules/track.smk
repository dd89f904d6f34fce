# MLflow, brought up to date at the end. It cannot fail the study: the files in results/runs are the
# record. The store is made before the first run (start.smk).


# What MLflow says of the study.
rule describe:
    output:
        study=f"{HERE}/study.json",
    log:
        f"{LOGS}/describe.log",
    benchmark:
        f"{LOGS}/describe.benchmark.tsv"
    localrule: True
    resources:
        cpus=1,
        mem_mb=1000,
        runtime=10,
        gpu=0,
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


# The networks as MLflow models. One that cannot be made fails nothing: `sync` tries and says so.
rule models:
    input:
        here=f"{MARKS}.collected",
    output:
        touch(f"{MARKS}.models"),
    log:
        f"{LOGS}/models.log",
    benchmark:
        f"{LOGS}/models.benchmark.tsv"
    priority: 2  # the longest
    localrule: True
    resources:
        cpus=1,
        mem_mb=4000,
        runtime=60,
        gpu=0,
    params:
        study=SETTINGS.study,
        results=RESULTS,
    message:
        "Making an MLflow model of every network"
    script:
        "../scripts/models.py"


rule sync:
    input:
        study=rules.describe.output.study,
        here=f"{MARKS}.collected",
        runs=f"{HERE}/runs.csv",
        tables=f"{HERE}/tables/main.md",
        comparison=f"{HERE}/comparison.json",
        networks=f"{HERE}/granularity.csv",  # written after the figures in the run folders
        figures=f"{MARKS}.figures",
        models=rules.models.output,
    output:
        report=f"{HERE}/tracked.json",
    log:
        f"{LOGS}/sync.log",
    benchmark:
        f"{LOGS}/sync.benchmark.tsv"
    localrule: True
    resources:
        cpus=1,
        mem_mb=4000,
        runtime=60,
        gpu=0,
    params:
        address=address_digest(),
        study=SETTINGS.study,
        results=RESULTS,
    message:
        "Bringing MLflow up to date with {RUNS}"
    script:
        "../scripts/sync.py"
