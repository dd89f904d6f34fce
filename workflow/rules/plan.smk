# How fast the variants train: one job that trains each for some seconds. `posmlp plan` reads it.


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
        "{RUN.launch} calibrate {SETTINGS.study:q} --file {output:q} --device {SETTINGS.device}"
        " --data-root {SETTINGS.data_root:q} --threads {RUN.cpus} > {log:q} 2> >(tee -a {log:q} >&2)"
