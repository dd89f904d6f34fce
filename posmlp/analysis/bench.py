"""The tables of docs/performance.md: what benchmarks/speed.py and study.py measured, and where."""

import json
from pathlib import Path

COLUMNS = ("what", "on", "ratio", "spread", "target", "", "share of the limit", "at most")
STUDY_COLUMNS = ("what", "times as long", "spread", "at most", "", "takes (s)", "against (s)")


def bench_tables(results: Path) -> str:
    """Return a table for every file of results/bench, with the machine's limits above it."""
    files = sorted((results / "bench").glob("*.json"))
    if not files:
        return "\nNothing has been measured yet: `make bench`.\n"
    return "\n" + "\n".join(machine(json.loads(file.read_text())) for file in files)


def study_tables(results: Path) -> str:
    """Return a table for every file of results/bench/study: how many times longer ours takes."""
    files = sorted((results / "bench/study").glob("*.json"))
    if not files:
        return "\nNothing has been measured yet: `make bench-full`.\n"
    return "\n" + "\n".join(study_machine(json.loads(file.read_text())) for file in files)


def study_machine(content: dict) -> str:
    """Return what was measured of a study on one machine."""
    lines = [
        f"**{content['hardware']}**.",
        "",
        f"| {' | '.join(STUDY_COLUMNS)} |",
        f"|---|{'---:|' * 3}---|{'---:|' * 2}",
    ]
    for row in content["rows"]:
        words = [row["name"], *found(row), f"{row['ours_s']:,.1f}", f"{row['other_s']:,.1f}"]
        lines.append(f"| {' | '.join(words)} |")
    return "\n".join([*lines, ""])


def machine(content: dict) -> str:
    """Return what was measured on one machine."""
    rates = content["matmul_gflops"]
    lines = [
        f"**{content['hardware']}**, torch {content['torch']}, "
        f"{'large' if content['full'] else 'small'} batches. Limits measured in the same run: "
        + ", ".join(f"{rate:,.0f} GFLOP/s in {dtype}" for dtype, rate in rates.items())
        + f", copies {content['copy_gb_s']:.0f} GB/s. A core decodes and augments "
        f"{content['decoded_images_s']:,} ImageNet images a second.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        f"|{'---|' * 2}{'---:|' * 3}---|{'---:|' * 2}",
    ]
    return "\n".join([*lines, *(f"| {' | '.join(cells(row))} |" for row in content["rows"]), ""])


def cells(row: dict) -> list[str]:
    """Return a row's cells; what was not measured says so."""
    head = [row["name"], f"{row['device']} {row['dtype']}"]
    if row["ratio"] is None:
        alone = f"{row['ours_s']:.2f} s" if "ours_s" in row else "not measured"
        return [*head, alone, "", target(row), "", "", ""]
    share = row.get("share")
    return [
        *head,
        *found(row),
        f"{100 * share:.0f} %" if share else "",
        f"{row['ratio'] / share:.2f}" if share else "",
    ]


def found(row: dict) -> list[str]:
    """Return what was measured: ratio, spread, what was asked for, and whether it is met."""
    met = {None: "", True: "met", False: "missed"}[row["met"]]
    return [f"{row['ratio']:.2f}", f"{row['low']:.2f} to {row['high']:.2f}", target(row), met]


def target(row: dict) -> str:
    return "" if row["target"] is None else f"{row['target']:.2f}"
