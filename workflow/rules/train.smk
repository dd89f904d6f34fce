# A job trains some of the runs, each in its own process (posmlp/runs/pack.py), and skips finished ones.
# A run is retrained when its key changes: a setting that it depends on, or the code in
# posmlp/{layers,models,data,training}. File dates do not matter. A run that is stopped by a signal
# leaves a checkpoint and resumes: within the job if only this run was stopped, through Slurm or
# Snakemake's `retries` on a cluster, or at the next start.


rule train:
    input:
        study=ancient(STUDY_FILE),  # never a reason to train
        again=f"{TRAINED}.again",
    output:
        # Marks that all runs of this part are finished; otherwise the next start repeats the job
        # (posmlp/workflow/trained_marks.py). Not a file of a run: Snakemake deletes outputs of failed jobs.
        touch(TRAINED),
    log:
        f"{LOGS}/train-{{part}}.log",
    priority: 2  # before figures that need no run, because it uses the whole machine
    threads: RUN.threads
    resources:
        **RUN.resources,
    message:
        f"Training {STUDY.name}, part {{wildcards.part}} of {RUN.num_jobs}"
    shell:
        f"exec {quoted(sys.executable)} -m posmlp train"
        f" {quoted(SETTINGS.study)} --part {{wildcards.part}}/{RUN.num_jobs}"
        f" --runs-at-once {RUN.at_once} --results {quoted(RESULTS)}"
        f" --data-root {quoted(SETTINGS.data_root)} --device {SETTINGS.device} --threads {RUN.cpus}"
        f" --checkpoint-minutes {SETTINGS.checkpoint_minutes} --launch {quoted(RUN.launch)}"
        " > {log:q} 2>&1"
