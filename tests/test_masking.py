"""Masked diffusion: tokens, noise, loss and walks against closed forms and exact models."""

import math
from itertools import permutations, product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dit_lesson.masking import (
    fit_codes,
    from_tokens,
    mask_tokens,
    masked_loss,
    one_hot,
    parallel,
    to_tokens,
    unmask,
)

seeds = st.integers(0, 1000)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed))


def even(*shape, seed=0):
    return torch.rand(*shape, generator=generator(seed))


def whole(count, *shape, seed=0):
    return torch.randint(count, shape, generator=generator(seed))


def a_joint(count, places, seed):
    """Some p of so many tokens, nowhere zero."""
    joint = even(*[count] * places, seed=seed).double() + 0.05
    return joint / joint.sum()


# --- from latents to tokens and back ----------------------------------------------------------


def error(vectors, codes):
    return torch.cdist(vectors, codes).min(dim=1).values.square().mean().item()


def test_no_round_raises_the_error_and_the_first_ones_lower_it():
    vectors = draw(400, 3).double()
    errors = [error(vectors, fit_codes(vectors, 8, generator(), n)) for n in range(1, 21)]
    assert all(later <= earlier + 1e-12 for earlier, later in zip(errors, errors[1:], strict=False))
    assert errors[0] > errors[1] > errors[2] > errors[3]


def test_the_codes_move_20_times():
    vectors = draw(2000, 3).double()
    found = fit_codes(vectors, 16, generator())
    assert torch.equal(found, fit_codes(vectors, 16, generator(), rounds=20))
    assert not torch.equal(found, fit_codes(vectors, 16, generator(), rounds=21))


def test_in_the_end_every_code_is_the_mean_of_the_vectors_nearest_to_it():
    vectors = draw(100, 2).double()
    codes = fit_codes(vectors, 30, generator(1))
    nearest = torch.cdist(vectors, codes).argmin(dim=1)
    assert nearest.bincount(minlength=30).min() == 1  # even where that is a mean of one
    for k, code in enumerate(codes):
        torch.testing.assert_close(code, vectors[nearest == k].mean(dim=0))


def test_one_round_from_a_vector_gives_the_mean_of_all():
    vectors = torch.tensor([[0.0, 1.0], [2.0, 3.0], [7.0, 2.0]])
    codes = fit_codes(vectors, 1, generator(), rounds=1)
    torch.testing.assert_close(codes, torch.tensor([[3.0, 2.0]]))


def test_the_generator_picks_the_first_codes_and_the_vectors_stay():
    vectors = draw(50, 2)
    before = vectors.clone()
    one, again, other = (fit_codes(vectors, 4, generator(seed), 1) for seed in (0, 0, 1))
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert torch.equal(vectors, before)


def test_a_code_without_vectors_stays_where_it_is():
    vectors = torch.tensor([[1.0, 0.0]] * 3 + [[5.0, 5.0]])  # of equal codes one has all
    assert torch.equal(fit_codes(vectors, 4, generator()).sort(dim=0).values, vectors)


@given(st.integers(1, 20), seeds)
def test_tokens_are_inverse_to_latents_that_are_codes(count, seed):
    codes = draw(count, 3, seed=seed)
    tokens = whole(count, 2, 3, 4, seed=seed)
    z = from_tokens(tokens, codes)
    assert z.shape == (2, 3, 3, 4)
    assert torch.equal(to_tokens(z, codes), tokens)
    assert torch.equal(from_tokens(to_tokens(z, codes), codes), z)


def test_a_token_is_the_number_of_the_nearest_code():
    codes = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.0, 3.0]])
    z = torch.tensor([[[[0.2, 0.9], [0.1, 0.6]], [[0.3, 0.8], [2.1, 0.2]]]])  # (1, 2, 2, 2)
    assert to_tokens(z, codes).tolist() == [[[0, 1], [2, 0]]]


def test_a_mask_decodes_to_zeros_and_nothing_else_does():
    codes = draw(4, 3)
    z = from_tokens(torch.tensor([[[4, 0], [3, 4]]]), codes)[0]
    assert not z[:, 0, 0].any() and not z[:, 1, 1].any()
    assert torch.equal(z[:, 0, 1], codes[0]) and torch.equal(z[:, 1, 0], codes[3])


@pytest.mark.parametrize("shape", [(5,), (2, 7), (2, 3, 4)], ids=str)
def test_a_linear_layer_of_ones_and_zeros_looks_a_vector_up(shape):
    tokens = whole(7, *shape)  # 6 codes and the mask
    x = one_hot(tokens, 6)
    assert x.shape == (shape[0], 7, *shape[1:]) and x.dtype == torch.float32
    assert torch.equal(x.argmax(dim=1), tokens) and (x.sum(dim=1) == 1).all()
    torch.manual_seed(0)
    layer = nn.Linear(7, 5, bias=False)
    torch.testing.assert_close(layer(x.movedim(1, -1)), layer.weight.T[tokens])


# --- noise ------------------------------------------------------------------------------------


def test_t_is_the_share_that_is_hidden():
    t = torch.tensor([0.1, 0.5, 0.9])
    x = mask_tokens(whole(4, 3, 100, 200), t, even(3, 100, 200, seed=1), mask=4)
    assert (x == 4).double().mean(dim=(1, 2)).tolist() == pytest.approx(t.tolist(), abs=0.01)


@given(seeds)
def test_at_0_nothing_is_hidden_and_at_1_everything_is(seed):
    tokens, noise = whole(4, 2, 5, seed=seed), even(2, 5, seed=seed)
    noise[0, 0] = 0
    assert torch.equal(mask_tokens(tokens, torch.zeros(2), noise, 4), tokens)
    assert (mask_tokens(tokens, torch.ones(2), noise, 4) == 4).all()


@given(st.floats(0, 1, width=32), st.floats(0, 1, width=32), seeds)
def test_a_larger_t_hides_what_a_smaller_hid_and_what_is_there_is_true(t, other, seed):
    tokens, noise = whole(4, 1, 50, seed=seed), even(1, 50, seed=seed + 1)
    early, late = (
        mask_tokens(tokens, torch.tensor([value]), noise, 9) for value in sorted((t, other))
    )
    assert ((early == 9) <= (late == 9)).all()
    assert torch.equal(late[late != 9], tokens[late != 9])


def test_every_sample_has_its_own_t():
    noise = torch.tensor([[0.2, 0.5, 0.8]]).expand(2, 3)
    x = mask_tokens(torch.tensor([[1, 2, 3], [3, 2, 1]]), torch.tensor([0.5, 0.6]), noise, mask=7)
    assert x.tolist() == [[7, 2, 3], [7, 7, 1]]  # what is drawn as t itself is not hidden


# --- loss -------------------------------------------------------------------------------------

LOGITS = torch.tensor([[0.5, 0.25], [0.25, 0.25], [0.25, 0.5], [7.0, 9.0]]).log()[None]
PAIR = torch.tensor([[0, 2]])  # p = 1/2 for both


def test_the_loss_of_two_tokens_by_hand():
    t = torch.tensor([0.4])
    both, one = torch.tensor([[True, True]]), torch.tensor([[True, False]])
    assert masked_loss(LOGITS, PAIR, both, t).item() == pytest.approx(math.log(2) / 0.4)
    assert masked_loss(LOGITS, PAIR, one, t).item() == pytest.approx(math.log(2) / 2 / 0.4)
    other = masked_loss(LOGITS, torch.tensor([[1, 0]]), both, t).item()
    assert other == pytest.approx(math.log(4) / 0.4)


def test_every_sample_is_weighted_by_its_own_t():
    logits, tokens = LOGITS.expand(2, -1, -1), PAIR.expand(2, -1)
    hidden = torch.tensor([[True, True], [False, True]])
    loss = masked_loss(logits, tokens, hidden, torch.tensor([0.5, 0.1])).item()
    assert loss == pytest.approx((math.log(2) / 0.5 + math.log(2) / 2 / 0.1) / 2)


def test_without_t_it_is_the_mean_over_the_hidden_tokens_alone():
    logits = LOGITS.expand(2, -1, -1)
    tokens, hidden = torch.tensor([[0, 1], [1, 1]]), torch.tensor([[True, True], [False, True]])
    expected = (math.log(2) + 2 * math.log(4)) / 3
    assert masked_loss(logits, tokens, hidden).item() == pytest.approx(expected)
    one = torch.tensor([[False, False], [False, True]])
    assert masked_loss(logits, tokens, one).item() == pytest.approx(math.log(4))
    assert masked_loss(logits, tokens, torch.zeros(2, 2).bool()).item() == 0


@pytest.mark.parametrize("count", [2, 256])
def test_a_model_without_an_opinion_has_a_loss_of_log_k(count):
    tokens = whole(count, 3, 4, 4)
    logits, hidden = torch.zeros(3, count + 1, 4, 4), torch.ones(3, 4, 4).bool()
    for t in (None, torch.ones(3)):
        assert masked_loss(logits, tokens, hidden, t).item() == pytest.approx(math.log(count))


@given(st.floats(0.01, 1), seeds)
def test_at_every_t_the_mean_of_the_loss_is_the_cross_entropy_where_context_is_ignored(t, seed):
    """Over all ways to hide three tokens, each with its probability: 1/t makes up for the rest."""
    tokens, logits = whole(4, 1, 3, seed=seed), draw(1, 5, 3, seed=seed).double()
    mean, time = 0.0, torch.tensor([t], dtype=torch.float64)
    for hidden in product((True, False), repeat=3):
        share = t ** sum(hidden) * (1 - t) ** (3 - sum(hidden))
        mean += share * masked_loss(logits, tokens, torch.tensor([hidden]), time).item()
    expected = nn.functional.cross_entropy(logits[:, :4], tokens).item()
    assert mean == pytest.approx(expected)


def test_neither_the_logit_of_the_mask_nor_what_is_there_is_read():
    tokens, hidden = whole(4, 2, 6), even(2, 6) < 0.5
    logits, t = draw(2, 5, 6).requires_grad_(), torch.tensor([0.3, 0.8])
    for time in (t, None):
        (gradient,) = torch.autograd.grad(masked_loss(logits, tokens, hidden, time), logits)
        assert not gradient[:, -1].any()
        read = gradient[:, :-1].abs().sum(dim=1) > 0
        assert torch.equal(read, hidden) and hidden.any() and not hidden.all()


# --- sampling ---------------------------------------------------------------------------------


def told(logits):
    """A model that always answers the same."""
    return lambda x, t: logits.expand(len(x), *logits.shape)


def exact(joint):
    """The model that knows p: at a hidden place, p of its token given those that are there."""
    count, places = len(joint), joint.ndim

    def model(x, t):
        there = x[:, :count] + x[:, count:]  # (B, K, N): 1 for what is possible
        logits = torch.full_like(x, 9.0)  # that of the mask, which nobody may read
        possible = joint[None].float()
        for place in range(places):
            shape = [len(x)] + [count if axis == place else 1 for axis in range(places)]
            possible = possible * there[:, :, place].reshape(shape)
        for place in range(places):
            rest = [axis + 1 for axis in range(places) if axis != place]
            logits[:, :count, place] = possible.sum(dim=rest).log()
        return logits

    return model


def hidden(samples, *shape, count):
    return torch.full((samples, *shape), count)


@pytest.mark.parametrize("order", ["random", "confidence"])
@given(st.integers(1, 12), seeds)
def test_every_token_is_shown_once_and_stays_and_an_equal_share_comes_at_every_step(
    order, steps, seed
):
    start = hidden(3, 3, 4, count=5)
    model = told(draw(6, 3, 4, seed=seed))
    noise = even(steps, 2, 3, 3, 4, seed=seed)
    path = [start, *unmask(model, start, 5, noise, order)]
    assert len(path) == steps + 1 and (start == 5).all()
    for before, after in zip(path, path[1:], strict=False):
        assert torch.equal(after[before != 5], before[before != 5])
    left = torch.stack([(x == 5).flatten(1).sum(dim=1) for x in path])  # (steps + 1, 3)
    assert (left == left[:, :1]).all() and left[-1, 0] == 0
    shown = (-left[:, 0].diff()).tolist()
    assert max(shown) - min(shown) <= 1 and shown == sorted(shown, reverse=True)
    assert path[-1].max() < 5


@pytest.mark.parametrize(("places", "steps", "left"), [(5, 3, [3, 1, 0]), (16, 8, None)])
def test_so_many_are_hidden_after_each_step(places, steps, left):
    start = hidden(1, places, count=2)
    path = unmask(told(torch.zeros(3, places)), start, 2, even(steps, 2, 1, places))
    assert [int((x == 2).sum()) for x in path] == (left or list(range(14, -1, -2)))


def test_what_was_there_at_the_start_stays_though_the_model_would_have_it_otherwise():
    start = torch.tensor([[3, 1, 3, 0], [0, 3, 2, 3]])
    logits = torch.zeros(4, 4)
    logits[2] = 50  # it always wants a 2, and is sure
    for order in ("random", "confidence"):
        noise = torch.full((2, 2, 2, 4), 0.5)
        noise[:, 1] = 0  # an order in which all are last
        *_, last = unmask(told(logits), start, 3, noise, order)
        assert last.tolist() == [[2, 1, 2, 0], [0, 2, 2, 2]]
    assert start.tolist() == [[3, 1, 3, 0], [0, 3, 2, 3]]


def test_a_token_is_the_first_code_at_which_the_sum_of_probabilities_passes_u():
    logits = torch.tensor([0.2, 0.5, 0.3, 1000.0]).log()[:, None].expand(4, 5)
    u = torch.tensor([0.1, 0.25, 0.65, 0.75, 0.99])
    noise = torch.stack([u, torch.zeros(5)])[None, :, None]
    (tokens,) = unmask(told(logits), hidden(1, 5, count=3), 3, noise)
    assert tokens.tolist() == [[0, 1, 1, 2, 2]]


def test_a_code_of_probability_zero_is_not_drawn_even_by_a_u_of_zero():
    logits = torch.tensor([-torch.inf, 0.0, 0.0, 0.0])[:, None]
    (tokens,) = unmask(told(logits), hidden(1, 1, count=3), 3, torch.zeros(1, 2, 1, 1))
    assert tokens.tolist() == [[1]]


def test_a_sum_of_probabilities_that_is_rounded_below_u_gives_the_last_code():
    count, u = 100, 1 - 2**-24  # the largest below 1
    logits = draw(count + 1, 20)
    short = logits[:-1].softmax(dim=0).cumsum(dim=0)[-1] < u
    assert short.any()
    noise = torch.full((1, 2, 1, 20), u)
    (tokens,) = unmask(told(logits), hidden(1, 20, count=count), count, noise)
    assert (tokens[0, short] == count - 1).all()


def test_in_a_random_order_the_places_with_the_highest_numbers_come_first():
    places = torch.tensor([[0.3, 0.9, 0.1, 0.5], [0.8, 0.2, 0.6, 0.4]])
    noise = torch.stack([torch.full_like(places, 0.5), places])[None].expand(4, 2, 2, 4)
    path = list(unmask(told(draw(3, 4)), hidden(2, 4, count=2), 2, noise))
    assert [(x == 2).int().tolist() for x in path] == [
        [[1, 0, 1, 1], [0, 1, 1, 1]],
        [[1, 0, 1, 0], [0, 1, 0, 1]],
        [[0, 0, 1, 0], [0, 1, 0, 0]],
        [[0, 0, 0, 0], [0, 0, 0, 0]],
    ]


def test_by_confidence_the_drawn_tokens_that_were_likeliest_come_first():
    p = torch.tensor([[0.9, 0.6, 0.2, 0.5], [0.1, 0.4, 0.8, 0.5], [0.7, 0.7, 0.7, 0.7]])
    u = torch.tensor([[0.95, 0.5, 0.5, 0.4]])  # draws 1 (of 0.1), 0 (0.6), 1 (0.8), 0 (0.5)
    noise = torch.stack([u, even(1, 4)])[None].expand(4, 2, 1, 4)
    path = list(unmask(told(p.log()), hidden(1, 4, count=2), 2, noise, "confidence"))
    assert [x.tolist() for x in path] == [
        [[2, 2, 1, 2]],
        [[2, 0, 1, 2]],
        [[2, 0, 1, 0]],
        [[1, 0, 1, 0]],
    ]


def test_the_model_sees_what_is_there_is_never_told_a_time_and_is_asked_once_a_step():
    asked = []

    def model(x, t):
        asked.append((x, t, torch.is_grad_enabled()))
        return draw(2, 4, 6)

    start = hidden(2, 6, count=3)
    path = [start, *unmask(model, start, 3, even(3, 2, 2, 6))]
    assert len(asked) == 3
    for (x, t, gradients), tokens in zip(asked, path, strict=False):
        assert torch.equal(x, one_hot(tokens, 3))
        assert t.tolist() == [0, 0] and not gradients


def test_the_noise_fixes_the_tokens():
    start = hidden(4, 6, count=3)
    noises = [even(3, 2, 4, 6, seed=seed) for seed in (0, 0, 1)]
    ends = [list(unmask(told(draw(4, 6)), start, 3, noise))[-1] for noise in noises]
    assert torch.equal(ends[0], ends[1]) and not torch.equal(ends[0], ends[2])


AB_OR_BA = torch.tensor([[0.0, 0.5], [0.5, 0.0]])


@pytest.mark.parametrize("order", ["random", "confidence"])
def test_two_steps_paint_only_ab_and_ba_and_one_step_paints_all_four_alike(order):
    grid = torch.tensor(list(product((0.2, 0.4, 0.6, 0.8), repeat=2)))  # u of both places
    noise = torch.stack([grid, even(16, 2)]).expand(2, 2, 16, 2)
    start = hidden(16, 2, count=2)

    def share(steps):
        *_, tokens = unmask(exact(AB_OR_BA), start, 2, noise[:steps], order)
        return torch.stack([(tokens == torch.tensor(pair)).all(dim=1) for pair in PAIRS]).sum(dim=1)

    assert share(1).tolist() == [4, 4, 4, 4]
    assert share(2).tolist() == [0, 8, 8, 0]


PAIRS = list(product((0, 1), repeat=2))


@pytest.mark.parametrize("groups", [[(0, 1, 2)], [(1, 2), (0,)], [(2,), (0,), (1,)]], ids=str)
def test_a_walk_with_an_exact_model_paints_what_parallel_says(groups):
    joint, samples = a_joint(2, 3, seed=3), 40_000
    rank = torch.zeros(3)
    for number, group in enumerate(groups):
        rank[list(group)] = 1 - number / 4
    steps = len(groups)
    noise = torch.stack([even(steps, samples, 3), rank.expand(steps, samples, 3)], dim=1)
    *_, tokens = unmask(exact(joint), hidden(samples, 3, count=2), 2, noise)
    found = torch.bincount((tokens * torch.tensor([4, 2, 1])).sum(dim=1), minlength=8) / samples
    q = parallel(joint, groups).flatten()
    assert (found - q).abs().max() < 0.01
    if steps < 3:
        assert (q - joint.flatten()).abs().max() > 0.02


# --- exactly ----------------------------------------------------------------------------------


@given(st.integers(2, 3), st.integers(1, 3), seeds)
def test_one_group_of_all_is_the_product_of_the_shares_of_each_token(count, places, seed):
    joint = a_joint(count, places, seed)
    expected = torch.ones_like(joint)
    for place in range(places):
        rest = [axis for axis in range(places) if axis != place]
        expected = expected * (joint.sum(dim=rest, keepdim=True) if rest else joint)
    torch.testing.assert_close(parallel(joint, [tuple(range(places))]), expected)


@given(st.integers(2, 3), seeds, st.sampled_from(list(permutations(range(3)))))
def test_one_token_a_group_gives_p_back_in_any_order(count, seed, order):
    joint = a_joint(count, 3, seed)
    torch.testing.assert_close(parallel(joint, [(token,) for token in order]), joint)


def test_what_has_probability_zero_in_p_is_no_nan():
    joint = torch.zeros(2, 2, 2)
    joint[0, 0, 1] = joint[1, 0, 0] = 0.5
    assert torch.equal(parallel(joint, [(1,), (0,), (2,)]), joint)


@pytest.mark.parametrize("count", [2, 3])
def test_after_a_context_that_p_never_has_a_token_is_drawn_evenly(count):
    joint = torch.zeros(2, 2, count)
    joint[0, 1, 0] = joint[1, 0, 1] = 0.5
    q = parallel(joint, [(0, 1), (2,)])  # a quarter each for AA, AB, BA and BB
    assert q[0, 0].tolist() == q[1, 1].tolist() == pytest.approx([0.25 / count] * count)
    assert q.sum().item() == pytest.approx(1)


@given(seeds)
def test_a_group_knows_what_came_before_it_and_nothing_of_itself(seed):
    joint = a_joint(2, 3, seed)
    q = parallel(joint, [(1,), (0, 2)])
    first = joint.sum(dim=(0, 2))
    for a, b, c in product((0, 1), repeat=3):
        expected = joint[a, b].sum() * joint[:, b, c].sum() / first[b]
        assert q[a, b, c].item() == pytest.approx(expected.item())
    torch.testing.assert_close(q.sum(), torch.tensor(1.0, dtype=torch.float64))


def test_a_product_by_hand():
    joint = torch.tensor([[0.1, 0.3], [0.4, 0.2]])
    assert parallel(joint, [(0, 1)]).flatten().tolist() == pytest.approx([0.2, 0.2, 0.3, 0.3])
    assert parallel(AB_OR_BA, [(0, 1)]).flatten().tolist() == [0.25] * 4
    assert torch.equal(parallel(AB_OR_BA, [(1,), (0,)]), AB_OR_BA)


# --- refusals ---------------------------------------------------------------------------------


def walk(tokens, noise, order="random"):
    return list(unmask(told(torch.zeros(3, 4)), tokens, 2, noise, order))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: fit_codes(draw(3, 2), 4, generator()),
            "fit_codes: count is 4, expected at most the 3 vectors",
        ),
        (lambda: fit_codes(draw(3, 2), 0, generator()), "fit_codes: count is 0, expected"),
        (lambda: fit_codes(draw(3, 2), 1, generator(), 0), "fit_codes: rounds is 0, expected"),
        (lambda: fit_codes(draw(3), 1, generator()), r"fit_codes: vectors has shape \(3,\)"),
        (lambda: fit_codes(draw(3, 2) / 0, 1, generator()), "fit_codes: vectors holds NaN or inf"),
        (
            lambda: to_tokens(draw(2, 3, 4, 4), draw(5, 2)),
            r"to_tokens: codes has shape \(5, 2\), expected \(K, 3\)",
        ),
        (lambda: from_tokens(whole(4, 1, 3, 3), draw(5)), r"from_tokens: codes has shape \(5,\)"),
        (lambda: from_tokens(whole(4, 3), draw(5, 2)), r"from_tokens: tokens has shape \(3,\)"),
        (lambda: one_hot([1], 2), "one_hot: tokens is a list"),
        (
            lambda: mask_tokens(whole(4, 2, 3), torch.ones(2), even(2, 4), 4),
            r"mask_tokens: noise has shape \(2, 4\), expected \(2, 3\)",
        ),
        (
            lambda: mask_tokens(whole(4, 2, 3), torch.ones(3), even(2, 3), 4),
            r"mask_tokens: t has shape \(3,\), expected \(2,\)",
        ),
        (
            lambda: masked_loss(draw(2, 4, 3), whole(3, 2, 3), torch.ones(2, 2)),
            r"masked_loss: hidden has shape \(2, 2\), expected \(2, 3\)",
        ),
        (
            lambda: walk(hidden(2, 4, count=2), even(2, 2, 2, 4), "left to right"),
            "unmask: order is 'left to right', expected 'random' or 'confidence'",
        ),
        (
            lambda: walk(hidden(2, 4, count=2), even(5, 2, 2, 4)),
            "unmask: noise has 5 steps, expected from 1 to 4",
        ),
        (
            lambda: walk(torch.tensor([[2, 0, 1, 2]]), even(3, 2, 1, 4)),
            "unmask: noise has 3 steps, expected from 1 to 2",
        ),
        (
            lambda: walk(hidden(2, 4, count=2), even(2, 1, 2, 4)),
            r"unmask: noise has shape \(2, 1, 2, 4\), expected \(n, 2, 2, 4\)",
        ),
        (
            lambda: walk(torch.tensor([[2, 2, 0, 0], [2, 0, 0, 0]]), even(1, 2, 2, 4)),
            "unmask: the samples have different numbers of hidden tokens, expected the same",
        ),
        (
            lambda: parallel(AB_OR_BA, [(0,)]),
            r"parallel: groups is \[\(0,\)\], expected each of 2 tokens in one group",
        ),
        (lambda: parallel(AB_OR_BA, [(0, 1), (1,)]), "expected each of 2 tokens in one group"),
        (lambda: parallel(AB_OR_BA, [(0, 2)]), "expected each of 2 tokens in one group"),
    ],
)
def test_wrong_input_gets_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
