# Reads and checks the study, and defines the names that all rules share.

import hashlib
import os
import shlex
import sys
from pathlib import Path

from posmlp.analysis.figures.catalogue import figures_from
from posmlp.code_version import analysis_code_digest, training_code_digest
from posmlp.config import read_settings
from posmlp.runs.pack import parts
from posmlp.study import check_models, load_study
from posmlp.workflow.allocation import allocate
from posmlp.workflow.trained_marks import update_inputs

try:
    SETTINGS = read_settings(config)
    STUDY = load_study(SETTINGS.study)
    if workflow.is_main_process:  # jobs need not repeat this
        check_models(STUDY, passed=Path(".snakemake/posmlp-models"))
except ValueError as error:  # without Snakemake's traceback
    sys.exit("\n".join(f"error: {problem}" for problem in getattr(error, "problems", [error])))

config |= {"title": STUDY.title, "question": STUDY.question}  # for the first page of the archive

STUDY_FILE = str(STUDY.files[0])
RESULTS = SETTINGS.results
# Text of the study in tables and pages, and its rule for comparisons.
WORDS = [
    *(STUDY.title, STUDY.question, *(variant.claim for variant in STUDY.variants)),
    *(question.model_dump_json() for question in STUDY.questions),
    *(STUDY.reference, STUDY.level, STUDY.margin),
]
TABLES = ["main", "variants", "questions"]
# The folder workflow/; it is elsewhere if another workflow uses this one as a module.
HOME = os.path.relpath(f"{workflow.current_basedir.get_path_or_uri(secret_free=True)}/..")
HERE = f"{RESULTS}/{STUDY.name}"  # results of the study
RUNS = f"{RESULTS}/runs/{STUDY.name}"
MARKS = f"{RESULTS}/runs/.{STUDY.name}"  # prefix of marks; names of studies have no leading dot
LOGS = f"{RESULTS}/logs/{STUDY.name}"
RUN = allocate(SETTINGS, STUDY, workflow.cores or 1, workflow.is_main_process)
TRAINED = f"{MARKS}.trained-{{part}}"
if workflow.is_main_process:
    PACKS = parts(STUDY.runs(), RUN.num_jobs)  # the runs of each job that trains
    marks = [Path(TRAINED.format(part=part)) for part in range(1, RUN.num_jobs + 1)]
    try:
        update_inputs(marks, PACKS, Path(RESULTS))
    except ValueError as error:
        sys.exit(f"error: results: {error}")


wildcard_constraints:
    variant="[A-Za-z0-9][A-Za-z0-9_.-]*",
    part="[0-9]+",


def figure_files(source, folder):
    """Both files of each figure of a study, or of all studies."""
    names = [entry.name for entry in figures_from(source, STUDY)]
    return expand(f"{folder}/{{name}}.{{kind}}", name=names, kind=["pdf", "png"])


def figure_folders(folder):
    """The folders of figures with one file per variant, by name; the archive shows them."""
    return {
        entry.name: report(
            directory(f"{folder}/{entry.name}"),
            patterns=["{variant}.png"],
            caption=f"../report/{entry.name}.rst",
            category="Networks",
            subcategory=entry.title,
            labels={"variant": "{variant}"},
        )
        for entry in figures_from("network")
    }


def archived(path, number):
    """An HTML page of the archive, numbered because the menu sorts pages by name."""
    return report(path, category="Study", labels={"page": f"{number} {Path(path).stem}"})


def quoted(text):
    """A word of a shell command, with braces escaped from Snakemake's formatting."""
    return shlex.quote(str(text)).replace("{", "{{").replace("}", "}}")


def address_digest():
    """Digest of the MLflow address, which identifies the store but may contain a password."""
    return hashlib.sha256(os.environ.get("MLFLOW_TRACKING_URI", "").encode()).hexdigest()[:16]


def digests(*names, but=""):
    """Digests of these files of all studies except one, as a parameter that reruns a rule."""
    paths = [path for name in names for path in sorted(Path(RESULTS).glob(f"*/{name}"))]
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        for path in paths
        if path.relative_to(RESULTS).parts[0] != but
    }
