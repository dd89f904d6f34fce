# One training: a variant with a seed. It is repeated when its key changes: a setting that it depends
# on, or the code in posmlp/{layers,models,data,training}; dates do not count. A training that is
# stopped by a signal leaves a checkpoint and continues when it is started again: by train.sh where it
# alone was stopped, by Slurm or Snakemake's `retries` on a cluster, or by the next start.


rule train:
    input:
        study=ancient(STUDY_FILE),  # never a reason to train; `key` is
    output:
        # Other files of the folder survive a failed job, so that the next one continues.
        metrics=f"{RUNS}/{{variant}}/seed{{seed}}/metrics.json",
    log:
        f"{LOGS}/train/{{variant}}-seed{{seed}}.log",
    threads: RUN.threads
    resources:
        **RUN.resources,
    params:
        key=lambda wildcards: run_of(wildcards).key,
    message:
        "Training {wildcards.variant}, seed {wildcards.seed}"
    shell:
        "exec bash workflow/scripts/train.sh {log:q} {RUN.command} train {SETTINGS.study:q}"
        " --variant {wildcards.variant:q} --seed {wildcards.seed} --results {RESULTS:q}"
        " --data-root {SETTINGS.data_root:q} --device {SETTINGS.device} --threads {RUN.cpus}"
        " --checkpoint-minutes {SETTINGS.checkpoint_minutes}"
