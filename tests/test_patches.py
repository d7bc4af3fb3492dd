import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from dit_lesson.patches import PatchEmbed, patchify, unpatchify

sizes = st.integers(1, 4)


@given(sizes, sizes, sizes, sizes, sizes, st.sampled_from([np.float16, np.float32, np.float64]))
def test_unpatchify_inverts_patchify_exactly(batch, channels, rows, columns, patch, dtype):
    shape = (batch, channels, rows * patch, columns * patch)
    images = np.random.default_rng(0).normal(size=shape).astype(dtype)
    tokens = patchify(images, patch)
    assert tokens.shape == (batch, rows * columns, patch * patch * channels)
    assert tokens.dtype == dtype
    assert np.array_equal(unpatchify(tokens, patch, *shape[2:]), images)
    assert np.array_equal(patchify(torch.tensor(images), patch).numpy(), tokens)


def test_tokens_and_features_are_where_the_docstring_says():
    images = np.random.default_rng(0).normal(size=(2, 3, 4, 6))
    tokens = patchify(images, 2)
    for i in range(2):
        for j in range(3):
            for q in range(2):
                for r in range(2):
                    for c in range(3):
                        expected = images[:, c, 2 * i + q, 2 * j + r]
                        assert np.array_equal(tokens[:, 3 * i + j, (2 * q + r) * 3 + c], expected)


@given(sizes, sizes, sizes)
def test_patch_embed_is_unfold_and_one_linear_layer(rows, columns, patch):
    torch.manual_seed(0)
    embed = PatchEmbed(patch, in_channels=3, hidden_size=8).double()
    images = torch.randn(2, 3, rows * patch, columns * patch, dtype=torch.float64)
    unfolded = F.unfold(images, patch, stride=patch).mT
    expected = F.linear(unfolded, embed.proj.weight.flatten(1), embed.proj.bias)
    torch.testing.assert_close(embed(images), expected, rtol=0, atol=1e-12)


IMAGES = np.zeros((1, 1, 8, 8))
TOKENS = np.zeros((1, 4, 16))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: patchify(IMAGES[:, :, :6], 4), "height 6 is not a multiple of patch_size 4"),
        (lambda: patchify(IMAGES[..., :7], 4), "width 7 is not a multiple of patch_size 4"),
        (lambda: patchify(IMAGES[0], 4), r"images has shape \(1, 8, 8\), expected axes \(B, C"),
        (lambda: patchify(IMAGES.astype(int), 4), "images has dtype int64, expected a floating"),
        (lambda: patchify(IMAGES * np.nan, 4), "images holds NaN"),
        (lambda: patchify(IMAGES[:0], 4), "images is empty"),
        (lambda: patchify(IMAGES.tolist(), 4), "images is a list, expected an array"),
        (lambda: patchify(IMAGES, 0), "patch_size is 0, expected a whole number of at least 1"),
        (lambda: patchify(IMAGES, 2.0), "patch_size is 2.0, expected a whole number"),
        (lambda: unpatchify(TOKENS, 4, 8, 12), "tokens holds 4 tokens, expected 6 for a 8x12"),
        (lambda: unpatchify(TOKENS[..., :15], 4, 8, 8), "tokens has 15 features, expected a mult"),
        (lambda: unpatchify(TOKENS, 4, 9, 8), "height 9 is not a multiple"),
        (lambda: PatchEmbed(4, 0, 8), "in_channels is 0"),
        (lambda: PatchEmbed(4, 1, 8)(torch.zeros(1, 2, 8, 8)), r"expected \(B, 1, H, W\)"),
        (lambda: PatchEmbed(3, 1, 8)(torch.zeros(1, 1, 8, 8)), "PatchEmbed: height 8"),
    ],
)
def test_wrong_input_gets_a_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
