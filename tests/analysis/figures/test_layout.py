"""Figures of every shape of study: texts lie in the figure, apart, and off the Pareto front."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from posmlp.analysis.figures.catalogue import FIGURES, draw, figures_from
from posmlp.analysis.figures.style import FONT_SIZE, ONE_COLUMN, TWO_COLUMNS, figure_style

SHAPES = ("ordinary", "one", "long_names", "sixty")
OF_STUDIES = [*figures_from("study"), *figures_from("studies")]
DRAWN = [(e, shape) for e in OF_STUDIES for shape in SHAPES if shape != "one" or not e.shows]
LARGE = {"window": (14, 14), "gate": "fc_gqpe", "groups": 4}
NETWORKS = {
    "one_layer": [{"window": (4, 4), "gate": "gqpe", "groups": 2}],
    "narrow": [{"window": (8, 8), "gate": "fc_lrpe"}] * 3,
    "hierarchy": [LARGE] * 4 + [{"window": (7, 7), "gate": "fc_gqpe", "groups": 16}] * 4,
    "deep": [{"window": (6, 6), "gate": "fc_gqpe"}] * 24,
}


@pytest.fixture
def texts_of(monkeypatch):
    """A function that draws a figure and returns {text: its box} for every text drawn."""
    drawn: dict[Text, Bbox] = {}
    draw_text = Text.draw

    def record(text, renderer):
        if text.get_visible() and text.get_text().strip():
            drawn[text] = Text.get_window_extent(text, renderer)
        draw_text(text, renderer)

    monkeypatch.setattr(Text, "draw", record)

    def draw_all(figure) -> dict[Text, Bbox]:
        drawn.clear()
        with figure_style():
            FigureCanvasAgg(figure).draw()
        return dict(drawn)

    return draw_all


def assert_legible(figure, boxes: dict[Text, Bbox]) -> None:
    assert round(figure.get_size_inches()[0], 2) in (ONE_COLUMN, TWO_COLUMNS)
    assert figure.get_size_inches()[1] < 11.5  # inches of a page
    whole = figure.bbox
    for text, box in boxes.items():
        words = text.get_text()
        assert text.get_fontsize() == FONT_SIZE, words
        outside = [*(whole.min - box.min), *(box.max - whole.max)]
        assert max(outside) <= 1, f"{words!r} leaves the figure"  # pixel
    shrunk = {text: box.padded(-1) for text, box in boxes.items() if box.width > 2}
    for (one, box), (other, other_box) in itertools.combinations(shrunk.items(), 2):
        assert not box.overlaps(other_box), f"{one.get_text()!r} overlaps {other.get_text()!r}"


@pytest.mark.parametrize(("entry", "shape"), DRAWN, ids=lambda value: getattr(value, "name", value))
def test_texts_of_a_study_are_apart(entry, shape, studies, texts_of):
    figure = draw(entry, studies[shape])
    boxes = texts_of(figure)
    assert boxes
    assert_legible(figure, boxes)
    for line in (line for axes in figure.axes for line in axes.lines):
        if line.get_label() == "_front":
            path = line.get_transform().transform_path(line.get_path())
            crossed = [text for text, box in boxes.items() if path.intersects_bbox(box, False)]
            assert [text.get_text() for text in crossed] == []


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("entry", figures_from("network"), ids=lambda entry: entry.name)
def test_texts_of_a_network_are_apart(entry, network, learned_run, texts_of):
    run = learned_run(NETWORKS[network], num_epochs=5)
    variant = "gqpe_s16_" + "x" * (55 if network == "hierarchy" else 0)
    figure = draw(entry, {"run": replace(run, variant=variant)})
    if figure:
        assert_legible(figure, texts_of(figure))


@pytest.mark.parametrize("shape", SHAPES)
def test_names_lie_on_no_mark_and_the_reference_has_one(shape, studies):
    (entry,) = [entry for entry in FIGURES if entry.name == "accuracy_vs_params"]
    figure = draw(entry, studies[shape])
    (axes,) = figure.axes
    notes = [child for child in axes.get_children() if isinstance(child, Annotation)]
    renderer = FigureCanvasAgg(figure).get_renderer()
    marks = [container.lines[0] for container in axes.containers]
    centres = np.array([axes.transData.transform(mark.get_xydata()[0]) for mark in marks])
    for note in notes:
        assert not Text.get_window_extent(note, renderer).count_contains(centres), note.get_text()
    assert marks[0].get_xydata()[0].tolist() in [list(note.xy) for note in notes]  # the reference
    assert len(notes) >= min(len(marks), 10)
