"""The modules of core/ against NumPy and torch: one set of vectors, three implementations."""

import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dit_lesson import numpy_dit
from dit_lesson.counting import dit_ledger, total
from dit_lesson.diffusion import alpha_bar, linear_betas
from dit_lesson.figures.base import HERE
from dit_lesson.models import DESIGNS, DiTConfig
from dit_lesson.patches import patchify
from dit_lesson.positions import sincos_1d, sincos_2d
from tests import javascript

random = np.random.default_rng(0)
X = random.normal(size=(5, 8))
X[2] = 3.0  # a row without variance
FAR = X + 1e6  # cancellation would show here
SHIFT, SCALE = random.normal(size=(2, 8))
WEIGHT, BIAS = random.normal(size=(6, 8)), random.normal(size=6)
Q, K, V = random.normal(size=(3, 5, 8))
KEYS2, VALUES2 = random.normal(size=(2, 3, 8))
IMAGE = random.normal(size=(6, 4))
BETAS = np.linspace(1e-4, 2e-2, 30)


MODULES = {path.stem: path.read_text(encoding="utf-8") for path in (HERE / "core").glob("*.mjs")}


def call(calls):
    """The results of functions, each from the module of core/ that exports it."""
    results = []
    for name, *arguments in calls:
        (module,) = [m for m, code in MODULES.items() if f"export function {name}(" in code]
        results += javascript.call(f"core/{module}", [(name, *arguments)])
    return results


def heads(rows, count=2):
    return torch.tensor(rows).reshape(len(rows), count, -1).transpose(0, 1)


def attend(q, k, v, count=2):
    out = F.scaled_dot_product_attention(heads(q, count), heads(k, count), heads(v, count))
    return out.transpose(0, 1).reshape(len(q), -1).numpy()


CASES = {
    "layerNorm": (
        ("layerNorm", X),
        numpy_dit.layer_norm(X),
        F.layer_norm(torch.tensor(X), (8,), eps=1e-6),
    ),
    "layerNorm, large mean": (
        ("layerNorm", FAR),
        numpy_dit.layer_norm(FAR),
        F.layer_norm(torch.tensor(FAR), (8,), eps=1e-6),
    ),
    "modulate": (
        ("modulate", X, SHIFT, SCALE),
        numpy_dit.modulate(X, SHIFT, SCALE),
        torch.tensor(X) * (1 + torch.tensor(SCALE)) + torch.tensor(SHIFT),
    ),
    "silu": (("silu", X[0]), numpy_dit.silu(X[0]), F.silu(torch.tensor(X[0]))),
    "gelu": (("gelu", X[0]), None, F.gelu(torch.tensor(X[0]), approximate="tanh")),
    "linear": (
        ("linear", X, WEIGHT, BIAS),
        numpy_dit.linear(X, WEIGHT, BIAS),
        F.linear(torch.tensor(X), torch.tensor(WEIGHT), torch.tensor(BIAS)),
    ),
    "softmax": (("softmax", X[0]), None, torch.softmax(torch.tensor(X[0]), 0)),
    "timestepEmbedding": (
        ("timestepEmbedding", 637, 16),
        numpy_dit.timestep_embedding(np.array([637.0]), 16)[0],
        None,
    ),
    "positionEmbedding": (
        ("positionEmbedding", 37.5, 16, 500),
        sincos_1d([37.5], 16, period=500)[0],
        None,
    ),
    "gridEmbedding": (("gridEmbedding", 3, 5, 12), sincos_2d(12, 3, 5), None),
    "linearBetas": (("linearBetas", 100), None, linear_betas(100)),
    "linearBetas, not rescaled": (
        ("linearBetas", 100, False),
        None,
        linear_betas(100, rescale=False),
    ),
    "alphaBar": (("alphaBar", BETAS), np.cumprod(1 - BETAS), alpha_bar(torch.tensor(BETAS))),
    "mix": (("mix", 0.6, X, -0.8, FAR), 0.6 * X - 0.8 * FAR, None),
    "patchify": (("patchify", IMAGE, 2), patchify(IMAGE[None, None], 2)[0], None),
}


@pytest.fixture(scope="module")
def javascript_results():
    calls = [
        tuple(a.tolist() if isinstance(a, np.ndarray) else a for a in call)
        for call, _, _ in CASES.values()
    ]
    return dict(zip(CASES, call(calls), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_javascript_equals_numpy_and_torch(name, javascript_results):
    _, *references = CASES[name]
    for reference in references:
        if reference is not None:
            expected = np.asarray(reference)
            np.testing.assert_allclose(javascript_results[name], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("queries", "keys", "values"), [(Q, K, V), (Q, KEYS2, VALUES2)], ids=["self", "cross"]
)
def test_attention_equals_torch(queries, keys, values):
    rows = [a.tolist() for a in (queries, keys, values)]
    one, two = call([("multiHeadAttention", *rows), ("multiHeadAttention", *rows, 2)])
    np.testing.assert_allclose(one, attend(queries, keys, values, 1), atol=1e-5)
    np.testing.assert_allclose(two, attend(queries, keys, values, 2), atol=1e-5)


def test_self_attention_mlp_and_gate_equal_numpy():
    size = {"attn.qkv": (24, 8), "attn.proj": (8, 8), "mlp.fc1": (32, 8), "mlp.fc2": (8, 32)}
    weights = {f"{name}.weight": random.normal(size=shape) for name, shape in size.items()}
    weights |= {f"{name}.bias": random.normal(size=rows) for name, (rows, _) in size.items()}
    plain = {name: value.tolist() for name, value in weights.items()}
    attended, transformed, added = call(
        [
            ("selfAttention", X.tolist(), plain, 2),
            ("mlp", X.tolist(), plain),
            ("gated", X.tolist(), FAR.tolist(), SHIFT.tolist()),
        ],
    )
    expected = numpy_dit.self_attention(X[None], numpy_dit.below(weights, "attn"), 2)[0]
    np.testing.assert_allclose(attended, expected, rtol=0, atol=1e-5)
    expected = numpy_dit.mlp(X, numpy_dit.below(weights, "mlp"))
    np.testing.assert_allclose(transformed, expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(added, X + SHIFT * FAR, rtol=0, atol=1e-5)


@pytest.mark.parametrize("order", ["p,p,C", "C,p,p"])
def test_patches_of_channels_equal_numpy(order):
    """Not square, and with a batch of one: what the figure's square latent cannot show."""
    image = random.normal(size=(3, 4, 6))
    tokens = patchify(image[None], 2)[0]
    if order == "C,p,p":
        tokens = tokens.reshape(6, 4, 3).swapaxes(1, 2).reshape(6, 12)
    cut, back = call(
        [
            ("patchifyChannels", image.tolist(), 2, order),
            ("unpatchify", tokens.tolist(), 2, 4, 6, order),
        ]
    )
    assert np.array_equal(cut, tokens)
    assert np.array_equal(back, image)


def test_the_designs_are_those_of_python():
    address = (HERE / "core" / "parameters.mjs").as_uri()
    printed = javascript.run(f'console.log(JSON.stringify((await import("{address}")).DESIGNS))')
    assert json.loads(printed) == {
        name: {
            "inSequence": design.in_sequence,
            "lookedUp": design.looked_up,
            "modulation": design.modulation,
            "finalModulation": design.final_modulation,
            "zeroInit": "zero_init" in getattr(design.final_layer, "keywords", {}),
        }
        for name, design in DESIGNS.items()
    }


@pytest.mark.parametrize("design", DESIGNS)
def test_ledger_equals_the_formulae(design):
    sizes = {"inputSize": 8, "patchSize": 2, "hiddenSize": 64, "depth": 3, "channels": 16}
    (ledger,) = call([("ditLedger", sizes | {"conditioning": design})])
    expected = dit_ledger(
        DiTConfig(
            input_size=8, in_channels=16, hidden_size=64, depth=3, num_heads=4, conditioning=design
        )
    )
    assert {part: tuple(cost.values()) for part, cost in ledger.items()} == {
        part: (cost.parameters, cost.macs) for part, cost in expected.items()
    }


def test_cost_equals_the_ledger():
    (cost,) = call(
        [
            (
                "ditCost",
                {"inputSize": 8, "patchSize": 2, "hiddenSize": 64, "depth": 3, "channels": 16},
            )
        ]
    )
    expected = total(
        dit_ledger(
            DiTConfig(input_size=8, in_channels=16, hidden_size=64, depth=3, num_heads=4)
        ).values()
    )
    assert cost == {"tokens": 16, "parameters": expected.parameters, "macs": expected.macs}
