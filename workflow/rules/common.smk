# The study, checked before anything else is read, and the names that all rules share.

import hashlib
import os
import sys
from pathlib import Path

from posmlp.analysis.figures.registry import figures_from
from posmlp.code_version import analysis_code_digest, training_code_digest
from posmlp.runs.gpus import on_gpus, visible_gpus
from posmlp.slurm.commands import default_account, partition_minutes, runs_of_partition
from posmlp.slurm.launch import launch
from posmlp.slurm.site import training_resources
from posmlp.study import check_models, load_study
from posmlp.config import read_settings, sharing

SETTINGS = read_settings(config)
STUDY = load_study(SETTINGS.study)
if workflow.is_main_process:  # jobs need no second look
    check_models(STUDY, passed=Path(".snakemake/posmlp-models"))

config |= {"title": STUDY.title, "question": STUDY.question}  # for the report's first page

STUDY_FILE = str(STUDY.files[0])
RESULTS = SETTINGS.results
# What tables and pages say of the study beside its runs.
WORDS = [
    *(STUDY.title, STUDY.question, *(variant.claim for variant in STUDY.variants)),
    *(question.model_dump_json() for question in STUDY.questions),
]
HERE = f"{RESULTS}/{STUDY.name}"  # what comes out of the study
RUNS = f"{RESULTS}/runs/{STUDY.name}"
MARKS = f"{RESULTS}/runs/.{STUDY.name}"  # what has been done with all runs; no study's name
LOGS = f"{RESULTS}/logs/{STUDY.name}"
RELEASED_LOGS = "workflow/resources/released_logs"
ON_GPUS = SETTINGS.device != "cpu"
RUNS_PER_GPU = sharing(SETTINGS, STUDY.gpus)
SITE = SETTINGS.slurm and SETTINGS.slurm.shared_by(RUNS_PER_GPU)  # with `--profile slurm`
if SITE and not SITE.account and workflow.is_main_process:
    SITE = SITE.model_copy(update={"account": default_account()})
# The interpreter that has posmlp, also where PATH does not know it.
POSMLP = launch(sys.executable, STUDY.gpus, STUDY.nodes, SITE)
CPUS = SITE.cpus if SITE else 1  # of every process of a training
TRAINING_RESOURCES = {"mem_mb": 4000}
if SITE:
    TRAINING_RESOURCES = training_resources(
        SITE, STUDY.gpus, STUDY.nodes, ON_GPUS, workflow.is_main_process, RUNS_PER_GPU
    )
# GPUs of this machine, where no cluster gives them out; every run gets as many of the cores.
GPUS = visible_gpus() if ON_GPUS and not SITE else []
if GPUS:
    ROOM = max(1, len(GPUS) * RUNS_PER_GPU // STUDY.gpus)  # for runs
    CPUS = max(1, workflow.cores // (ROOM * STUDY.gpus))
    TRAINING_RESOURCES["gpu_places"] = 1
    workflow.register_resource("gpu_places", ROOM)
    POSMLP = on_gpus(sys.executable, STUDY.gpus, RUNS_PER_GPU) + POSMLP
THREADS = 1 if SITE else CPUS * STUDY.gpus  # a cluster reads cpus_per_task


wildcard_constraints:
    variant="[A-Za-z0-9][A-Za-z0-9_.-]*",
    seed="[0-9]+",


def in_report(path, entry, **where):
    """A file or folder of a figure, shown in the report with its caption."""
    caption = f"../report/{entry.name}.rst"
    return report(path, caption=caption, category="Figures", subcategory=entry.category, **where)


def figure_files(source, folder):
    """The three files of each figure that comes from a source."""
    files = []
    for entry in figures_from(source):
        path = f"{folder}/{entry.name}"
        files += [f"{path}.pdf", f"{path}.svg"]  # too small on a screen for the report
        files.append(in_report(f"{path}.png", entry, labels={"figure": entry.title}))
    return files


def figure_folders(source, folder):
    """The folders of the figures that every variant has, by name."""
    return {
        entry.name: in_report(
            directory(f"{folder}/{entry.name}"),
            entry,
            patterns=["{variant}.png"],
            labels={"figure": entry.title, "variant": "{variant}"},
        )
        for entry in figures_from(source, each_variant=True)
    }


def pictures(*sources):
    """The PNG of each figure that comes from these sources, and the text of its caption."""
    entries = [entry for source in sources for entry in figures_from(source)]
    folders = {"project": RESULTS} | dict.fromkeys(("runs", "networks"), HERE)
    return {
        "figures": [f"{folders[entry.source]}/figures/{entry.name}.png" for entry in entries],
        "captions": [f"workflow/report/{entry.name}.rst" for entry in entries],
    }


def report_page(name, path=None):
    """An HTML page of the report; the menu sorts them, so they are numbered."""
    number = ("study", "results", "audit", "checks", "provenance", "runs").index(name) + 1
    path = path or f"{HERE}/pages/{name}.html"
    return report(path, category="Study", labels={"page": f"{number} {name}"})


def run_of(wildcards):
    """The settings of a training."""
    return STUDY.run(wildcards.variant, int(wildcards.seed))


def runs_at_once():
    """How many runs train side by side at most, and what limits them."""
    if SITE:
        return runs_of_partition(SITE.partition, STUDY.gpus, ON_GPUS, workflow.nodes, RUNS_PER_GPU)
    at_once, where = max(1, workflow.cores // THREADS), f"{workflow.cores} cores"
    if GPUS:
        at_once = min(at_once, ROOM)
        each = f", {RUNS_PER_GPU} runs on each at most" if RUNS_PER_GPU > 1 else ""
        where = f"{len(GPUS)} GPUs{each}; {where}"
    return at_once, f"{where} of this machine"


def address_digest():
    """Another MLflow address means another store; the address itself may hold a password."""
    return hashlib.sha256(os.environ.get("MLFLOW_TRACKING_URI", "").encode()).hexdigest()[:16]


def digests_of_runs():
    """What the figures of all studies are now, so that other figures are another audit."""
    files = [path for name in ("runs", "curves") for path in Path(RESULTS).glob(f"*/{name}.csv")]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in sorted(files)}
