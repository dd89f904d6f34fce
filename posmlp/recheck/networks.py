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
        if path.parent.name != RUN_CURVES.name and not path.name.startswith(".")
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
    """Compare the rows of granularity.csv that belong to the networks that were drawn."""
    path = collected.folder / "granularity.csv"
    if not path.exists():
        return []  # the figure that is drawn from it says so
    committed = rows_of(path)
    now = {place: row for v in drawn for place, row in rows_of(into / f"{v}.csv").items()}
    faults = [
        f"{place}: committed {committed.get(place)}, now {row}"
        for place, row in now.items()
        if committed.get(place) != row
    ]
    faults += [
        f"{place}: nothing makes it"
        for place in committed
        if place.partition(",")[0] not in collected.study.configs
    ]
    left_out = reason if not faults and committed.keys() - now else ""
    return [CheckedFile(collected.study.name, "texts", path, "; ".join(faults[:1]), left_out)]


def rows_of(path: Path) -> dict[str, str]:
    """Return the numbers in a file of granularities by the variant, layer and group they belong to.

    The numbers are the last three columns, the variant is the first.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    cells = [line.rsplit(",", 3) for line in lines[1:]]
    return {place: ",".join(numbers) for place, *numbers in cells}
