"""Committed figures of what networks have learned, of those that were trained again."""

from pathlib import Path

from posmlp.analysis.collect import write_frame
from posmlp.analysis.figures.draw import draw
from posmlp.analysis.figures.registry import figures_from
from posmlp.analysis.figures.style import save
from posmlp.analysis.granularity import granularities
from posmlp.analysis.networks import load_learned
from posmlp.recheck.derive import RUN_CURVES, Collected
from posmlp.recheck.files import CheckedFile, difference
from posmlp.recheck.retrain import Sample

KIND = "figures of networks"
FIGURES = {
    entry.name: entry
    for entry in figures_from("networks", each_variant=True)
    if entry != RUN_CURVES
}
NO_WEIGHTS = "show weights of runs that were not trained again"
ELSEWHERE = "show weights, which are not the same to the last digit on another machine"


def network_files(collected: Collected, sample: Sample, into: Path) -> list[CheckedFile]:
    """Draw the figures of networks that were trained again; compare them with what is committed.

    They show each variant's first seed. Of the others nothing can be drawn: they are left out.
    """
    study, folder = collected.study, collected.folder
    reason = ELSEWHERE if sample.elsewhere else NO_WEIGHTS
    drawn = [] if sample.elsewhere else [v for v, seed in sample.folders if seed == study.seeds[0]]
    for variant in drawn:
        draw_network(sample.folders[variant, study.seeds[0]], into)
    places = {
        path.relative_to(root)
        for root in (folder, into)
        for path in root.glob("figures/*/*")
        if path.parent.name != RUN_CURVES.name
    }
    files = granularity_file(collected, drawn, into, reason)
    for place in sorted(places):
        fault = left_out = ""
        if place.parent.name not in FIGURES or place.stem not in study.configs:
            fault = "nothing makes it"
        elif place.stem in drawn:
            fault = difference(folder / place, into / place)
        else:
            left_out = reason
        files.append(CheckedFile(study.name, KIND, folder / place, fault, left_out))
    return files


def draw_network(run_folder: Path, into: Path) -> None:
    """Draw a run's figures, and write its granularities to <variant>.csv."""
    run = load_learned(run_folder)
    for name, entry in FIGURES.items():
        figure = draw(entry, {"run": run})
        if figure:
            save(figure, into / "figures" / name, run.variant)
    into.mkdir(parents=True, exist_ok=True)
    write_frame(granularities(run), into / f"{run.variant}.csv")


def granularity_file(
    collected: Collected, drawn: list[str], into: Path, reason: str
) -> list[CheckedFile]:
    """Compare granularity.csv with a copy that has the drawn networks' rows made anew."""
    path, variants = collected.folder / "granularity.csv", collected.study.configs
    if not path.exists():
        return []  # the figure that is drawn from it says so
    header, *rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
    lines = [header]
    for variant in variants:
        if variant in drawn:
            text = (into / f"{variant}.csv").read_text(encoding="utf-8")
            lines += text.splitlines(keepends=True)[1:]
        else:
            lines += [row for row in rows if row.startswith(f"{variant},")]
    copy = into / path.name
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_text("".join(lines), encoding="utf-8")
    fault = difference(path, copy)
    left_out = "" if fault or len(drawn) == len(variants) else reason
    return [CheckedFile(collected.study.name, "texts", path, fault, left_out)]
