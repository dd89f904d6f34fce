"""Escape titles, questions, claims and logs for Markdown, HTML and LaTeX."""

import html
import re

_MARKUP = re.compile(r"[\\`*\[\]{}]|(?<![^\W_])_|_(?![^\W_])")  # but not the _ in gqpe_s16
_HTML = re.compile(r"&(?=[#\w])|<(?=[a-zA-Z/!?])|[|~]")
_LINE_START = re.compile(r"^(\d*)([.)](?= )|[-+](?= )|#)")  # of a list or heading
_LATEX = {character: f"\\{character}" for character in "&%$#_{}"}
_LATEX |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_LATEX |= {"<": "$<$", ">": "$>$"}
_LATEX |= {"±": r"$\pm$", "×": r"$\times$", "−": "$-$", "≤": r"$\le$", "†": r"$\dagger$"}


def printable(text: str) -> str:
    """Replace line breaks and unprintable characters by single spaces."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def printable_line(line: str) -> str:
    """Drop control characters except tabs; keep runs of spaces."""
    return "".join(sign for sign in line if sign.isprintable() or sign == "\t")


class Markdown(str):
    """Markdown, which `escaped` leaves unchanged."""


def escaped(text: str) -> Markdown:
    """Escape plain text for one line of Markdown, without markup or links."""
    if isinstance(text, Markdown):
        return text
    line = _HTML.sub(lambda sign: f"&#{ord(sign[0])};", printable(text))
    line = _MARKUP.sub(r"\\\g<0>", line)
    return Markdown(_LINE_START.sub(r"\1\\\2", line))


def escape_html(text: str) -> str:
    """Escape plain text for HTML, line by line."""
    return "\n".join(html.escape(printable_line(line)) for line in text.splitlines())


def escape_latex(text: str) -> str:
    """Make plain text LaTeX, our few symbols included."""
    return printable(text).translate(str.maketrans(_LATEX))
