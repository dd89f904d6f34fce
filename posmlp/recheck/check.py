"""check_results: make committed results again and say what is not as it is committed."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from posmlp.analysis.collect import ResultsError
from posmlp.recheck.derive import PROJECT, Collected, derive_project, derive_study
from posmlp.recheck.networks import network_files
from posmlp.recheck.numbers import row_of
from posmlp.recheck.report import differences, file_table, number_table
from posmlp.recheck.retrain import Sample, draw_runs, retrain, stale
from posmlp.study import load_study


def check_results(
    names: Sequence[str], results: Path, data_root: Path, num_runs: int, seed: int
) -> int:
    """Print what is as it is committed and what is not; return the number of the latter.

    Args:
        names: of studies, or paths of study files; none: every study that has a runs.csv, and what
            belongs to no study.
        results: folder of <study>/runs.csv and of what was made from it.
        data_root: folder of the data sets.
        num_runs: of each study, to be trained again.
        seed: draws them.

    Raises:
        ValueError: there is no such study, or it has no runs.csv.
    """
    studies = [load_study(name) for name in names or committed_studies(results)]
    all_collected = [Collected.read(study, results) for study in studies]
    work = Path(tempfile.mkdtemp(prefix="posmlp-check-results-"))
    files, samples = [], {}
    for collected in all_collected:
        say(f"{collected.study.name}: tables and figures are made from its runs.csv")
        files += derive_study(collected, work / "anew" / collected.study.name)
    if not names:
        say(f"{PROJECT}: so are those of the whole project")
        files += derive_project(results, work / "project")
    for collected in all_collected:
        name = collected.study.name
        samples[name] = train_sample(collected, num_runs, seed, work / "trained", data_root)
        files += network_files(collected, samples[name], work / "networks" / name)
    found = differences(files, samples)
    say("\n".join(["", file_table(files), "", *number_table(samples), *found]))
    if found:
        say(f"What was made again is kept in {work}")
    else:
        shutil.rmtree(work)
    num_trained = sum(len(sample.folders) for sample in samples.values())
    say(f"files {len(files)}, runs trained again {num_trained}, differences {len(found)}")
    return len(found)


def train_sample(
    collected: Collected, num_runs: int, seed: int, results: Path, data_root: Path
) -> Sample:
    """Draw runs of a study and train them again, unless runs.csv is not the present study's."""
    name, runs = collected.study.name, draw_runs(collected, num_runs, seed)
    if faults := stale(collected):
        return Sample(faults=faults)
    if not runs:
        return Sample()
    seconds = sum(row_of(collected.runs, run)["wall_s"] for run in runs)
    say(
        f"{name}: {len(runs)} of {len(collected.finished)} runs, drawn with the seed {seed}, are "
        f"trained again, which took {seconds:,.0f} s: {', '.join(run.name for run in runs)}"
    )
    sample = retrain(collected, runs, results, data_root)
    if sample.skipped:
        say(f"{name}: not trained again: {sample.skipped}")
    if sample.elsewhere:
        say(f"{name}: compared within a tolerance: {'; '.join(sample.elsewhere)}")
    return sample


def say(text: str) -> None:
    print(text, flush=True)


def committed_studies(results: Path) -> list[str]:
    """Return the names of the studies that have a runs.csv."""
    names = sorted(path.parent.name for path in results.glob("*/runs.csv"))
    if not names:
        raise ResultsError(
            f"{results}: no study here has a runs.csv; `make reproduce` makes it, and --results "
            "names another folder"
        )
    return names
