"""The choice between ways of computing the same numbers, with a clock of our own for the GPU's."""

from functools import partial

import pytest
import torch

from posmlp.layers import GatingUnit, fastest, mixing
from posmlp.layers.cache import share_maps


@pytest.fixture(autouse=True)
def _nothing_chosen(monkeypatch):
    monkeypatch.setattr(fastest, "chosen", {})


def clock(**taking):
    """A clock for ways that note their name in `used` when they are called."""
    used = []

    def way(name, factor=1.0):
        def compute(x):
            used.append(name)
            return factor * x * x

        return compute

    def seconds(work):
        used.clear()
        work()
        return taking[used[0]]

    return way, seconds


def test_the_least_time_wins_and_is_measured_once():
    way, seconds = clock(first=3.0, second=1.0, third=2.0)
    ways = {name: way(name) for name in ("first", "second", "third")}
    x = torch.randn(4, requires_grad=True)
    assert fastest.fastest(ways, [x], [], "key", seconds) == "second"
    assert x.grad is None
    assert fastest.fastest(ways, [x], [], "key", None) == "second"  # no clock is asked again


def test_a_fast_way_that_gives_other_numbers_is_not_used():
    way, seconds = clock(first=3.0, wrong=1.0)
    ways = {"first": way("first"), "wrong": way("wrong", 1.01)}
    with pytest.warns(UserWarning, match="wrong gives other numbers than first"):
        assert fastest.fastest(ways, [torch.randn(4)], [], "key", seconds) == "first"


def test_wrong_gradients_are_other_numbers_too():
    way, seconds = clock(first=3.0, wrong=1.0)
    wrong = way("wrong")
    ways = {"first": way("first"), "wrong": lambda x: wrong(x).detach() + 0 * x}
    x = torch.randn(4, requires_grad=True)
    with pytest.warns(UserWarning, match="other numbers"):
        assert fastest.fastest(ways, [x], [], "key", seconds) == "first"


def test_a_way_that_fails_is_passed_over():
    way, seconds = clock(first=3.0)

    def fails(x):
        raise RuntimeError("out of memory")

    ways = {"first": way("first"), "second": fails}
    with pytest.warns(UserWarning, match="second cannot be used here: out of memory"):
        assert fastest.fastest(ways, [torch.randn(4)], [], "key", seconds) == "first"


def layer_and_halves(window=(4, 4)):
    torch.manual_seed(0)
    unit = GatingUnit(16, window, "gqpe", 2)
    halves = [torch.randn(8, 3, torch.Size(window).numel(), requires_grad=True) for _ in range(2)]
    return unit, halves


@pytest.mark.parametrize("winner", ["the map", "the kernel"])
def test_a_layer_chooses_among_its_ways(winner, monkeypatch):
    pytest.importorskip("triton")
    monkeypatch.setattr(mixing, "CONVOLVE_ON_GPU_FROM", 16)
    names = []

    def chooser(ways, inputs, weights, key):
        names.extend(ways)
        times = {name: 1.0 if name.startswith(winner) else 2.0 for name in ways}
        order = iter(times.values())
        return fastest.fastest(ways, inputs, weights, key, lambda work: (work(), next(order))[1])

    monkeypatch.setattr(mixing, "fastest", chooser)
    unit, (u, v) = layer_and_halves()
    found = unit.proj.fastest_on_gpu(v, u)(v, u)
    assert [name.split(" with")[0] for name in names] == [
        *("the map", "the convolution"),
        *3 * ["the kernel"],
    ]
    torch.testing.assert_close(found, unit.proj.by_map(v, u))
    name = next(iter(fastest.chosen.values()))
    assert name.startswith(winner)


def test_timing_leaves_a_step_s_shared_map_alone(monkeypatch):
    chooser = partial(fastest.fastest, seconds=lambda work: (work(), 1.0)[1])
    monkeypatch.setattr(mixing, "fastest", chooser)
    unit, (u, v) = layer_and_halves()
    for part in range(2):
        share_maps(unit, part, 2)
        unit.proj.fastest_on_gpu(v, u)
        unit.proj.by_map(v, u).sum().backward()
    found = [parameter.grad.clone() for parameter in unit.parameters()]
    unit.train().zero_grad()  # and no map is shared any longer
    (2 * unit.proj.by_map(v, u).sum()).backward()
    for ours, parameter in zip(found, unit.parameters(), strict=True):
        torch.testing.assert_close(ours, parameter.grad)


def test_results_that_must_repeat_come_from_the_map(monkeypatch):
    unit, (u, v) = layer_and_halves()
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    assert unit.proj.fastest_on_gpu(v, u) == unit.proj.by_map


def test_a_recorded_graph_takes_what_is_known(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    way, _ = clock(first=3.0, second=1.0)
    ways = {name: way(name) for name in ("first", "second")}
    assert fastest.fastest(ways, [torch.randn(4)], [], "key", None) == "first"
    assert not fastest.chosen
