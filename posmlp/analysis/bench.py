"""The tables of docs/performance.md, from the measurements of benchmarks/speed.py and study.py."""

import json
from pathlib import Path
from typing import Any

from posmlp.analysis.tables import markdown_table

SPEED_COLUMNS = {"what": "left", "on": "left", "ratio": "right", "spread": "right"}
SPEED_COLUMNS |= {"target": "right", "": "left", "share of the limit": "right", "at most": "right"}
STUDY_COLUMNS = {"what": "left", "times as long": "right", "spread": "right", "at most": "right"}
STUDY_COLUMNS |= {"": "left", "takes (s)": "right", "against (s)": "right"}


def bench_tables(results: Path) -> str:
    """A table per file in results/bench, below the limits of its machine."""
    texts, contents = [], _contents(results / "bench")
    for content in contents:
        rates = content["matmul_gflops"]
        head = (
            f"**{content['hardware']}**, torch {content['torch']}, "
            f"{'large' if content['full'] else 'small'} batches. Limits measured in the same run: "
            + ", ".join(f"{rate:,.0f} GFLOP/s in {dtype}" for dtype, rate in rates.items())
            + f", copies {content['copy_gb_s']:.0f} GB/s. A core decodes and augments "
            f"{content['decoded_images_s']:,} ImageNet images a second."
        )
        texts.append(_text(head, SPEED_COLUMNS, [_speed_cells(row) for row in content["rows"]]))
    if not any(row["device"] == "GPU" for content in contents for row in content["rows"]):
        texts.append("\n**GPUs: not measured.**\n")
    return "\n".join(texts)


def study_tables(results: Path) -> str:
    """A table per file in results/bench/study, of ratios of training time."""
    texts = []
    for content in _contents(results / "bench/study"):
        rows = [
            [row["name"], *_ratio(row), f"{row['ours_s']:,.1f}", f"{row['other_s']:,.1f}"]
            for row in content["rows"]
        ]
        texts.append(_text(f"**{content['hardware']}**.", STUDY_COLUMNS, rows))
    return "\n".join(texts) or "\nNothing has been measured yet: `make bench-full`.\n"


def _contents(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))]


def _text(head: str, columns: dict[str, str], rows: list[list[str]]) -> str:
    table = markdown_table(columns, rows, list(columns.values()))
    return f"\n{head}\n\n{table}\n"


def _speed_cells(row: dict[str, Any]) -> list[str]:
    share = row.get("share")
    limit = [f"{100 * share:.0f} %", f"{row['ratio'] / share:.2f}"] if share else ["", ""]
    return [row["name"], f"{row['device']} {row['dtype']}", *_ratio(row), *limit]


def _ratio(row: dict[str, Any]) -> list[str]:
    """Ratio, spread, target, and whether it is met."""
    met = {None: "", True: "met", False: "missed"}[row["met"]]
    target = "" if row["target"] is None else f"{row['target']:.2f}"
    return [f"{row['ratio']:.2f}", f"{row['low']:.2f} to {row['high']:.2f}", target, met]
