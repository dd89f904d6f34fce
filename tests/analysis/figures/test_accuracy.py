import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.text import Annotation, Text

from posmlp.analysis.figures.accuracy import accuracy_vs_mixing, accuracy_vs_params, on_front
from posmlp.analysis.figures.groups import accuracy_vs_groups
from posmlp.analysis.figures.marks import bar_caption, bar_range
from posmlp.analysis.figures.style import GATE_LOOKS, ONE_COLUMN, gate_look, in_gate_order, save
from posmlp.analysis.statistics import summarise
from posmlp.layers import GATES


def containers(axes) -> dict:
    return {container.get_label(): container for container in axes.containers}


def bar_ends(container) -> np.ndarray:
    """Return [[x, lower], [x, upper]] of the first error bar."""
    return container.lines[2][0].get_segments()[0]


@pytest.fixture(scope="module")
def params_figure(digits_summary):
    return accuracy_vs_params(digits_summary)


@pytest.fixture(scope="module")
def mixing_figure(digits_summary):
    return accuracy_vs_mixing(digits_summary)


def test_every_variant_is_a_mark_with_its_interval(params_figure, mixing_figure, digits_summary):
    total = containers(params_figure.axes[0])
    mixing = containers(mixing_figure.axes[0])
    assert list(total) == list(mixing) == digits_summary["variant"].tolist()
    for _, row in digits_summary.iterrows():
        line = total[row["variant"]].lines[0]
        assert line.get_xydata().tolist() == [[row["params"], row["mean"]]]
        (x, lower), (_, upper) = bar_ends(total[row["variant"]])
        assert (upper + lower) / 2 == pytest.approx(row["mean"])
        assert (upper - lower) / 2 == pytest.approx(row["half_width"])
        look = gate_look(row["gate"])
        assert (line.get_marker(), to_hex(line.get_color())) == (look.mark, look.colour.lower())
        assert (line.get_markerfacecolor() == "white") == bool(row["other_settings"])
        (x,) = mixing[row["variant"]].lines[0].get_xdata()
        assert x == pytest.approx(row["token_mixing_params"], rel=0.25)  # moved aside at most


def test_more_groups_are_larger_marks(params_figure):
    marks = containers(params_figure.axes[0])
    sizes = [marks[f"gqpe_s{s}"].lines[0].get_markersize() for s in (1, 4, 16)]
    assert sizes == sorted(set(sizes))


def test_equal_sizes_stand_side_by_side(mixing_figure):
    marks = containers(mixing_figure.axes[0])
    names = ["gqpe_s4", "gqpe_s4_softmax", "gqpe_s4_psd", "gqpe_s4_bias", "gqpe_s4_norm"]
    assert len({marks[name].lines[0].get_xdata()[0] for name in names}) == len(names)


def test_caption_says_what_the_bars_are(params_figure, digits_summary):
    assert "Student-t 95% interval of the mean over 3 seeds" in params_figure.get_supxlabel()
    assert "no intervals" in bar_caption(digits_summary.assign(n=1))
    assert "1 to 3 seeds" in bar_caption(digits_summary.assign(n=[1, *digits_summary["n"][1:]]))


@pytest.mark.parametrize("which", ["digits_summary", "large_summary"])
@pytest.mark.parametrize("draw", [accuracy_vs_params, accuracy_vs_mixing])
def test_labels_overlap_neither_labels_nor_marks(draw, which, request):
    figure = draw(request.getfixturevalue(which))
    axes = figure.axes[0]
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    notes = [child for child in axes.get_children() if isinstance(child, Annotation)]
    texts = [Text.get_window_extent(note, renderer) for note in notes]  # without leader lines
    assert len(texts) == len(axes.containers)
    for i, box in enumerate(texts):
        assert box.count_overlaps(texts[:i]) == 0, notes[i].get_text()
    marks = [container.lines[0] for container in axes.containers]
    centres = np.array([axes.transData.transform(mark.get_xydata()[0]) for mark in marks])
    for box, note in zip(texts, notes, strict=True):
        assert not box.count_contains(centres), note.get_text()
    assert min(note.get_fontsize() for note in notes) >= 7


def test_a_network_without_token_mixing_is_in_one_figure_only(digits_summary):
    summary = digits_summary[:3].assign(token_mixing_params=[0, 100, 200])
    assert set(containers(accuracy_vs_params(summary).axes[0])) == set(summary["variant"])
    mixing = accuracy_vs_mixing(summary)
    assert set(containers(mixing.axes[0])) == set(summary["variant"]) - {"sgu"}
    none = accuracy_vs_mixing(summary.assign(token_mixing_params=0))
    assert "layers that mix tokens" in none.texts[0].get_text()


def test_few_variants_take_one_column(digits_summary, large_summary):
    assert accuracy_vs_params(digits_summary[:12]).get_size_inches()[0] == ONE_COLUMN
    assert accuracy_vs_params(large_summary).get_size_inches()[0] > ONE_COLUMN


def test_front_has_whom_no_other_beats():
    params = pd.Series([10, 20, 20, 30, 40, 40])
    accuracies = pd.Series([80.0, 90.0, 85.0, 90.0, 95.0, 95.0])
    assert on_front(params, accuracies).tolist() == [True, True, False, False, True, True]


def test_front_is_drawn_through_its_variants_to_the_largest(params_figure, digits_summary):
    (line,) = [line for line in params_figure.axes[0].lines if line.get_label() == "_front"]
    front = digits_summary[on_front(digits_summary["params"], digits_summary["mean"])]
    expected = front.sort_values("params")[["params", "mean"]].to_numpy().tolist()
    assert line.get_xydata()[:-1].tolist() == expected
    assert line.get_xydata()[-1].tolist() == [digits_summary["params"].max(), expected[-1][1]]


def test_brackets_span_the_units_that_grow_alike(mixing_figure, digits_summary):
    axes = mixing_figure.axes[0]
    names = [text.get_text() for text in axes.texts if text.get_text().startswith("O(")]
    assert names == ["O(1)", "O(N)", "O(N²)"]
    brackets = [line for line in axes.lines if line.get_marker() == "|"]
    for growth, bracket in zip(("1", "N", "N²"), brackets, strict=True):
        gates = [gate for gate, look in GATE_LOOKS.items() if look.growth == growth]
        inside = digits_summary["gate"].isin(gates)
        low, high = bracket.get_xdata()
        sizes = digits_summary["token_mixing_params"]
        assert low < sizes[inside].min() * 1.1
        assert high > sizes[inside].max() / 1.1
        assert high < sizes[inside].max() * 1.5


def test_variants_on_other_data_are_left_out_and_counted(digits_summary):
    other = [
        "",
        "data.train_fraction=0.05",
        "data.subset_seed=1; model.psd=false",
        "recipe.metadata.x=1",
    ]
    figure = accuracy_vs_params(digits_summary[:4].assign(other_settings=other))
    drawn = containers(figure.axes[0])
    assert list(drawn) == digits_summary["variant"][[0, 3]].tolist()
    assert "Not shown: 2 on other data" in " ".join(figure.get_supxlabel().split())


def test_axis_holds_all_bars_but_ends_at_100(runs_of):
    summary = summarise(runs_of({"a": [91.0, 93.0, 92.0], "b": [98.0, 99.0, 97.0]}), "a")
    half_width = 4.302652729911275 / np.sqrt(3)
    assert bar_range(summary) == (pytest.approx(92 - half_width), 99.0)
    assert bar_range(summary[:1]) == (
        pytest.approx(92 - half_width),
        pytest.approx(92 + half_width),
    )
    assert bar_range(summary[:1].assign(half_width=np.nan)) == (92.0, 92.0)
    low, high = accuracy_vs_params(summary).axes[0].get_ylim()
    assert low < 92 - half_width
    assert 99 < high < 100


def test_every_gating_unit_has_its_own_look():
    assert set(GATE_LOOKS) <= set(GATES)  # others have OTHER_LOOK
    assert len({look.colour for look in GATE_LOOKS.values()}) == len(GATE_LOOKS)
    assert len({look.mark for look in GATE_LOOKS.values()}) == len(GATE_LOOKS)


def test_units_of_other_origin_come_last():
    assert in_gate_order(["new", "gqpe", "", "sgu", "gqpe"]) == ["sgu", "gqpe", "new", ""]


def test_files_are_byte_stable(digits_summary, tmp_path):
    first = save(accuracy_vs_groups(digits_summary), tmp_path / "a", "groups")
    second = save(accuracy_vs_groups(digits_summary), tmp_path / "b", "groups")
    assert [path.name for path in first] == ["groups.pdf", "groups.svg", "groups.png"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name
        assert b"Matplotlib" not in one.read_bytes()


def test_a_users_matplotlibrc_changes_nothing(digits_summary, tmp_path):
    plain = save(accuracy_vs_groups(digits_summary[:1]), tmp_path / "a", "groups")
    with matplotlib.rc_context({"font.size": 20, "savefig.bbox": "tight", "axes.facecolor": "red"}):
        other = save(accuracy_vs_groups(digits_summary[:1]), tmp_path / "b", "groups")
    assert [p.read_bytes() for p in plain] == [p.read_bytes() for p in other]
