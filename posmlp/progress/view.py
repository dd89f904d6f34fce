"""What people see of a study's progress: a table for a terminal, a line for a file."""

import datetime
from statistics import fmean, stdev

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from posmlp.progress.state import DONE, FAILED, RUNNING, STOPPED, WAITING, Progress, Run

COLOURS = {DONE: "green", RUNNING: "cyan", FAILED: "red", STOPPED: "yellow", WAITING: "dim"}
WIDE = 110  # columns from which the two tables stand side by side
LONGEST_BAR = 80
FEWEST_ROWS = 3  # of a table, however low the terminal


def screen(progress: Progress, width: int, height: int) -> RenderableType:
    """The study on a terminal: counts, time left, runs in training, and variants so far."""
    bar = Table.grid(padding=(0, 2), expand=True)
    bar.width = min(width, LONGEST_BAR)
    bar.add_column(ratio=1)
    bar.add_column(no_wrap=True)
    done = ProgressBar(1.0, progress.fraction, complete_style="cyan", finished_style="green")
    bar.add_row(done, Text(times(progress)))
    heading = Text.assemble((f"{progress.study}: ", "bold"), counts(progress))
    rows = height - 5  # of a table: its heading, three lines above it, the cursor's below it
    num_running = len(progress.of(RUNNING))
    if not num_running:
        tables = variants(progress, rows)
    elif width >= WIDE:
        tables = Table.grid(padding=(0, 6))
        tables.add_row(running(progress, rows), variants(progress, rows))
    else:
        most = min(num_running, max(FEWEST_ROWS, rows // 3))
        tables = Group(running(progress, most), "", variants(progress, rows - most - 2))
    return Group(heading, bar, "", tables)


def counts(progress: Progress) -> Text:
    """How many runs have finished, and how many are in each other state."""
    num = progress.counts
    text = Text(f"{num[DONE]} of {len(progress.runs)} runs finished", COLOURS[DONE])
    for state in (RUNNING, FAILED, STOPPED, WAITING):
        if num[state]:
            text.append(", ", "default").append(f"{num[state]} {state}", COLOURS[state])
    return text


def times(progress: Progress) -> str:
    """Share of the epochs done, time since the start, and time left."""
    text = f"{progress.fraction:4.0%}  {clock(progress.elapsed_s)} elapsed"
    if progress.is_over or progress.left_s is None:
        return text
    return f"{text}, {clock(progress.left_s)} left"


def clock(seconds: float) -> str:
    """Hours, minutes and seconds, with days from 24 hours on."""
    return str(datetime.timedelta(seconds=round(seconds)))


def running(progress: Progress, most: int) -> Table:
    """Runs in training, or as many as there is room for."""
    table = columns(RUNNING, "epoch", "top-1 %", "images/s", "left")
    runs = progress.of(RUNNING)
    for run in shortened(runs, most):
        left = run.epoch_s * (run.num_epochs - run.epochs)
        table.add_row(
            run.name,
            f"{run.epochs}/{run.num_epochs}",
            number(run.top1, ".2f"),
            number(run.images_per_s, ",.0f"),
            clock(left) if run.epochs else "",
        )
    return rest(table, len(runs))


def variants(progress: Progress, most: int) -> Table:
    """Every variant's top-1 so far, or of as many variants as there is room for."""
    table = columns("variant", "finished", "top-1 %, mean ± sd")
    found = progress.top1_of_variants()
    names = [*found] if len(found) <= most else sorted(found, key=lambda name: not found[name][1])
    for variant in shortened(names, most):
        num_runs, values = found[variant]
        table.add_row(variant, f"{len(values)}/{num_runs}", mean(values))
    return rest(table, len(found))


def columns(first: str, *others: str) -> Table:
    """A table without lines: names on the left, numbers on the right."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(first, no_wrap=True, overflow="ellipsis")
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def shortened(rows: list, most: int) -> list:
    """The first rows where not all have room; one line is kept for the number of the others."""
    most = max(FEWEST_ROWS, most)
    return rows if len(rows) <= most else rows[: most - 1]


def rest(table: Table, num: int) -> Table:
    """Add a line that counts the rows left out."""
    if table.row_count < num:
        table.add_row(f"and {num - table.row_count} more", style="dim")
    return table


def mean(values: list[float]) -> str:
    """Mean and, from two values on, standard deviation."""
    if not values:
        return ""
    return f"{fmean(values):.2f}" + (f" ± {stdev(values):.2f}" if len(values) > 1 else "")


def number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def line(progress: Progress) -> str:
    """One line: counts, time left and, where few runs train, how far each is."""
    parts = [f"{progress.study}: {counts(progress).plain}"]
    if progress.left_s is not None and not progress.is_over:
        parts.append(f"{clock(progress.left_s)} left")
    runs = progress.of(RUNNING)
    if len(runs) <= FEWEST_ROWS:
        parts += [far(run) for run in runs if run.epochs]
    return "; ".join(parts)


def far(run: Run) -> str:
    """How far a run in training is."""
    tested = "" if run.top1 is None else f" {run.top1:.2f} %"
    return f"{run.name} {run.epochs}/{run.num_epochs}{tested}"


def failure(run: Run) -> str:
    """The line on a run that has failed."""
    return f"failed: {run.name}: {run.error}"
