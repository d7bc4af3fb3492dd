"""The toy of chapter 2: a measure that sees both ways of failing, and four ways to be told t."""

import pytest
import torch

from dit_lesson.experiments import read_result
from dit_lesson.experiments.spiral import PointDenoiser, distances, spiral

PLACES = ("nowhere", "first layer", "every layer", "scale and shift")


def test_the_spiral_has_mean_0_and_variance_near_1():
    points = spiral(4000, seed=0)
    assert points.shape == (4000, 2) and torch.equal(points, spiral(4000, seed=0))
    assert points.mean(dim=0).abs().max() < 0.15
    assert 0.6 < points.var(dim=0).min() and points.var(dim=0).max() < 1.5


def test_one_good_point_is_near_the_data_and_leaves_them_bare():
    data = spiral(500, seed=0)
    assert distances(data, data) == pytest.approx((0, 0), abs=1e-3)
    off, uncovered = distances(data[:1].expand(500, 2), data)
    assert off == pytest.approx(0, abs=1e-3) and uncovered > 1


def test_distances_are_means_over_the_first_and_the_second():
    samples, data = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    assert distances(samples, data) == pytest.approx((1, (5 + 1) / 2))


@pytest.mark.parametrize("place", PLACES)
def test_the_answer_depends_on_the_time_where_the_time_enters(place):
    torch.manual_seed(0)
    model, x = PointDenoiser(place), torch.randn(5, 2)
    early, late = (model(x, torch.full((5,), t)) for t in (10.0, 800.0))
    assert early.shape == (5, 2)
    assert torch.equal(early, late) == (place == "nowhere")


def test_the_card_has_three_seeds_of_everything_and_the_parameters_of_its_models():
    runs = read_result("spiral-comparison")["runs"]
    keys = {(run["time"], run["target"], run["unit"], run["width"]) for run in runs}
    assert {place for place, *_ in keys} == set(PLACES) and len(runs) == 3 * len(keys)
    for place, _, _, width in keys:
        model = PointDenoiser(place, width)
        model(torch.zeros(1, 2), torch.zeros(1)).sum().backward()
        used = sum(p.numel() for p in model.parameters() if p.grad is not None)
        found = [r["parameters"] for r in runs if (r["time"], r["width"]) == (place, width)]
        assert set(found) == {used}
