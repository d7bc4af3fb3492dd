"""Sine-cosine positions: their geometry, their order, and an independent implementation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dit_lesson.positions import frequencies, sincos_1d, sincos_2d

EVEN = st.integers(1, 64).map(lambda half: 2 * half)
FOURS = st.integers(1, 32).map(lambda quarter: 4 * quarter)
SIDE = st.integers(1, 9)


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=8), EVEN)
@settings(max_examples=50, deadline=None)
def test_every_row_has_the_same_length(positions, hidden_size):
    table = sincos_1d(np.array(positions), hidden_size)
    assert table.shape == (len(positions), hidden_size) and table.dtype == np.float64
    np.testing.assert_allclose(np.linalg.norm(table, axis=1), np.sqrt(hidden_size / 2), rtol=1e-12)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(-20, 20), EVEN)
@settings(max_examples=50, deadline=None)
def test_dot_products_depend_on_the_offset_only(n, m, shift, hidden_size):
    here = sincos_1d(np.array([n, m]), hidden_size)
    there = sincos_1d(np.array([n + shift, m + shift]), hidden_size)
    np.testing.assert_allclose(here[0] @ here[1], there[0] @ there[1], atol=1e-10)


def test_a_shift_is_a_rotation():
    half, shift = 8, 5
    table = sincos_1d(np.arange(20), 2 * half)
    cos, sin = (np.diag(f(shift * frequencies(half))) for f in (np.cos, np.sin))
    rotation = np.block([[cos, sin], [-sin, cos]])
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(2 * half), atol=1e-14)
    np.testing.assert_allclose(table[shift:], table[:-shift] @ rotation.T, atol=1e-13)


def test_sines_come_first_and_the_frequencies_are_as_in_the_paper():
    origin = sincos_1d([0], 8)
    np.testing.assert_array_equal(origin, [[0, 0, 0, 0, 1, 1, 1, 1]])
    np.testing.assert_allclose(
        sincos_1d([3], 4)[0], np.sin([3, 0.03]).tolist() + np.cos([3, 0.03]).tolist()
    )
    np.testing.assert_allclose(frequencies(2, period=1.44), [1, 1 / 1.2])


@given(FOURS, SIDE, SIDE)
@settings(max_examples=50, deadline=None)
def test_the_first_half_is_the_column_and_the_second_the_row(hidden_size, height, width):
    half = hidden_size // 2
    grid = sincos_2d(hidden_size, height, width).reshape(height, width, hidden_size)
    columns, rows = sincos_1d(np.arange(width), half), sincos_1d(np.arange(height), half)
    np.testing.assert_array_equal(
        grid[..., :half], np.broadcast_to(columns, grid[..., :half].shape)
    )
    np.testing.assert_array_equal(
        grid[..., half:], np.broadcast_to(rows[:, None], grid[..., half:].shape)
    )


@given(FOURS, SIDE, SIDE)
@settings(max_examples=30, deadline=None)
def test_row_first_swaps_the_halves(hidden_size, height, width):
    column_first = sincos_2d(hidden_size, height, width)
    row_first = sincos_2d(hidden_size, height, width, first="row")
    np.testing.assert_array_equal(row_first, np.roll(column_first, hidden_size // 2, axis=1))


@pytest.mark.parametrize("side", [2, 7, 16])
def test_square_grids_agree_with_diffusers(side):
    from diffusers.models import embeddings

    theirs = embeddings.get_2d_sincos_pos_embed(48, side, base_size=side, output_type="pt")
    # they compute in float32
    np.testing.assert_allclose(sincos_2d(48, side, side), theirs.numpy(), atol=1e-5)


def test_other_frequencies_would_be_noticed():
    from diffusers.models import embeddings

    theirs = embeddings.get_2d_sincos_pos_embed(48, 7, base_size=7, output_type="pt").numpy()
    assert np.abs(sincos_2d(48, 7, 7, first="row") - theirs).max() > 0.5


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: sincos_1d(np.arange(3), 5), "sincos_1d: hidden_size is 5, expected an even"),
        (lambda: sincos_1d(np.arange(3), 0), "sincos_1d: hidden_size is 0, expected a whole"),
        (lambda: sincos_1d(np.array([np.nan]), 4), "sincos_1d: positions .* finite"),
        (lambda: sincos_1d(np.array([]), 4), r"sincos_1d: positions is empty"),
        (lambda: sincos_1d(np.zeros((2, 2)), 4), r"sincos_1d: positions has shape \(2, 2\)"),
        (lambda: sincos_1d(np.array(["a"]), 4), "sincos_1d: positions has dtype <U1"),
        (lambda: sincos_2d(6, 2, 2), "sincos_2d: hidden_size is 6, expected a multiple of 4"),
        (lambda: sincos_2d(8, 0, 2), "sincos_2d: height is 0"),
        (lambda: sincos_2d(8, 2, 2.5), "sincos_2d: width is 2.5"),
        (lambda: sincos_2d(8, 2, 2, first="w"), "sincos_2d: first is 'w', expected 'column' or"),
        (lambda: frequencies(4, 1.0), "frequencies: period is 1.0, expected a number above 1"),
    ],
)
def test_wrong_input_gets_a_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
