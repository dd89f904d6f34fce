# From runs to tables and figures. New runs or a change in posmlp/analysis update them.


rule collect:
    input:
        trained=expand(TRAINED, part=range(1, RUN.num_jobs + 1)),
    output:
        runs=f"{HERE}/runs.csv",
        curves=f"{HERE}/curves.csv",
        predictions=f"{HERE}/predictions.npz",
        # Represents all run folders as an input: Snakemake takes seconds for thousands of files. Never
        # committed, so that a fresh clone, which contains runs.csv, trains the runs.
        here=touch(f"{MARKS}.collected"),
    log:
        f"{LOGS}/collect.log",
    localrule: True
    params:
        study=SETTINGS.study,
        variants=[(v.name, v.claim, v.against) for v in STUDY.variants],
        seeds=STUDY.seeds,
        code=analysis_code_digest(),
    message:
        f"Collecting {RUNS}"
    script:
        "../scripts/collect.py"


# The comparisons as tables and in sentences; the run chosen on validation images, with its card.
rule tables:
    input:
        runs=rules.collect.output.runs,
        predictions=rules.collect.output.predictions,
    output:
        expand(f"{HERE}/tables/{{name}}.{{kind}}", name=TABLES, kind=["csv", "md", "tex"]),
        # a results section that can be pasted into a paper
        expand(f"{HERE}/results.{{kind}}", kind=["md", "tex"]),
        study=f"{HERE}/study.json",
        card=f"{HERE}/model_card.md",
    log:
        f"{LOGS}/tables.log",
    localrule: True
    params:
        study=SETTINGS.study,
        words=WORDS,
        code=analysis_code_digest(),
    message:
        f"Comparing the variants of {STUDY.name}"
    script:
        "../scripts/tables.py"


# Figures of all studies together, drawn again when one of them changes.
rule studies_figures:
    input:
        study=rules.tables.output.study,
        table=f"{HERE}/tables/main.csv",
    output:
        figure_files("studies", f"{RESULTS}/figures"),
    log:
        f"{RESULTS}/logs/studies_figures.log",
    localrule: True
    params:
        others=digests("study.json", "tables/main.csv", but=STUDY.name),
        code=analysis_code_digest(),
    message:
        "Drawing the figure of all studies"
    script:
        "../scripts/studies_figures.py"


rule figures:
    input:
        runs=rules.collect.output.runs,
        curves=rules.collect.output.curves,
        predictions=rules.collect.output.predictions,
        granularity=f"{HERE}/granularity.csv",
    output:
        figure_files("study", f"{HERE}/figures"),
    log:
        f"{LOGS}/figures.log",
    localrule: True
    params:
        study=SETTINGS.study,
        rule=(STUDY.reference, STUDY.level, STUDY.margin),
        code=analysis_code_digest(),
    message:
        f"Drawing the figures of {STUDY.name}"
    script:
        "../scripts/figures.py"


# What the networks have learned: granularity of all runs, figures of every variant's first seed.
rule network_figures:
    input:
        here=rules.collect.output.here,
    output:
        **figure_folders(f"{HERE}/figures"),
        granularity=f"{HERE}/granularity.csv",
    log:
        f"{LOGS}/network_figures.log",
    priority: 1  # takes longest
    localrule: True
    threads: workflow.cores or 1
    params:
        study=SETTINGS.study,
        code=analysis_code_digest(),
    message:
        "Drawing what the gating units have learned"
    script:
        "../scripts/network_figures.py"
