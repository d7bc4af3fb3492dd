"""The refusals that every public function shares: what passes, and what the others are told."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dit_lesson.validation import require, require_array, require_positive_integer


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=4),
    st.sampled_from(["float16", "float32", "float64"]),
    st.booleans(),
)
def test_finite_arrays_and_tensors_pass_with_their_own_number_of_axes_only(shape, dtype, as_torch):
    value = torch.ones(shape, dtype=getattr(torch, dtype)) if as_torch else np.ones(shape, dtype)
    names = "A B C D".split()[: len(shape)]
    require_array("f", "x", value, " ".join(names))
    require_array("f", "x", value, f"... {names[-1]}")
    with pytest.raises(ValueError, match="^f: x has shape .* expected axes"):
        require_array("f", "x", value, " ".join([*names, "E"]))


@given(st.sampled_from([np.nan, np.inf, -np.inf]), st.integers(0, 11), st.booleans())
def test_one_bad_number_anywhere_is_found(bad, place, as_torch):
    value = np.zeros((3, 4))
    value.flat[place] = bad
    with pytest.raises(ValueError, match="^f: x holds NaN or infinite values, expected finite"):
        require_array("f", "x", torch.tensor(value) if as_torch else value, "N D")


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
        require_array("f", "x", value, axes)
    assert str(refusal.value).startswith(sentence)


def test_a_tensor_without_numbers_is_checked_by_shape_alone():
    require_array("f", "x", torch.ones(2, 3, device="meta"), "N D")
    with pytest.raises(ValueError, match="expected axes"):
        require_array("f", "x", torch.ones(2, device="meta"), "N D")


@given(st.integers(1))
def test_whole_numbers_of_at_least_one_pass(value):
    require_positive_integer("f", "n", value)


@pytest.mark.parametrize("value", [0, -3, 2.0, "2", None, True, np.float32(2)])
def test_other_sizes_are_refused(value):
    with pytest.raises(ValueError) as refusal:
        require_positive_integer("f", "n", value)
    assert str(refusal.value) == f"f: n is {value!r}, expected a whole number of at least 1"


def test_numpy_integers_are_whole_numbers():
    require_positive_integer("f", "n", np.int64(2))


def test_require_raises_only_when_the_condition_fails():
    require(True, "never seen")
    with pytest.raises(ValueError, match="^seen$"):
        require(False, "seen")
