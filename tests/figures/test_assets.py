"""Packed tensors: what Python packs, Python and the page unpack alike."""

import base64
import json

import numpy as np
import pytest
import torch

from dit_lesson.checkpoints import load_weights
from dit_lesson.figures.assets import packed, packed_weights, unpacked
from dit_lesson.figures.base import HERE
from tests import javascript

SAFETENSORS = (HERE / "core" / "safetensors.mjs").as_uri()


def read_on_the_page(content):
    """The tensors as the page reads them."""
    program = (
        f'import {{ readTensors }} from "{SAFETENSORS}";\n'
        "const text = await new Response(Deno.stdin.readable).text();\n"
        "const bytes = Uint8Array.from(atob(text), (byte) => byte.charCodeAt(0));\n"
        "console.log(JSON.stringify(readTensors(bytes), (_, v) =>\n"
        "  ArrayBuffer.isView(v) ? [...v] : v));\n"
    )
    return json.loads(javascript.run(program, base64.b64encode(content).decode()))


@pytest.mark.parametrize("bits", [16, 8, 4])
def test_page_and_python_read_the_same_numbers(bits):
    content = packed_weights("caption-dit", bits=bits)
    there, here = read_on_the_page(content), unpacked(content)
    assert set(there) == set(here) == set(load_weights("caption-dit"))
    for name, value in here.items():
        assert there[name]["shape"] == list(value.shape)
        np.testing.assert_allclose(there[name]["data"], value.flatten(), rtol=1e-7, atol=0)


def test_eight_bits_move_no_weight_by_more_than_half_a_step():
    shipped = load_weights("caption-dit")
    for name, value in unpacked(packed_weights("caption-dit", bits=8)).items():
        step = shipped[name].abs().max().double() / 127
        assert (value - shipped[name]).abs().max() <= step / 2 * 1.001


def test_only_what_is_kept_is_packed():
    content = packed_weights("vit", keep=lambda name: name.startswith("head"))
    assert set(unpacked(content)) == {"head.weight", "head.bias"}


def test_other_numbers_of_bits_are_refused():
    with pytest.raises(ValueError, match="packed: bits is 5, expected 16, 8 or 4"):
        packed({"x": torch.ones(2)}, bits=5)


def test_half_floats_equal_numpy():
    bits = [0, 1, 0x03FF, 0x0400, 0x3C00, 0xBC00, 0x7BFF, 0x8001, 0x3555]
    results = javascript.call(SAFETENSORS, [("halfFloat", value) for value in bits])
    expected = np.array(bits, np.uint16).view(np.float16).astype(float)
    np.testing.assert_array_equal(results, expected)
