"""Text from users is escaped in HTML, Markdown and LaTeX."""

import html
import re

import pytest

from posmlp.analysis.pages import write_page
from posmlp.analysis.tables import markdown_table
from posmlp.markup import Markdown, escape_html, escape_latex, escaped

EVIL = (
    "<script>alert(1)</script>",
    "<svg onload=alert(1)>",
    "[click](javascript:alert(1))",
    "![x](javascript:alert(1))",
    "<javascript:alert(1)>",
    "&lt;script&gt; &#60;b&#62;",
    "a | b | c",
    "# no heading",
    "1. no list",
    "- no list",
    "*no* _emphasis_ `code`",
    "[TOC]",
)


@pytest.mark.parametrize("text", EVIL)
def test_a_page_shows_what_was_written(tmp_path, text):
    table = markdown_table([text], [[text]])
    write_page(tmp_path / "page.html", text, f"{escaped(text)}\n\n{table}")
    page = (tmp_path / "page.html").read_text()
    body = page[page.index("<body>") :]
    shown = [html.unescape(part).strip() for part in re.findall(r"(?<=>)[^<>]+(?=<)", body)]
    assert [part for part in shown if part] == [text] * 3  # the paragraph, the header, the cell
    assert set(re.findall(r"<(\w+)", body)) == {
        *("body", "p", "table", "thead", "tbody"),
        *("tr", "th", "td"),
    }


def test_a_page_may_run_and_load_nothing(tmp_path):
    write_page(tmp_path / "page.html", "T", "x")
    policy = re.search(
        r'Content-Security-Policy" content="([^"]+)"', (tmp_path / "page.html").read_text()
    )
    assert policy[1].startswith("default-src 'none'; img-src data:;")


def test_control_characters_and_line_breaks_are_dropped():
    assert escaped("a\x07b\n\n# c\u202e") == "a b # c"
    assert escape_html("a\x1b[31m\n\tb<") == "a[31m\n\tb&lt;"
    assert escape_latex("a\x07\nb") == "a b"


def test_ordinary_text_is_left_readable():
    text = "gqpe_s16 - sgu: −0.96 ± 0.72 (n = 5, p <0.001) & more"
    assert escaped(text) == text
    assert escaped(Markdown("**bold**")) == "**bold**"


def test_every_special_character_of_latex_is_escaped():
    assert escape_latex("\\ & % $ # _ { } ~ ^ ± × − < ≤ †") == (
        r"\textbackslash{} \& \% \$ \# \_ \{ \} \textasciitilde{} \textasciicircum{} "
        r"$\pm$ $\times$ $-$ $<$ $\le$ $\dagger$"
    )
