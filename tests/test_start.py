"""One Gaussian per class: its velocity, what is added to it, and how its guidance was chosen."""

import pytest
import torch

from dit_lesson.checkpoints import load_model
from dit_lesson.evaluation import frechet_distance, judge_features
from dit_lesson.experiments import start
from dit_lesson.experiments.judging import AUTOENCODER, decode
from dit_lesson.experiments.recipes import FLOW, judge_split
from dit_lesson.sampling import guided, sample


@pytest.fixture(scope="module")
def points():
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(10).repeat(300)
    shapes = torch.randn(10, 128, 128, generator=generator) / 8
    noise = torch.randn(len(y), 128, generator=generator)
    x0 = torch.einsum("bi,bij->bj", noise, shapes[y]) + y[:, None]
    return x0.reshape(-1, 8, 4, 4), y


@pytest.fixture(scope="module")
def gaussian(points):
    return start.GaussianVelocity(*points)


def mixtures(count=7):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 8, 4, 4, generator=generator)


@pytest.mark.parametrize("t", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("y", [3, start.NULL])
def test_the_velocity_is_the_regression_on_the_mixture(points, gaussian, t, y):
    """Of two jointly Gaussian vectors the mean of one, given the other, by their covariances."""
    x0, labels = points
    rows = (x0 if y == start.NULL else x0[labels == y]).flatten(1).double()
    mean, sigma, one = rows.mean(dim=0), rows.T.cov(), torch.eye(128, dtype=torch.float64)
    with_mixture = t * one - (1 - t) * sigma  # the covariance of the velocity and x_t
    of_mixture = (1 - t) ** 2 * sigma + t**2 * one
    x = mixtures()
    away = x.flatten(1).double() - (1 - t) * mean
    expected = torch.linalg.solve(of_mixture, away.T).T @ with_mixture - mean
    found = gaussian(x, torch.full((7,), 1000 * t), torch.full((7,), y))
    torch.testing.assert_close(found.flatten(1).double(), expected, rtol=1e-3, atol=1e-3)


def test_a_dit_on_top_begins_at_the_formula_and_hears_the_same_labels(gaussian):
    torch.manual_seed(0)
    model = start.FromGaussian(gaussian)
    x, t, y = mixtures(100), torch.full((100,), 400.0), torch.arange(100) % 10
    told = []
    model.rest.register_forward_hook(lambda _, args, __: told.append(args[2]))
    assert torch.equal(model.eval()(x, t, y), gaussian(x, t, y)) and torch.equal(told[0], y)
    found = model.train()(x, t, y, torch.Generator().manual_seed(0))
    dropped = torch.rand(100, generator=torch.Generator().manual_seed(0)) < 0.1
    labels = torch.where(dropped, start.NULL, y)
    assert dropped.any() and torch.equal(told[1], labels)
    assert torch.equal(found, gaussian(x, t, labels))


def test_the_validation_digits_choose_the_guidance_of_the_gaussian():
    (images, y), (held_out, _) = judge_split()
    gaussian = start.GaussianVelocity(load_model(AUTOENCODER).to_latents(images), y)
    real = judge_features(held_out)
    asked = torch.arange(start.SAMPLES) % start.NULL
    noise = torch.randn(start.SAMPLES, 8, 4, 4, generator=torch.Generator().manual_seed(0))

    def distance(scale):
        velocity = guided(gaussian, asked, start.NULL, scale, interval=start.INTERVAL)
        painted = decode(sample(velocity, noise, FLOW, start.STEPS, predicts="velocity"))
        return frechet_distance(judge_features(painted), real)

    assert min((1.25, 1.5, 1.75, 2.0), key=distance) == start.SCALES["gaussian"]
