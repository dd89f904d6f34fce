"""A figure as an element of an HTML page; its marks say on hover what they are, without scripts."""

import io
import re
from collections.abc import Iterable

from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from posmlp.analysis.figures.style import figure_style

HOVER = "hover: "  # starts the id of what has a text to show
# Equal figures give equal bytes; text can be searched.
SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "posmlp"}
SAVED = {"format": "svg", "bbox_inches": "tight", "pad_inches": 0.02}
SAVED |= {"metadata": dict.fromkeys(("Creator", "Date", "Format", "Type"))}


def show_on_hover(artists: Iterable[Artist], text: str) -> None:
    """Have artists show a text in an SVG; other formats are as without."""
    for artist in artists:
        artist.set_gid(HOVER + text)


def to_svg(figure: Figure) -> str:
    """The figure without its caption, for which a page has room below it."""
    file = io.StringIO()
    figure.supxlabel("")
    with figure_style(), rc_context(SETTINGS):
        figure.savefig(file, **SAVED)
    svg = file.getvalue()
    svg = re.sub(r' (?:width|height)="\S+pt"', "", svg, count=2)
    svg = re.sub(r' (?:id="[\w.]+_\d+"|xmlns(?::\w+)?="[^"]*")', "", svg[svg.index("<svg") :])
    return re.sub(f'<g id="{HOVER}([^"]*)">', r"<g><title>\1</title>", svg)
