import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from posmlp.analysis.figures.accuracy import accuracy_vs_params, format_accuracy_axis, on_front
from posmlp.analysis.figures.style import gate_look, save


def containers(axes) -> dict:
    return {container.get_label(): container for container in axes.containers}


def bar_ends(container) -> np.ndarray:
    """[[x, lower], [x, upper]] of the first error bar."""
    return container.lines[2][0].get_segments()[0]


def test_every_variant_is_a_mark_with_its_interval_or_an_outlier(digits_summary):
    figure = accuracy_vs_params(digits_summary)
    marks = containers(figure.axes[0])
    far = digits_summary["variant"].str.contains("softmax")
    assert list(marks) == digits_summary["variant"][~far].tolist()
    named, *_ = digits_summary[far].itertuples()
    caption = " ".join(figure.get_supxlabel().split())
    assert f"Below the axis: {named.variant} ({named.test_top1_mean:.1f}%), " in caption
    assert "and 1 more" in caption
    for _, row in digits_summary[digits_summary["variant"].isin(marks)].iterrows():
        line = marks[row["variant"]].lines[0]
        assert line.get_xydata().tolist() == [[row["token_mixing_params"], row["test_top1_mean"]]]
        (_, lower), (_, upper) = bar_ends(marks[row["variant"]])
        assert (upper + lower) / 2 == pytest.approx(row["test_top1_mean"])
        assert (upper - lower) / 2 == pytest.approx(row["test_top1_half_width"])
        look = gate_look(row["gate"])
        assert (line.get_marker(), to_hex(line.get_color())) == (look.mark, look.colour.lower())
        assert (line.get_markerfacecolor() == "white") == bool(row["other_settings"])


def test_variants_of_one_seed_are_named_marks_without_bars(digits_summary):
    single = digits_summary.assign(test_top1_half_width=np.nan)
    axes = accuracy_vs_params(single).axes[0]
    assert not any(len(bar_ends(container)) for container in axes.containers)
    assert {"sgu", "s16"} <= {text.get_text() for text in axes.texts}


def test_front_has_the_variants_that_no_other_beats():
    params = pd.Series([10, 20, 20, 30, 40, 40])
    accuracies = pd.Series([80.0, 90.0, 85.0, 90.0, 95.0, 95.0])
    assert on_front(params, accuracies).tolist() == [True, True, False, False, True, True]


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


def test_files_are_byte_stable_and_a_users_matplotlibrc_changes_nothing(digits_summary, tmp_path):
    def saved(name: str) -> dict[str, bytes]:
        save(accuracy_vs_params(digits_summary[:6]), tmp_path / name, "figure", ("png", "pdf"))
        return {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}

    first = saved("a")
    with matplotlib.rc_context({"font.size": 20, "savefig.bbox": "tight", "axes.facecolor": "red"}):
        assert saved("b") == first
    assert first.keys() == {"figure.png", "figure.pdf"}
    assert not any(b"Matplotlib" in content for content in first.values())


@pytest.fixture
def axes():
    return Figure().add_subplot()


@pytest.mark.parametrize(
    ("low", "high", "scale"),
    [(81.0, 98.0, "linear"), (79.0, 98.0, "function"), (99.6, 100.0, "linear")],
)
def test_errors_over_a_factor_of_ten_are_logarithmic(axes, low, high, scale):
    format_accuracy_axis(axes, low, high, "top-1 (%)")
    assert axes.get_yscale() == scale
    assert ("log error" in axes.get_ylabel()) == (scale == "function")
    bottom, top = axes.get_ylim()
    assert low - 5 < bottom < low
    assert high < top < 100.1


def test_a_failed_variant_leaves_room_for_the_others(axes):
    format_accuracy_axis(axes, 20.0, 99.0, "top-1 (%)")
    heights = axes.transAxes.inverted().transform(
        axes.transData.transform([[0, 20], [0, 96], [0, 98], [0, 99]])
    )[:, 1]
    assert heights[0] < 0.1  # both ends are in sight
    assert heights[3] > 0.9
    assert heights[2] - heights[1] == pytest.approx(heights[3] - heights[2])  # half the error
    assert heights[2] - heights[1] > 0.1
    assert axes.get_ylim()[0] == 0
    ticks = [tick.get_text() for tick in axes.get_yticklabels()]
    assert ticks == ["0", "50", "80", "90", "95", "98", "99"]
