"""Costs without memory: by our convention and by fvcore's."""

from functools import partial

import pytest
import timm
import torch
from timm.models.mlp_mixer import Affine, MlpMixer, ResBlock

from posmlp.analysis.published_costs import costs, norm_operations
from posmlp.training.cost import num_parameters


def test_fvcore_total_of_a_network_that_can_be_counted_by_hand():
    with torch.device("meta"):
        model = torch.nn.Sequential(torch.nn.BatchNorm2d(3), torch.nn.LayerNorm(224))
    num_values = 3 * 224 * 224
    assert norm_operations(model) == 2 * num_values + 5 * num_values


@pytest.mark.parametrize(
    ("network", "arguments", "total"),
    [
        ("posmlp_tiny_224", {}, 5.193e9),
        ("posmlp_tiny_224", {"gate": "lrpe"}, 5.071e9),
        ("posmlp_tiny_224", {"gate": "sgu"}, 5.094e9),
        ("gmlp_s16_224", {}, 4.422e9),
    ],
)
def test_fvcore_totals_of_the_released_code_are_reproduced(network, arguments, total):
    assert costs(network, arguments)["fvcore"] == pytest.approx(total, abs=0.0005e9)


def test_the_known_difference_of_resmlp_is_its_patches():
    """The published 116M belongs to patches of 16; timm's network has patches of 8."""
    block = partial(ResBlock, init_values=1e-6)
    with torch.device("meta"):
        published = MlpMixer(
            patch_size=16,
            num_blocks=24,
            embed_dim=768,
            mlp_ratio=4,
            block_layer=block,
            norm_layer=Affine,
        )
        theirs = timm.create_model("resmlp_big_24_224")
    assert num_parameters(published) == 115_736_776
    assert num_parameters(published) - num_parameters(theirs) == -13_401_504
