import numpy as np
import pandas as pd
import pytest

from posmlp.analysis.granularity import (
    COLUMNS,
    contexts,
    contexts_table,
    granularities,
    granularity,
)
from posmlp.layers import TokenMixing


def map_of(weights_hw: np.ndarray) -> np.ndarray:
    """A map of one group in which every query has these weights."""
    return np.broadcast_to(weights_hw, (1, *weights_hw.shape, *weights_hw.shape))


def test_a_unit_gaussian_has_a_width_of_one_token():
    layer = TokenMixing((15, 15), "qpe", groups=2).requires_grad_(False)
    layer.position.center.zero_()
    layer.position.spread[:] = layer.position.spread.new_tensor([1.0, 0.5])
    found = granularity(layer.token_map().reshape(2, 15, 15, 15, 15).numpy())
    np.testing.assert_allclose(found, [1, 2], rtol=0.01)


def test_equal_weights_have_the_width_of_the_window():
    expected = np.sqrt(((5**2 - 1) / 12 + (8**2 - 1) / 12) / 2)
    assert granularity(map_of(np.full((5, 8), -0.1))) == pytest.approx(expected)  # |weight| counts


def test_axes_of_a_window_count_separately():
    weights = np.zeros((3, 9))
    weights[1, [0, 8]] = 1  # 4 tokens from their mean along one axis, none along the other
    assert granularity(map_of(weights)) == pytest.approx(np.sqrt(16 / 2))


def test_rows_are_layers_and_groups(learned_run):
    layers = [{"window": (5, 5), "gate": "gqpe", "groups": 2}, {"window": (3, 3), "gate": "lrpe"}]
    frame = granularities(learned_run(layers))
    assert frame.columns.tolist() == COLUMNS
    assert frame[["layer", "group"]].to_numpy().tolist() == [[1, 1], [1, 2], [2, 1]]
    assert set(frame["seed"]) == {1}
    assert frame["uniform"].tolist() == pytest.approx([2**0.5, 2**0.5, (2 / 3) ** 0.5])
    assert frame["initial"].tolist()[:2] == pytest.approx([1, 1], abs=0.1)
    assert frame["initial"][0] != frame["initial"][1]
    assert granularities(learned_run([])).columns.tolist() == COLUMNS


ROWS = [
    # variant, seed, layer, group, granularity, initial, uniform
    *[("sgu", seed, 1, 1, 3.0, 3.0, 4.0) for seed in (0, 1)],
    *[("gqpe", 0, 1, 1, 1.0, 2.0, 4.0), ("gqpe", 0, 1, 2, 4.0, 2.5, 4.0)],
    *[("gqpe", 0, 2, 1, 1.5, 2.0, 4.0), ("gqpe", 0, 2, 2, 1.5, 2.0, 4.0)],
    *[("gqpe", 1, 1, 1, 3.0, 2.0, 4.0), ("gqpe", 1, 1, 2, 1.0, 2.0, 4.0)],
    *[("gqpe", 1, 2, 1, 3.0, 2.0, 4.0), ("gqpe", 1, 2, 2, 1.0, 2.0, 4.0)],
]


def test_ratios_are_geometric_means_over_layers_then_means_over_seeds():
    found = contexts(pd.DataFrame(ROWS, columns=COLUMNS))
    assert found["variant"].tolist() == ["gqpe"]  # one group has nothing to differ from
    row = found.iloc[0]
    assert row["n"] == 2
    assert row["narrowest"] == pytest.approx((1.25 + 1) / 2)
    assert row["widest"] == pytest.approx((2.75 + 3) / 2)
    assert row["ratio"] == pytest.approx((2 + 3) / 2)
    assert row["ratio_std"] == pytest.approx(np.std([2, 3], ddof=1))
    assert row["initial_ratio"] == pytest.approx((1.25**0.5 + 1) / 2)


def test_the_table_shows_them():
    table = contexts_table(pd.DataFrame(ROWS, columns=COLUMNS))
    (row,) = table.cells()
    assert dict(zip(table.headers, row, strict=True)) == {
        "Variant": "gqpe",
        "n": "2",
        "Narrowest": "1.12",
        "Widest": "2.88",
        "Ratio": "2.50 ± 0.71",
        "At the start": "1.06 ± 0.08",
    }
