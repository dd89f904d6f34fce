# MLflow: the store is made once before any trainer, and brought up to date once at the end.
# Neither step can fail the study: the files in results/runs are the record. Without tracking the
# first step is to write down that there is no store.


rule store:
    output:
        store=f"{HERE}/store.json",
    log:
        f"{LOGS}/store.log",
    benchmark:
        f"{LOGS}/store.benchmark.tsv"
    localrule: True
    resources:
        cpus=1,
        mem_mb=1000,
        runtime=10,
        gpu=0,
    params:
        tracking=SETTINGS.tracking,
        address=address_digest(),
        study=STUDY.name,
        results=RESULTS,
        description=f"{STUDY.title}\n\n{STUDY.question}",
    message:
        "Making the MLflow store and experiment"
    script:
        "../scripts/store.py"


rule sync:
    input:
        store=rules.store.output.store,
        runs=f"{HERE}/runs.csv",
        networks=f"{HERE}/granularity.csv",  # written after the figures in the run folders
    output:
        report=f"{HERE}/tracked.json",
    log:
        f"{LOGS}/sync.log",
    benchmark:
        f"{LOGS}/sync.benchmark.tsv"
    localrule: True
    resources:
        cpus=1,
        mem_mb=2000,
        runtime=60,
        gpu=0,
    params:
        **rules.store.params,
        folders=[str(run.folder(RESULTS)) for run in STUDY.runs()],
        claims={variant.name: variant.claim for variant in STUDY.variants},
    message:
        "Bringing MLflow up to date with {RUNS}"
    script:
        "../scripts/sync.py"
