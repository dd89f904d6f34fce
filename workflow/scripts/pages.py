"""Write the report's pages, and the results section as Markdown and LaTeX."""

from pathlib import Path

from posmlp.analysis import pages, results_section
from posmlp.analysis.collect import read_frame
from posmlp.analysis.statistics import summarise
from posmlp.study import load_study
from posmlp.workflow import job_log

with job_log(snakemake.log[0]):
    study = load_study(snakemake.params.study)
    runs = read_frame(snakemake.input.runs)
    summary = summarise(runs, study.reference, study.better)
    results_section.write(summary, study.title, Path(snakemake.output.md).parent)
    texts = {
        "study": pages.study_page(study),
        "tables": Path(snakemake.input.tables).read_text("utf-8"),
        "results": Path(snakemake.output.md).read_text("utf-8"),
        "provenance": pages.provenance_page(runs),
        "runs": pages.runs_page(runs, Path(snakemake.params.logs)),
    }
    for name, text in texts.items():
        pages.write_page(snakemake.output[name], f"{study.title}: {name}", text)
