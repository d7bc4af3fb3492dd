"""The judge and its questions: closed forms, the shipped judge on unseen digits, refusals."""

import pytest
import torch

from dit_lesson.checkpoints import read_card
from dit_lesson.data import load_digits, scale_digits
from dit_lesson.evaluation import (
    Judge,
    accuracy,
    floor,
    frechet_distance,
    judge,
    judge_features,
    loss_by_t,
    nearest,
    share_of_copies,
)


def digits(split):
    images, labels = load_digits(split)
    return torch.from_numpy(scale_digits(images, size=32)), torch.from_numpy(labels)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# --- the judge ----------------------------------------------------------------------------


def test_shipped_judge_reads_the_test_digits_as_its_card_says():
    right = accuracy(*digits("test"))
    assert right == pytest.approx(read_card("judge")["metrics"]["test_accuracy"], abs=0.002)
    assert right >= 0.98


def test_shipped_judge_is_frozen_small_and_loaded_once():
    assert judge() is judge()
    assert not judge().training
    assert not any(parameter.requires_grad for parameter in judge().parameters())
    assert read_card("judge")["parameters"] * 2 <= 300_000  # bytes as float16


def test_accuracy_counts_what_is_read_as_asked():
    images, labels = digits("test")
    assert accuracy(images, (labels + 1) % 10) < 0.02
    half = torch.where(torch.arange(len(labels)) % 2 == 0, labels, (labels + 1) % 10)
    assert accuracy(images, half) == pytest.approx(0.5, abs=0.02)


def test_features_are_what_the_head_reads_whatever_the_size_of_a_piece():
    images, _ = digits("test")
    features = judge_features(images[:600])
    assert features.shape == (600, 64)
    torch.testing.assert_close(judge().head(features[:5]), judge()(images[:5]))


def test_a_judge_compiles_into_one_graph():
    """No value is looked at on the way, so nothing breaks the graph and nothing waits."""
    judge, (images, _) = Judge().eval(), digits("test")
    compiled = torch.compile(judge, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(images[:3]), judge(images[:3]))


# --- the Fréchet distance -----------------------------------------------------------------


def test_distance_of_one_dimension_is_the_closed_form():
    x = normal(50, 1)
    # (m - m')^2 + (s - s')^2 with m' = m + 3, s' = 2 s
    spread = x.std().item()
    expected = (x.mean().item() + 3) ** 2 + spread**2
    assert frechet_distance(x, 2 * x + 3) == pytest.approx(expected, rel=1e-5)


def test_distance_to_itself_is_zero_and_the_order_does_not_matter():
    a, b = normal(40, 5), normal(30, 5, seed=1) @ normal(5, 5, seed=2)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))


def test_distance_agrees_with_the_general_matrix_root():
    a, b = normal(60, 4).double(), (normal(60, 4, seed=1) @ normal(4, 4, seed=2)).double()
    values, vectors = torch.linalg.eig(a.T.cov() @ b.T.cov())
    root = (vectors @ torch.diag(values.sqrt()) @ torch.linalg.inv(vectors)).real
    shift = (a.mean(0) - b.mean(0)).square().sum()
    expected = shift + (a.T.cov() + b.T.cov() - 2 * root).trace()
    assert frechet_distance(a, b) == pytest.approx(expected.item())


def test_sets_that_do_not_fill_their_space_have_a_distance_too():
    line = normal(10, 1).expand(-1, 6)
    assert frechet_distance(line, line + 1) == pytest.approx(6, rel=1e-5)


def test_floor_falls_with_the_number_of_digits_and_has_a_spread():
    few, _ = floor(n=200, draws=3)
    many, spread = floor(n=1000, draws=3)
    assert 0 < many < few
    assert 0 < spread < many
    assert floor(n=200, draws=3)[0] == few
    assert floor(n=200) == floor(n=200, draws=10)
    assert floor(n=2, draws=2)[0] > few
    assert floor(n=4000, draws=2)[1] == pytest.approx(0, abs=1e-4)  # always all of them


def test_noise_and_a_class_left_out_are_farther_than_the_floor():
    images, labels = digits("test")
    features = judge_features(images)
    real, _ = floor(n=1000, draws=3)
    noisy = judge_features(images + 0.4 * normal(*images.shape))
    assert frechet_distance(features[labels != 3], features) > real / 2
    assert frechet_distance(noisy, features) > 3 * real


# --- copies -------------------------------------------------------------------------------


def test_nearest_finds_the_image_itself_and_measures_in_pixels():
    images, _ = digits("test")
    moved = images[7:9].clone()
    moved[:, 0, 0, 0] += 0.5
    distances, rows = nearest(moved, images)
    assert rows.tolist() == [7, 8]
    torch.testing.assert_close(distances, torch.full((2,), 0.5), atol=1e-3, rtol=0)


def test_copies_are_caught_and_unseen_digits_are_not():
    train, test = digits("train")[0], digits("test")[0]
    copies = train[::40] + 0.01 * normal(100, 1, 32, 32)
    assert share_of_copies(copies, train, test) == 1
    assert share_of_copies(test[1::2], train, test[::2]) < 0.03
    half = torch.cat([copies[:50], test[:50]])
    assert share_of_copies(half, train, test, false_alarms=0.002) == 0.5


# --- loss by t ----------------------------------------------------------------------------


def test_loss_by_t_takes_the_mean_over_the_same_noise_for_every_t():
    x0, seen = normal(6, 2), []

    def loss(x0, t, noise):
        seen.append(noise)
        return (t * noise.square().mean(dim=1)).mean()

    first, second = loss_by_t(loss, x0, (0.25, 0.5), draws=3)
    assert second == pytest.approx(2 * first)
    assert torch.equal(seen[0], seen[3]) and not torch.equal(seen[0], seen[1])
    assert loss_by_t(loss, x0, (0.25,), draws=3) == [first]


def test_loss_by_t_keeps_whole_time_steps_whole_and_tracks_no_gradient():
    layer = torch.nn.Linear(2, 2)

    def loss(x0, t, noise):
        assert t.dtype == torch.int64
        answer = layer(noise)
        assert not answer.requires_grad
        return answer.square().mean()

    assert len(loss_by_t(loss, normal(6, 2), (0, 999))) == 2


# --- refusals -----------------------------------------------------------------------------

IMAGES = torch.zeros(2, 1, 32, 32)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: Judge(width=0), "Judge: width is 0"),
        (lambda: judge()(torch.zeros(2, 1, 28, 28)), r"images has shape \(2, 1, 28, 28\)"),
        (lambda: judge_features(IMAGES[0]), r"images has shape \(1, 32, 32\)"),
        (lambda: judge_features(IMAGES * torch.nan), "images holds NaN"),
        (lambda: accuracy(IMAGES, torch.zeros(3)), r"accuracy: labels has shape \(3,\)"),
        (lambda: accuracy(IMAGES / 0, torch.zeros(2)), "accuracy: images holds NaN"),
        (
            lambda: frechet_distance(torch.zeros(1, 3), torch.zeros(5, 3)),
            "frechet_distance: features has 1 row",
        ),
        (
            lambda: frechet_distance(torch.zeros(5, 3), torch.zeros(5, 2)),
            "frechet_distance: features has width 3 and reference 2",
        ),
        (
            lambda: frechet_distance(torch.zeros(5, 3), torch.full((5, 3), torch.inf)),
            "frechet_distance: reference holds NaN",
        ),
        (lambda: floor(draws=1), "floor: draws is 1"),
        (lambda: floor(n=1), "floor: n is 1, expected at least 2"),
        (lambda: floor(n=5000), "floor: n is 5000, expected at most the 4000"),
        (lambda: nearest(IMAGES, IMAGES[..., 2:]), "nearest: references has shape"),
        (
            lambda: share_of_copies(IMAGES, IMAGES, IMAGES, false_alarms=1.0),
            "share_of_copies: false_alarms is 1.0",
        ),
        (lambda: loss_by_t(None, IMAGES, ()), "loss_by_t: times is empty"),
        (lambda: loss_by_t(None, IMAGES, (1,), draws=0), "loss_by_t: draws is 0"),
    ],
)
def test_wrong_input_gets_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
