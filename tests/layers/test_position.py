"""Encodings compared with their equations, for every pair of tokens."""

import itertools

import pytest
import torch

from posmlp.layers import GQPE, LRPE, QPE
from posmlp.layers.position import grid, offset_index, over_pairs

WINDOWS = [(4, 4), (2, 5), (3, 1), (7,)]


def pairs(window):
    """Yield query index, key index and their offset, key minus query, for all pairs."""
    tokens = list(itertools.product(*map(range, window)))
    for (m, query), (n, key) in itertools.product(enumerate(tokens), repeat=2):
        yield m, n, tuple(k - q for q, k in zip(query, key, strict=True))


@pytest.mark.parametrize("window", [*WINDOWS, (5, 2), (1, 3), (1,)])
def test_slices_equal_lookups(window):
    offsets = torch.Size(2 * side - 1 for side in window).numel()
    scores = torch.randn(3, offsets, dtype=torch.float64, requires_grad=True)
    expected = scores[:, offset_index(window)]
    found = over_pairs(scores, grid(window))
    assert torch.equal(found, expected)
    weights = torch.randn_like(found)
    by_index, by_slice = (torch.autograd.grad(p, scores, weights)[0] for p in (expected, found))
    torch.testing.assert_close(by_slice, by_index)


@pytest.mark.parametrize("window", WINDOWS)
def test_lrpe_scores_are_the_table_entry_of_the_offset(window):
    encoding = LRPE(window, groups=3)
    scores_SNN = encoding.scores()[:, offset_index(window)]
    for m, n, offset in pairs(window):
        place = tuple(d + length - 1 for d, length in zip(offset, window, strict=True))
        assert torch.equal(scores_SNN[:, m, n], encoding.table[(slice(None), *place)])


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("encoding_type", [QPE, GQPE])
@pytest.mark.parametrize("psd", [True, False])
def test_quadratic_rows_match_the_gaussian_of_the_equation(encoding_type, window, psd):
    torch.manual_seed(1)
    encoding = encoding_type(window, groups=2, psd=psd).double()
    for parameter in encoding.parameters():
        torch.nn.init.normal_(parameter)
    rows = encoding.scores()[:, offset_index(window)].softmax(-1)
    for s in range(2):
        center, spread = encoding.center[s], encoding.spread[s]
        if encoding_type is QPE:
            precision = torch.eye(len(window), dtype=torch.float64) * (spread**2 if psd else spread)
        else:
            precision = spread @ spread.T if psd else (spread + spread.T) / 2
        expected = torch.empty_like(rows[s])
        for m, n, offset in pairs(window):
            delta = torch.tensor(offset, dtype=torch.float64)
            # A raw matrix need not be symmetric and is applied to the centre as it is.
            pull = delta @ (spread if encoding_type is GQPE and not psd else precision) @ center
            expected[m, n] = pull - delta @ precision @ delta / 2
        torch.testing.assert_close(rows[s], expected.softmax(-1), rtol=0, atol=1e-12)


def test_initial_map_is_a_unit_gaussian_at_the_query():
    torch.manual_seed(0)
    encoding = GQPE((15, 15), groups=64)
    rows = encoding.scores()[:, offset_index((15, 15))].softmax(-1)
    assert rows[:, 112, 112].mean().item() == pytest.approx(0.157, abs=0.005)  # about 1 / (2 pi)


def test_initial_lrpe_table_is_not_zero():
    torch.manual_seed(0)
    assert LRPE((14, 14), groups=4).table.std().item() == pytest.approx(0.02, rel=0.1)


def test_the_width_of_qpe_can_change():
    """In the released code it only scales the centre; paper.md trap 3."""
    encoding = QPE((5, 5), groups=1)
    torch.nn.init.zeros_(encoding.center)
    central = []
    for width in (0.1, 1.0, 3.0):
        torch.nn.init.constant_(encoding.spread, width)
        central.append(encoding.scores()[:, offset_index((5, 5))].softmax(-1)[0, 12, 12].item())
    assert central[0] < 0.05
    assert central[0] < central[1] < central[2]
    assert central[2] > 0.95
