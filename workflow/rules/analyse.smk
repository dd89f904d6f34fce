# Runs to tables and figures. What is drawn again when: new runs, or a change in posmlp/analysis.


rule collect:
    input:
        metrics=expand(
            rules.train.output.metrics,
            variant=[variant.name for variant in STUDY.variants],
            seed=STUDY.seeds,
        ),
    output:
        runs=f"{HERE}/runs.csv",
        curves=f"{HERE}/curves.csv",
    log:
        f"{LOGS}/collect.log",
    benchmark:
        f"{LOGS}/collect.benchmark.tsv"
    localrule: True
    resources:
        cpus=1,
        mem_mb=2000,
        runtime=10,
        gpu=0,
    params:
        study=SETTINGS.study,
        results=RESULTS,
        variants=[(v.name, v.claim, v.against) for v in STUDY.variants],
        code=analysis_code_digest(),
    message:
        "Collecting {RUNS}"
    script:
        "../scripts/collect.py"


rule tables:
    input:
        runs=rules.collect.output.runs,
    output:
        multiext(f"{HERE}/tables/main", csv=".csv", md=".md", tex=".tex"),
    log:
        f"{LOGS}/tables.log",
    benchmark:
        f"{LOGS}/tables.benchmark.tsv"
    localrule: True
    resources:
        cpus=1,
        mem_mb=1000,
        runtime=10,
        gpu=0,
    params:
        reference=STUDY.reference,
        better=STUDY.better.model_dump(),
        title=STUDY.title,
        code=analysis_code_digest(),
    message:
        "Writing the tables of {STUDY.name}"
    script:
        "../scripts/tables.py"


rule accuracy_vs_params:
    input:
        runs=rules.collect.output.runs,
    output:
        figure("accuracy_vs_params"),
    log:
        f"{LOGS}/accuracy_vs_params.log",
    benchmark:
        f"{LOGS}/accuracy_vs_params.benchmark.tsv"
    localrule: True
    resources:
        cpus=1,
        mem_mb=1000,
        runtime=10,
        gpu=0,
    params:
        reference=STUDY.reference,
        code=analysis_code_digest(),
    message:
        "Drawing accuracy against parameters"
    script:
        "../scripts/figure.py"


use rule accuracy_vs_params as accuracy_vs_groups with:
    output:
        figure("accuracy_vs_groups"),
    log:
        f"{LOGS}/accuracy_vs_groups.log",
    benchmark:
        f"{LOGS}/accuracy_vs_groups.benchmark.tsv"
    message:
        "Drawing accuracy against groups"


use rule accuracy_vs_params as training_curves with:
    input:
        runs=rules.collect.output.runs,
        curves=rules.collect.output.curves,
    output:
        figure("training_curves"),
    log:
        f"{LOGS}/training_curves.log",
    benchmark:
        f"{LOGS}/training_curves.benchmark.tsv"
    message:
        "Drawing the training curves"


rule learned_maps:
    input:
        runs=rules.collect.output.runs,
    output:
        maps=[
            f"{HERE}/figures/maps/{variant.name}.{kind}"
            for variant in STUDY.variants
            for kind in ("pdf", "svg", "png")
        ],
        drawn=f"{HERE}/maps.json",
    log:
        f"{LOGS}/learned_maps.log",
    benchmark:
        f"{LOGS}/learned_maps.benchmark.tsv"
    localrule: True
    resources:
        cpus=1,
        mem_mb=4000,
        runtime=60,
        gpu=0,
    params:
        runs=[(str(run.folder(RESULTS)), run.variant, run.seed) for run in STUDY.runs()],
        code=analysis_code_digest(),
    message:
        "Drawing what the gating units have learned"
    script:
        "../scripts/learned_maps.py"
