# One training: a variant with a seed. It is repeated when its key changes, that is when a setting
# that it depends on or the code in posmlp/{layers,models,data,training} does; dates do not count.
# A training that is stopped by a signal leaves a checkpoint and goes on from there when it is started
# again: by train.sh where it alone was stopped, by Snakemake's `retries` on a cluster, or by the next
# start. One that ended by its own fault is not tried again before that.


rule train:
    input:
        study=ancient(STUDY_FILE),  # never a reason to train; `key` is
    output:
        # What else is in the folder outlives a failed job, so that the next one goes on from it.
        metrics=f"{RUNS}/{{variant}}/seed{{seed}}/metrics.json",
    log:
        f"{LOGS}/train/{{variant}}-seed{{seed}}.log",
    benchmark:
        f"{LOGS}/train/{{variant}}-seed{{seed}}.benchmark.tsv"
    threads: THREADS
    resources:
        **TRAINING_RESOURCES,
        attempt=lambda wildcards, attempt: attempt,
    params:
        key=lambda wildcards: run_of(wildcards).key,
    message:
        "Training {wildcards.variant}, seed {wildcards.seed}"
    shell:
        "exec bash workflow/scripts/train.sh {resources.attempt} {log:q}"
        " {POSMLP} train {SETTINGS.study:q}"
        " --variant {wildcards.variant:q} --seed {wildcards.seed} --results {RESULTS:q}"
        " --data-root {SETTINGS.data_root:q} --device {SETTINGS.device} --threads {CPUS}"
        " --checkpoint-minutes {SETTINGS.checkpoint_minutes}"
