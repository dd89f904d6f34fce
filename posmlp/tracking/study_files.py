"""The files of a study that MLflow shows: its comparison, table, and run folders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from posmlp.markup import escaped
from posmlp.runs.reading import read_json


class StudyFiles:
    """runs/<study>/ and <study>/ in a results folder.

    `comparison` is comparison.json, which the workflow writes when all runs have finished; empty
    where there is none. `problems` says what is wrong with it.
    """

    def __init__(self, name: str, results: Path) -> None:
        self.name, self.results, self.folder = name, results, results / name
        self.comparison: dict[str, Any] = {}
        self.problems: list[str] = []
        try:
            comparison = read_json(self.folder / "comparison.json")
            variants = comparison.get("variants", [])
            if not all(entry.keys() >= {"metrics", "differences"} for entry in variants):
                again = f"make reproduce STUDY={name}"
                raise ValueError(f"comparison.json: is of an earlier version; renew it: {again}")
            self.comparison = comparison
        except ValueError as error:
            self.problems.append(f"{self.folder}: not shown: {error}")
        self.variants = self.comparison.get("variants", [])
        self.claims: dict[str, str] = {v["variant"]: v["claim"] for v in self.variants}

    def variant_name(self, variant: str) -> str:
        """Number a variant by its row of the sheet, so that names sort by it: "07 gqpe_s4"."""
        rows = list(self.claims)
        if variant not in rows:
            return variant
        return f"{rows.index(variant) + 1:0{len(str(len(rows)))}} {variant}"

    def run_name(self, variant: str, seed: int) -> str:
        width = len(str(max((seed, *self.comparison.get("seeds", [])))))
        return f"{self.variant_name(variant)} seed {seed:0{width}}"

    def run_folders(self) -> list[Path]:
        found = sorted((self.results / "runs" / self.name).glob("*/seed*"))
        files = ("config.yaml", "metrics.json")
        return [f for f in found if any(os.path.lexists(f / name) for name in files)]

    def run_folder(self, variant: str, seed: int) -> Path:
        return self.results / "runs" / self.name / variant / f"seed{seed}"

    def note(self, pages: str, longest: int) -> str:
        """What both experiments say of the study, in Markdown: question, links, main table."""
        title, question = (escaped(self.comparison.get(name, "")) for name in ("title", "question"))
        path = self.folder / "tables/main.md"
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        table = text[text.find("\n|") + 1 :]  # without its title
        table = table or "The main table follows when all runs have finished."
        head = [f"{title or self.name}: {pages}", question]
        note = "\n\n".join([*head, table, self.comparison.get("reason", "")])
        if len(note) > longest:
            note = "\n\n".join([*head, f"The main table is long: see {path}"])
        return note[:longest]
