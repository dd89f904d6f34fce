"""A figure as an element of an HTML page, with texts on hover that need no script."""

import io
import re
from collections.abc import Iterable

from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from posmlp.analysis.figures.style import figure_style

HOVER = "hover: "  # starts the id of an artist with a text on hover
# Equal figures give equal bytes; text can be searched.
SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "posmlp"}
SAVED = {"format": "svg", "bbox_inches": "tight", "pad_inches": 0.02}
SAVED |= {"metadata": dict.fromkeys(("Creator", "Date", "Format", "Type"))}


def show_on_hover(artists: Iterable[Artist], text: str) -> None:
    """Show a text when the mouse is over artists of an SVG; no effect on other formats."""
    for artist in artists:
        artist.set_gid(HOVER + text)


def to_svg(figure: Figure) -> str:
    """Draw a figure without its caption, which a page has as text."""
    file = io.StringIO()
    figure.supxlabel("")
    with figure_style(), rc_context(SETTINGS):
        figure.savefig(file, **SAVED)
    svg = file.getvalue()
    svg = re.sub(r' (?:width|height)="\S+pt"', "", svg, count=2)
    svg = re.sub(r' (?:id="[\w.]+_\d+"|xmlns(?::\w+)?="[^"]*")', "", svg[svg.index("<svg") :])
    return re.sub(f'<g id="{HOVER}([^"]*)">', r"<g><title>\1</title>", svg)
