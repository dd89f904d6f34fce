# What a study will cost, before it costs it. `snakemake plan` prints that and submits nothing; it
# knows more after `snakemake calibrate`, one job that trains every variant for some seconds.


rule calibrate:
    input:
        study=ancient(STUDY_FILE),
    output:
        # Not deleted beforehand: it keeps what was measured on other machines.
        update(f"{HERE}/calibration.csv"),
    log:
        f"{LOGS}/calibrate.log",
    threads: RUN.threads
    resources:
        **RUN.resources,
    params:
        speeds={config.variant: config.speed_key for config in STUDY.configs.values()},
    message:
        "Measuring how fast the variants of {STUDY.name} train"
    shell:
        "{RUN.command} calibrate {SETTINGS.study:q} --file {output:q} --device {SETTINGS.device}"
        " --data-root {SETTINGS.data_root:q} --threads {RUN.cpus} > {log:q} 2> >(tee -a {log:q} >&2)"


rule plan:
    log:
        f"{LOGS}/plan.log",
    localrule: True
    params:
        study=SETTINGS.study,
        results=RESULTS,
        calibration=rules.calibrate.output[0],
        at_once=lambda wildcards: runs_at_once(
            RUN, SETTINGS.slurm, STUDY.gpus, workflow.cores, workflow.nodes
        ),
        runs_per_gpu=RUN.runs_per_gpu,
        limit=lambda wildcards: job_minutes(SETTINGS.slurm),
    script:
        "../scripts/plan.py"
