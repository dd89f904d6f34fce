"""The files of a study that MLflow shows: facts, tables and run folders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from posmlp.markup import escaped
from posmlp.runs.reading import read_json


class StudyFiles:
    """runs/<study>/ and <study>/ in a results folder.

    Attributes:
        facts: content of study.json; empty until all runs have finished.
        variants: rows of tables/variants.csv, each with `finished_at` of its last run.
        problems: files that are damaged and not shown.
    """

    def __init__(self, name: str, results: Path) -> None:
        self.name, self.results, self.folder = name, results, results / name
        self.facts: dict[str, Any] = {}
        self.variants: list[dict[str, Any]] = []
        self.problems: list[str] = []
        try:
            if facts := read_json(self.folder / "study.json"):
                self.variants = read_variants(self.folder)
                self.facts = facts
        except ValueError as error:
            self.problems.append(f"{self.folder}: not shown: {error}")
        self.claims: dict[str, str] = {v["variant"]: v["claim"] for v in self.variants}

    def variant_name(self, variant: str) -> str:
        """Number a variant by its row of the sheet, so that names sort by it: "07 gqpe_s4"."""
        rows = list(self.claims)
        if variant not in rows:
            return variant
        return f"{rows.index(variant) + 1:0{len(str(len(rows)))}} {variant}"

    def run_name(self, variant: str, seed: int) -> str:
        width = len(str(max((seed, *self.facts.get("seeds", [])))))
        return f"{self.variant_name(variant)} seed {seed:0{width}}"

    def run_folders(self) -> list[Path]:
        found = sorted((self.results / "runs" / self.name).glob("*/seed*"))
        files = ("config.yaml", "metrics.json")
        return [f for f in found if any(os.path.lexists(f / name) for name in files)]

    def run_folder(self, variant: str, seed: int) -> Path:
        return self.results / "runs" / self.name / variant / f"seed{seed}"

    def note(self, pages: str, longest: int) -> str:
        """The description of both experiments in Markdown: question, links, main table."""
        title, question = (escaped(self.facts.get(name, "")) for name in ("title", "question"))
        path = self.folder / "tables/main.md"
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        table = text[text.find("\n|") + 1 :]  # without its title
        table = table or "The main table follows when all runs have finished."
        head = [f"{title or self.name}: {pages}", question]
        note = "\n\n".join([*head, table, self.facts.get("reason", "")])
        if len(note) > longest:
            note = "\n\n".join([*head, f"The main table is long: see {path}"])
        return note[:longest]


def read_variants(folder: Path) -> list[dict[str, Any]]:
    """Read the table of variants and when the last run of each finished ("" without a run).

    Raises:
        ResultsError: a file is missing or damaged.
    """
    from posmlp.analysis.collect import read_frame  # imports pandas, for finished studies only

    runs = read_frame(folder / "runs.csv", ["variant", "finished_at"])
    last = runs.groupby("variant")["finished_at"].max().to_dict()
    rows = read_frame(folder / "tables/variants.csv").to_dict("records")
    return [row | {"finished_at": last.get(row["variant"], "")} for row in rows]
