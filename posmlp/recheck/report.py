"""What the check of committed results found, as text."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from tabulate import tabulate

from posmlp.recheck.files import CheckedFile
from posmlp.recheck.numbers import Number
from posmlp.recheck.retrain import Sample

# Said once of a study; the figures are in docs/statistics.md.
SAME_NAMES = (
    "held to the last digit, as device, threads and versions have the committed names; a processor "
    "can hide other instructions behind its name, see docs/statistics.md"
)
VERDICTS = ("equal", "within", "different", "unknown")


def file_table(files: Iterable[CheckedFile]) -> str:
    """Return a row for each study and kind of file: how many are equal, different, not made."""
    groups = defaultdict(list)
    for file in files:
        groups[file.study, file.kind].append(file)
    rows = []
    for (study, kind), found in sorted(groups.items(), key=lambda group: group[0][0]):
        different = sum(bool(file.fault) for file in found)
        reasons = Counter(file.left_out for file in found if file.left_out)
        equal = len(found) - different - reasons.total()
        counts = len(found), equal, different, reasons.total()
        rows.append((study, kind, *counts, "; ".join(reasons)))
    header = ("study", "files", "number", "equal", "different", "not made", "why")
    return tabulate(rows, header)


def number_table(samples: Mapping[str, Sample]) -> list[str]:
    """Return a row for each run that was trained again: how many of its numbers are the same."""
    rows = []
    for study, sample in samples.items():
        for run, group in groupby(sample.numbers, key=lambda number: number.run):
            counts = Counter(number.verdict for number in group)
            rows.append((study, run, counts.total(), *(counts[verdict] for verdict in VERDICTS)))
    header = ("study", "run", "numbers", "equal", "within tolerance", "different", "no tolerance")
    return [tabulate(rows, header), ""] if rows else []


def differences(files: Sequence[CheckedFile], samples: Mapping[str, Sample]) -> list[str]:
    """Return a line for everything that is not as it is committed."""
    lines = []
    at_fault = [file for file in files if file.fault]
    for fault, group in groupby(at_fault, key=lambda file: file.fault):
        first, *more = group
        lines.append(f"{first.path}{f' and {len(more)} more' if more else ''}: {fault}")
    for study, sample in samples.items():
        lines += [f"{study}: {fault}" for fault in sample.faults]
        different = [number for number in sample.numbers if number.verdict == "different"]
        lines += [f"{study}: {number_line(number)}" for number in different]
        if different and not sample.elsewhere:
            lines[-1] += f" ({SAME_NAMES})"
    return lines


def number_line(number: Number) -> str:
    """Say what a number is committed as and is now."""
    allowed = f"at most {number.tolerance:.3g} apart" if number.tolerance else "the same"
    return (
        f"{number.run}, {number.place}: committed {number.committed}, now {number.now}, "
        f"should be {allowed}"
    )
