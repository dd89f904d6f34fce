"""Self-contained HTML pages for browser and printer, written as Markdown."""

import base64
from pathlib import Path

import markdown
from markdown.extensions.toc import TocExtension

from posmlp.markup import escape_html

PIXELS, WIDTH = 200, 7.0  # per inch of a PNG; of a full-width figure, in inches
STYLE = """\
body { font: 15px/1.5 system-ui, Helvetica, Arial, "DejaVu Sans", sans-serif; color: #1b1b1b;
  max-width: 76em; margin: 2em auto; padding: 0 1.5em; }
h1 { font-size: 1.6em; }
h2 { font-size: 1.2em; margin-top: 2.2em; }
p, li, figcaption { max-width: 60em; }
table { border-collapse: collapse; font-size: 0.85em; margin: 1em 0; display: block;
  overflow-x: auto; font-variant-numeric: tabular-nums; }
th, td { padding: 0.25em 0.6em; border-bottom: 1px solid #e3e3e3; vertical-align: top; }
th { border-bottom: 2px solid #888; text-align: left; vertical-align: bottom; }
th, td[style*="right"] { white-space: nowrap; }
table + p, figcaption { color: #444; font-size: 0.95em; }
pre { background: #f6f6f6; padding: 0.8em; overflow-x: auto; font-size: 0.9em; }
.columns { columns: 22em; }
.toc ul { padding: 0; }
.toc li { display: inline-block; margin-right: 1.5em; }
figure { display: inline-block; vertical-align: top; box-sizing: border-box; max-width: 100%;
  width: calc(1.55 * var(--width)); margin: 0.5em 0 1em; padding-right: 1em; }
figure > svg { width: 100%; height: auto; }
figure > img { vertical-align: top; }
svg text { font-family: "DejaVu Sans", Verdana, sans-serif !important; }
figcaption { margin-top: 0.6em; }
g:has(> title) { cursor: help; }
@media screen {
  figure:has(title) figcaption::after { content: " Point at a mark for its name and numbers."; }
}
@page { margin: 16mm 15mm; }
@media print {
  body { font-size: 9pt; max-width: none; margin: 0; padding: 0; }
  h1, h2, h3 { break-after: avoid; }
  table, tr, figure, pre { break-inside: avoid; }
  .columns table { break-inside: auto; }
  body { orphans: 1; widows: 1; } /* figures are lines of the body, and as tall as half a page */
  p, figcaption { orphans: 2; widows: 2; }
  table { display: table; font-size: 7.5pt; }
  th, td { padding: 0.2em 0.4em; }
  th { white-space: normal; }
  pre { white-space: pre-wrap; }
  figure { width: var(--width); margin: 0; }
}
"""
# Pages show embedded pictures, run nothing and load nothing.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def write_page(path: str | Path, title: str, text: str, style: str = "") -> None:
    """Write Markdown as a page. HTML in it is kept, so foreign text must be escaped already.

    Args:
        text: [TOC] becomes links to the second-level headings.
        style: additional CSS for this page.
    """
    extensions = ["tables", "md_in_html", TocExtension(toc_depth="2-2")]
    body = markdown.markdown(text, extensions=extensions)
    page = PAGE.format(policy=POLICY, title=escape_html(title), style=STYLE + style, body=body)
    Path(path).write_text(page, encoding="utf-8")


def png(path: Path, scale: float) -> str:
    """An embedded picture, scaled relative to its size in print."""
    content = path.read_bytes()
    inches = int.from_bytes(content[16:20], "big") / PIXELS  # the width in the PNG header
    source = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    return f'<img src="{source}" style="width: {scale * inches / WIDTH:.1%}" alt="{path.stem}">'


def figure(pictures: str, title: str, caption: str, width: float = WIDTH) -> str:
    """HTML of pictures above their caption, `width` inches wide in print."""
    words = f"<b>{escape_html(title)}.</b> {escape_html(' '.join(caption.split()))}"
    opening = f'<figure style="--width: {width:.2f}in">'
    return f"{opening}\n{pictures}\n<figcaption>{words}</figcaption>\n</figure>"
