import numpy as np
import pytest

from posmlp.analysis.granularity import COLUMNS, granularities, granularity
from posmlp.layers import TokenMixing


def map_of(weights_hw: np.ndarray) -> np.ndarray:
    """Return a map of one group in which every query has these weights."""
    return np.broadcast_to(weights_hw, (1, *weights_hw.shape, *weights_hw.shape))


def test_a_unit_gaussian_has_one_token():
    layer = TokenMixing((15, 15), "qpe", groups=2).requires_grad_(False)
    layer.position.center.zero_()
    layer.position.spread[:] = layer.position.spread.new_tensor([1.0, 0.5])
    found = granularity(layer.token_map().reshape(2, 15, 15, 15, 15).numpy())
    np.testing.assert_allclose(found, [1, 2], rtol=0.01)


def test_one_token_has_none_wherever_it_lies():
    weights = np.zeros((5, 6))
    weights[0, 5] = 0.3
    assert granularity(map_of(weights)) == pytest.approx(0)


def test_equal_weights_have_that_of_the_window():
    expected = np.sqrt(((5**2 - 1) / 12 + (8**2 - 1) / 12) / 2)
    assert granularity(map_of(np.full((5, 8), -0.1))) == pytest.approx(expected)  # |weight| counts


def test_axes_of_a_window_are_told_apart():
    weights = np.zeros((3, 9))
    weights[1, [0, 8]] = 1  # 4 tokens from their mean along one axis, none along the other
    assert granularity(map_of(weights)) == pytest.approx(np.sqrt(16 / 2))


def test_a_map_of_zeros_has_no_granularity():
    assert np.isnan(granularity(map_of(np.zeros((3, 3))))).all()


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
