"""Time `snakemake -n --quiet` of a study of many runs, and of as many jobs that are nothing else.

    python benchmarks/dry_run.py                        # 2,000 runs: 100 variants, 20 seeds
    python benchmarks/dry_run.py --variants 10 --repetitions 3

Both take turns in temporary folders, in CPU seconds of their processes, which say more where the
machine does other work too; the quotient of the two is what counts, and the goal is at most 1.5.
The other jobs have an output and a command each and no parameters, logs or messages.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from measure import Comparison, Work, compare
from scale import make_study

ROOT = Path(__file__).parents[1]
SNAKEMAKE = [str(Path(sys.executable).with_name("snakemake")), "--cores", "2", "--quiet"]
TRIVIAL = """\
rule all:
    input:
        expand("runs/v{{variant}}/seed{{seed}}/metrics.json", variant=range({0}), seed=range({1})),


rule train:
    output:
        "runs/{{variant}}/seed{{seed}}/metrics.json",
    shell:
        "touch {{output}}"
"""
GOAL = 1.5


def make_checkout(folder: Path) -> None:
    """Make a folder in which the workflow runs as in this one, with results of its own."""
    (folder / "config/studies").mkdir(parents=True)
    for name in ("Snakefile", "posmlp", "profiles", "slurm", "workflow"):
        (folder / name).symlink_to(ROOT / name)
    for path in (ROOT / "config").glob("**/*.*"):
        (folder / path.relative_to(ROOT)).symlink_to(path)


def make_trivial(folder: Path, num_variants: int, num_seeds: int) -> None:
    """Make a folder with a workflow of as many jobs."""
    folder.mkdir()
    (folder / "Snakefile").write_text(TRIVIAL.format(num_variants, num_seeds))
    (folder / "profiles").symlink_to(ROOT / "profiles")


def dry_run(folder: Path, *arguments: str) -> None:
    """Let Snakemake say what it would do."""
    subprocess.run([*SNAKEMAKE, "-n", *arguments], cwd=folder, capture_output=True, check=True)


def cpu_seconds(work: Work) -> float:
    """Return the CPU seconds of the processes that a piece of work starts and waits for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    work()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def compare_dry_runs(num_variants: int, num_seeds: int, repetitions: int) -> Comparison:
    """Compare both; the ratio says how many times longer the study takes, which is `other` here."""
    with tempfile.TemporaryDirectory() as name:
        study, trivial = Path(name) / "study", Path(name) / "trivial"
        make_checkout(study)
        make_study(study / "config/studies", num_variants, num_seeds, epochs=20)
        make_trivial(trivial, num_variants, num_seeds)
        ours = partial(dry_run, study, "--config", "study=many")
        return compare(partial(dry_run, trivial), ours, repetitions, cpu_seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--variants", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--repetitions", type=int, default=9)
    arguments = parser.parse_args()
    found = compare_dry_runs(arguments.variants, arguments.seeds, arguments.repetitions)
    print(
        f"{arguments.variants * arguments.seeds:,} runs: {found.other_s:.2f} CPU s; as many "
        f"trivial jobs: {found.ours_s:.2f} CPU s; ratio {found.ratio:.2f} ({found.low:.2f} to "
        f"{found.high:.2f}), goal at most {GOAL}"
    )
    return int(found.ratio > GOAL)


if __name__ == "__main__":
    sys.exit(main())
