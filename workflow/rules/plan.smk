# Measures the speed of training: one job trains each variant for some seconds. `posmlp plan` reads it.


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
        f"Measuring how fast the variants of {STUDY.name} train"
    shell:
        f"{RUN.launch} calibrate {quoted(SETTINGS.study)} --results {quoted(RESULTS)}"
        f" --device {SETTINGS.device} --data-root {quoted(SETTINGS.data_root)} --threads {RUN.cpus}"
        " > {log:q} 2> >(tee -a {log:q} >&2)"
