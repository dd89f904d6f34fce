# The data set: got and checked once, before any training.


rule data:
    output:
        facts=f"{HERE}/data.json",
    log:
        f"{LOGS}/data.log",
    benchmark:
        f"{LOGS}/data.benchmark.tsv"
    retries: 0  # data that are not there are said to be missing once
    resources:
        **data_resources(SITE) if SITE else {},
        cpus=1,
        mem_mb=4000,
        runtime=120,
    params:
        names=DATA_SETS,
        root=SETTINGS.data_root,
    message:
        "Checking the data: {params.names}"
    script:
        "../scripts/data.py"
