# Trainings: a job trains some of the runs, each in a process of its own (posmlp/runs/pack.py), and
# skips those that are finished. A run is repeated when its key changes: a setting that it depends on,
# or the code in posmlp/{layers,models,data,training}; dates do not count. A training that is stopped
# by a signal leaves a checkpoint and continues when it is started again: by the job where it alone was
# stopped, by Slurm or Snakemake's `retries` on a cluster, or by the next start.


rule train:
    input:
        study=ancient(STUDY_FILE),  # never a reason to train
        again=f"{TRAINED}.again",
    output:
        # Says that all runs of this part are finished; a start repeats the job where they are not
        # (posmlp/workflow/trained_marks.py). No file of a run, so that a failed job loses none.
        touch(TRAINED),
    log:
        f"{LOGS}/train-{{part}}.log",
    priority: 2  # before figures that need no run: it takes the whole machine
    threads: RUN.threads
    resources:
        **RUN.resources,
    message:
        f"Training {STUDY.name}, part {{wildcards.part}} of {RUN.num_jobs}"
    shell:
        f"exec bash {quoted(HOME)}/scripts/train.sh {{log:q}} {quoted(sys.executable)} -m posmlp train"
        f" {quoted(SETTINGS.study)} --part {{wildcards.part}}/{RUN.num_jobs}"
        f" --runs-at-once {RUN.at_once} --results {quoted(RESULTS)}"
        f" --data-root {quoted(SETTINGS.data_root)} --device {SETTINGS.device} --threads {RUN.cpus}"
        f" --checkpoint-minutes {SETTINGS.checkpoint_minutes} --launch {quoted(RUN.launch)}"
