"""Pages for a browser, complete in themselves: the look of the report and the audit."""

from pathlib import Path

import markdown

from posmlp.markup import escape_html

STYLE = """\
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, Helvetica, Arial, "DejaVu Sans", sans-serif; color: #1b1b1b;
  max-width: 76em; margin: 2em auto; padding: 0 1.5em; }
h1 { font-size: 1.5em; }
h2 { font-size: 1.15em; margin-top: 2em; }
p, li { max-width: 60em; }
table { border-collapse: collapse; font-size: 0.9em; margin: 1em 0; display: block;
  overflow-x: auto; font-variant-numeric: tabular-nums; }
th, td { padding: 0.25em 0.65em; border-bottom: 1px solid #e3e3e3; vertical-align: top; }
th { border-bottom: 2px solid #888; text-align: left; vertical-align: bottom; white-space: nowrap; }
td[style*="right"] { white-space: nowrap; }
pre { background: #f6f6f6; padding: 0.8em; overflow-x: auto; font-size: 0.9em; }
summary { cursor: pointer; padding: 0.15em 0; }
figure { margin: 2em 0 3em; }
figure img { max-width: 100%; }
figcaption { max-width: 52em; color: #444; margin-top: 0.6em; }
"""
# Pages may show pictures that they contain, and run or load nothing.
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
    """Write Markdown as a page; its HTML stays, so text of others must have been escaped.

    Args:
        style: CSS of this page alone.
    """
    body = markdown.markdown(text, extensions=["tables", "md_in_html"])
    page = PAGE.format(policy=POLICY, title=escape_html(title), style=STYLE + style, body=body)
    Path(path).write_text(page, encoding="utf-8")
