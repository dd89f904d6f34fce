# One training: a variant with a seed. It is repeated when its key changes, that is when a setting
# that it depends on or the code in posmlp/{layers,models,data,training} does; dates do not count.
# A training that is stopped by a signal leaves a checkpoint and the exit status 75. Snakemake starts
# it again (`retries` in the profiles), and it goes on from there.


rule train:
    input:
        facts=ancient(rules.data.output.facts),
        store=ancient(rules.store.output.store) if SETTINGS.tracking == "live" else [],
    output:
        # What else is in the folder outlives a failed job, so that the next one goes on from it.
        metrics=f"{RUNS}/{{variant}}/seed{{seed}}/metrics.json",
    log:
        f"{LOGS}/train/{{variant}}-seed{{seed}}.log",
    benchmark:
        f"{LOGS}/train/{{variant}}-seed{{seed}}.benchmark.tsv"
    threads: 1
    resources:
        cpus=lambda wildcards, threads: threads,
        mem_mb=4000,
        runtime=lambda wildcards, attempt: 240 * attempt,
        gpu=0,
    params:
        key=lambda wildcards: run_of(wildcards).key,
    message:
        "Training {wildcards.variant}, seed {wildcards.seed}"
    shell:
        ": > {log}; {PYTHON:q} -m posmlp train --study {SETTINGS.study:q}"
        " --variant {wildcards.variant:q} --seed {wildcards.seed} --results {RESULTS:q}"
        " --data-root {SETTINGS.data_root:q} --device {SETTINGS.device} --threads {threads}"
        " --checkpoint-minutes {SETTINGS.checkpoint_minutes}"
        " --system-metrics {SETTINGS.system_metrics} --store {input.store:q} >> {log} 2> >(tee -a {log} >&2)"
