import numpy as np
import pytest

from posmlp.analysis.figures.maps import learned_maps, query_token
from posmlp.analysis.learned import window_map


def panels_of(figure, num_rows: int, num_columns: int) -> np.ndarray:
    return np.array(figure.axes[: num_rows * num_columns]).reshape(num_rows, num_columns)


def words(figure) -> str:
    return " ".join(figure.get_suptitle().split())


def test_the_query_is_the_released_one():
    assert query_token(np.empty((1, 14, 14, 14, 14))) == divmod(100, 14)
    assert query_token(np.empty((1, 7, 7, 7, 7))) == divmod(24, 7)
    assert query_token(np.empty((1, 4, 5, 4, 5))) == (2, 2)


def test_images_are_the_rows_of_the_query(learned_run):
    run = learned_run([{"window": (8, 9), "gate": "gqpe", "groups": 3}] * 2)
    figure = learned_maps(run)
    panels = panels_of(figure, 3, 2)  # groups by layers
    for column, layer in enumerate(run.layers.values()):
        for group in range(3):
            (image,) = panels[group, column].images
            expected = layer.token_map()[group, 4 * 9 + 1].reshape(8, 9)
            np.testing.assert_array_equal(image.get_array(), expected)
            assert panels[group, column].lines[-1].get_xydata().tolist() == [[1, 4]]
    assert "gqpe_s4, seed 1" in words(figure)
    assert "row 5, column 2 of 8×9" in words(figure)


@pytest.mark.parametrize(("gate", "colours"), [("gqpe", "cividis"), ("lrpe", "RdBu_r")])
def test_a_layer_has_one_scale_and_negative_weights_a_diverging_one(gate, colours, learned_run):
    run = learned_run([{"window": (4, 4), "gate": gate, "groups": 3}])
    images = [axes.images[0] for axes in learned_maps(run).axes[:3]]
    (layer,) = run.layers.values()
    limit = np.abs(window_map(layer)[:, 2, 2]).max()
    assert {image.get_clim() for image in images} == {(-limit if gate == "lrpe" else 0, limit)}
    assert {image.get_cmap().name for image in images} == {colours}


def test_the_released_choice_of_24_layers_is_drawn(learned_run):
    run = learned_run([{"window": (2, 2), "gate": "gqpe"}] * 24)
    titles = [axes.get_title() for axes in learned_maps(run).axes[:7]]
    assert titles == [f"layer {index + 1}" for index in (1, 3, 8, 12, 16, 20, 22)]


def test_layers_may_differ_in_window_and_groups(learned_run):
    small = {"window": (4, 4), "gate": "gqpe", "groups": 2}
    figure = learned_maps(learned_run([small, {"window": (3, 3), "gate": "gqpe", "groups": 5}]))
    panels = panels_of(figure, 5, 2)
    assert [len(axes.images) for axes in panels[:, 0]] == [1, 1, 0, 0, 0]
    assert panels[4, 1].images[0].get_array().shape == (3, 3)
    assert [axes.texts[0].get_text() for axes in panels[:, 1]] == ["1", "2", "3", "4", "5"]
    assert [axes.texts[0].get_text() for axes in panels[:2, 0]] == ["1", "2"]
    assert "row 3, column 3 of 4×4 and row 2, column 2 of 3×3" in words(figure)
