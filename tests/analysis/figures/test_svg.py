import re

import pytest

from posmlp.analysis.figures.accuracy import accuracy_vs_params
from posmlp.analysis.figures.forest import forest
from posmlp.analysis.figures.svg import to_svg


@pytest.mark.parametrize(
    ("drawn", "text"),
    [
        (lambda summary: forest(summary, 1.0), r"gqpe_s4 − sgu: [+−]\d\.\d\d ± \d\.\d\d points"),
        (accuracy_vs_params, r"gqpe_s4: 9\d\.\d\d ± \d\.\d\d %, \d\d,\d{3} parameters"),
    ],
)
def test_marks_have_texts_on_hover_and_the_caption_is_left_out(drawn, text, digits_summary):
    svg = to_svg(drawn(digits_summary))
    assert len(re.findall(f"<g><title>{text}</title>", svg)) >= 2  # mark and bar
    assert 'id="hover' not in svg
    assert "Thick" not in svg
    assert "Bars" not in svg
    assert not re.search("https?:", svg)
    assert svg == to_svg(drawn(digits_summary))
