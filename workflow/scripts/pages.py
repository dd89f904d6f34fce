"""Write the report's pages, and the results section as Markdown and LaTeX."""

from pathlib import Path

from posmlp.analysis import pages, results_section
from posmlp.analysis.statistics import Evidence
from posmlp.study import load_study
from posmlp.workflow import job_log

with job_log(snakemake.log[0]):
    study = load_study(snakemake.params.study)
    evidence = Evidence.read(study, Path(snakemake.input.runs).parent)
    runs = evidence.runs
    results_section.write(evidence, Path(snakemake.output.md).parent)
    section, table, *captions = (
        Path(path).read_text("utf-8")
        for path in (snakemake.output.md, snakemake.input.table, *snakemake.input.captions)
    )
    pictures = zip(map(Path, snakemake.input.figures), captions, strict=True)
    texts = {
        "study": pages.study_page(study),
        "results": pages.results_page(section, table, pictures),
        "provenance": pages.provenance_page(runs),
        "runs": pages.runs_page(runs, Path(snakemake.params.logs)),
    }
    for name, text in texts.items():
        pages.write_page(snakemake.output[name], f"{study.title}: {name}", text)
