"""Committed files beside the same files made anew."""

from dataclasses import dataclass
from itertools import takewhile, zip_longest
from pathlib import Path

TEXTS = (".csv", ".json", ".html", ".md", ".svg", ".tex")
SHOWN = 60  # characters of a line that differs


@dataclass(frozen=True)
class CheckedFile:
    """A committed file; it is the one made anew unless one of the last two fields says otherwise.

    Attributes:
        study: that it belongs to, or another part of the results.
        kind: under which it is counted.
        path: where it is committed.
        fault: how it differs from the file made anew.
        left_out: why none was made.
    """

    study: str
    kind: str
    path: Path
    fault: str = ""
    left_out: str = ""


def compare_folders(
    study: str, kind: str, pattern: str, committed: Path, anew: Path
) -> list[CheckedFile]:
    """Compare all files in either of two folders whose place there matches a glob pattern."""
    places = {
        path.relative_to(folder)
        for folder in (committed, anew)
        for path in folder.glob(pattern)
        if path.is_file() and not path.name.startswith(".")  # marks of Snakemake
    }
    return [
        CheckedFile(study, kind, committed / place, difference(committed / place, anew / place))
        for place in sorted(places)
    ]


def difference(committed: Path, anew: Path) -> str:
    """Say how two files differ, of texts in which line; "" where their bytes are equal."""
    if not committed.exists():
        return "is not there, and can be made"
    if not anew.exists():
        return "nothing makes it"
    old, new = committed.read_bytes(), anew.read_bytes()
    if old == new:
        return ""
    if committed.suffix not in TEXTS:
        return f"bytes differ from {anew}"
    lines = zip_longest(*(content.decode(errors="replace").split("\n") for content in (old, new)))
    for number, (line, other) in enumerate(lines, start=1):
        if line != other:
            return f"line {number}: committed {excerpt(line, other)}, now {excerpt(other, line)}"
    return "bytes that are no text differ"


def excerpt(line: str | None, other: str | None) -> str:
    """Return a line, quoted, from shortly before the place where it leaves the other."""
    if line is None:
        return "nothing"
    pairs = zip(line, other or "", strict=False)
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    start = max(0, same - SHOWN // 3)
    part = line[start : start + SHOWN]
    dots = ["..." if cut else "" for cut in (start > 0, start + SHOWN < len(line))]
    return repr(f"{dots[0]}{part}{dots[1]}")
