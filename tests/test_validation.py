"""The refusals that every public function shares: what passes, and what the others are told."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dit_lesson.validation import divides, numbers, one_of, positive, require, shapes, within


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=4),
    st.sampled_from(["float16", "float32", "float64"]),
    st.booleans(),
)
def test_finite_arrays_and_tensors_pass_with_their_own_number_of_axes_only(shape, dtype, as_torch):
    value = torch.ones(shape, dtype=getattr(torch, dtype)) if as_torch else np.ones(shape, dtype)
    names = "A B C D".split()[: len(shape)]
    numbers("f", x=value)
    assert shapes("f", x=(value, " ".join(names))) == dict(zip(names, shape, strict=True))
    rest = shapes("f", x=(value, f"... {names[-1]}"))
    assert rest == {"...": tuple(shape[:-1]), names[-1]: shape[-1]}
    with pytest.raises(ValueError, match="^f: x has shape .* expected axes"):
        shapes("f", x=(value, " ".join([*names, "E"])))


@given(st.sampled_from([np.nan, np.inf, -np.inf]), st.integers(0, 11), st.booleans())
def test_one_bad_number_anywhere_is_found(bad, place, as_torch):
    value = np.zeros((3, 4))
    value.flat[place] = bad
    with pytest.raises(ValueError, match="^f: x holds NaN or infinite values, expected finite"):
        numbers("f", x=torch.tensor(value) if as_torch else value)


@pytest.mark.parametrize(
    ("value", "axes", "sentence"),
    [
        (None, "D", "f: x is a NoneType, expected an array or a tensor"),
        ([1.0], "D", "f: x is a list, expected an array or a tensor"),
        (np.float64(1), "... D", "f: x has shape (), expected axes (..., D)"),
        (np.ones((2, 3)), "B N D", "f: x has shape (2, 3), expected axes (B, N, D)"),
        (np.ones(2, int), "D", "f: x has dtype int64, expected a floating-point dtype"),
        (np.ones(2, bool), "D", "f: x has dtype bool, expected a floating-point dtype"),
        (np.ones(2, complex), "D", "f: x has dtype complex128, expected a floating-point dtype"),
        (torch.ones(2, dtype=torch.long), "D", "f: x has dtype torch.int64, expected a floating-"),
        (np.ones((0, 3)), "N D", "f: x is empty, its shape is (0, 3)"),
    ],
)
def test_the_sentence_says_what_came_and_what_was_expected(value, axes, sentence):
    with pytest.raises(ValueError) as refusal:
        shapes("f", x=(value, axes))
        numbers("f", x=value)
    assert str(refusal.value).startswith(sentence)


def test_a_tensor_without_numbers_is_checked_by_shape_alone():
    value = torch.ones(2, 3, device="meta")
    shapes("f", x=(value, "N D"))
    numbers("f", x=value)
    with pytest.raises(ValueError, match="expected axes"):
        shapes("f", x=(value, "D"))


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"x": ((2, 3), "B D"), "y": ((3,), "B")}, "f: y has shape (3,), expected (2,)"),
        (
            {"x": ((2, 3), "B ..."), "y": ((2, 4), "B ...")},
            "f: y has shape (2, 4), expected (2, 3)",
        ),
        ({"x": ((2,), "B ..."), "y": ((2, 4), "B ...")}, "f: y has shape (2, 4), expected (2,)"),
        ({"x": ((2, 5, 7), "B N 8")}, "f: x has shape (2, 5, 7), expected (B, N, 8)"),
        ({"x": ((2, 3), "... N D"), "y": ((4,), "... D")}, "f: y has shape (4,), expected (3,)"),
        ({"x": ((4,), "B p p")}, "f: x has shape (4,), expected axes (B, p, p)"),
        ({"x": ((4, 2, 3), "B p p")}, "f: x has shape (4, 2, 3), expected axes (B, p, p)"),
    ],
)
def test_a_letter_is_one_size_in_all_arguments(arrays, sentence):
    with pytest.raises(ValueError) as refusal:
        shapes("f", **{name: (np.ones(shape), axes) for name, (shape, axes) in arrays.items()})
    assert str(refusal.value) == sentence


def test_letters_that_fit_are_returned():
    found = shapes("f", x=(np.ones((2, 3, 4)), "B ..."), t=(np.ones(2), "B"))
    assert found == {"B": 2, "...": (3, 4)}


@given(st.integers(1))
def test_whole_numbers_of_at_least_one_pass(value):
    positive("f", n=value)


@pytest.mark.parametrize("value", [0, -3, 2.0, "2", None, True, np.float32(2)])
def test_other_sizes_are_refused(value):
    with pytest.raises(ValueError) as refusal:
        positive("f", n=value)
    assert str(refusal.value) == f"f: n is {value!r}, expected a whole number of at least 1"


def test_numpy_integers_are_whole_numbers():
    positive("f", n=np.int64(2))


def test_require_raises_only_when_the_condition_fails():
    require(True, "never seen")
    with pytest.raises(ValueError, match="^seen$"):
        require(False, "seen")


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: divides("f", p=4, side=8, other=6), "f: other 6 is not a multiple of p 4"),
        (lambda: divides("f", p=0, side=8), "f: p is 0, expected a whole number of at least 1"),
        (lambda: one_of("f", ("a", "b", "c"), x="d"), "f: x is 'd', expected 'a', 'b' or 'c'"),
        (lambda: within("f", 0, 1, p=1.5), "f: p is 1.5, expected a number from 0 to 1"),
        (lambda: within("f", 0, 1, p=np.nan), "f: p is nan, expected a number from 0 to 1"),
    ],
)
def test_options_divisors_and_ranges_have_their_sentences(call, sentence):
    with pytest.raises(ValueError) as refusal:
        call()
    assert str(refusal.value) == sentence


def test_what_fits_passes():
    divides("f", p=4, side=8)
    one_of("f", ("a", "b"), x="b")
    within("f", 0, 1, p=0, q=1)
