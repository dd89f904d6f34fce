"""Windows: partitioning, reassembling, and masks of shifted windows."""

import pytest
import torch

from posmlp.layers import GATES, TokenMixing
from posmlp.layers.window import half_shift, partition, reverse, shift_mask


@pytest.mark.parametrize(("size", "window"), [((6, 8), (3, 2)), ((4, 4), (4, 4)), ((2, 9), (1, 3))])
def test_reverse_undoes_partition(size, window):
    x = torch.randn(2, *size, 3)
    cut = partition(x, window, size)
    assert cut.shape[1:3] == (size[0] * size[1] // (window[0] * window[1]), window[0] * window[1])
    assert torch.equal(cut[0, 0].reshape(*window, 3), x[0, : window[0], : window[1]])
    assert torch.equal(reverse(cut, window, size), x)


def test_shift_leaves_a_map_of_one_window_alone():
    assert half_shift((4, 4), (4, 8)) == (0, 2)


@pytest.mark.parametrize(("size", "window"), [((8, 8), (4, 4)), ((4, 9), (4, 3)), ((6, 4), (3, 2))])
def test_mask_joins_exactly_the_tokens_that_were_adjacent(size, window):
    shift = half_shift(window, size)
    mask = shift_mask(window, size, shift)
    rows, columns = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    places = torch.stack([rows, columns], -1).roll((-shift[0], -shift[1]), (0, 1))
    cut = partition(places[None], window, size)[0]
    for w, tokens in enumerate(cut):
        distance = (tokens[:, None] - tokens[None]).abs()
        near = (distance < torch.tensor(window)).all(-1)  # otherwise from opposite sides
        assert torch.equal(mask[w], near)


@pytest.mark.parametrize("gate", GATES)
def test_masked_tokens_have_no_weight_and_rows_stay_normalised(gate):
    torch.manual_seed(0)
    mask = shift_mask((4, 4), (8, 8), (2, 2))
    mixing = TokenMixing((4, 4), gate, 2, mask_WNN=mask)
    for parameter in mixing.parameters():
        torch.nn.init.normal_(parameter)
    A = mixing.token_map()
    assert not A.masked_select(~mask[:, None]).any()
    if gate in ("qpe", "gqpe"):
        torch.testing.assert_close(A.sum(-1), torch.ones(A.shape[:-1]))
