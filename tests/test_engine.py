"""The page's engine against torch in float64, and its two sets of kernels against each other."""

import base64
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load

from dit_lesson.autoencoder import Autoencoder
from dit_lesson.checkpoints import load_weights
from dit_lesson.data import digits
from dit_lesson.evaluation import judge
from dit_lesson.figures.assets import packed, unpacked
from dit_lesson.figures.training_assets import (
    AUTOENCODER,
    packed_decoder,
    packed_judge,
    packed_latents,
)
from dit_lesson.models import DESIGNS
from tests.javascript import call
from tests.test_numpy_backward import torch_velocity_loss
from tests.test_numpy_dit import draw, make
from tools.build_kernels import CORE, compiled

ENGINE = Path(__file__).with_name("engine.mjs").as_uri()
KINDS = ("wasm", "plain")
SPELLING = {
    "inputSize": "input_size", "patchSize": "patch_size", "inChannels": "in_channels",
    "hiddenSize": "hidden_size", "depth": "depth", "numHeads": "num_heads",
    "conditioning": "conditioning", "maxWords": "max_words", "numClasses": "num_classes",
}  # fmt: skip


def run(*calls):
    return call(ENGINE, list(calls))


def single(values):
    """Numbers as the page has them, in float32."""
    return np.asarray(values, dtype=np.float32)


def flat(values):
    return single(values).astype(np.float64).ravel().tolist()


def model_of(design="adaln-zero", **changes):
    """A torch model in float64 whose weights are float32 numbers, and the page's config of it."""
    sizes = {"input_size": 4, "patch_size": 1, "in_channels": 8, "hidden_size": 32, "depth": 2}
    sizes |= {"num_heads": 4, "conditioning": design, "max_words": 1, "num_classes": 10} | changes
    model = make(learn_sigma=False, **sizes).float().double()
    return model, {ours: sizes[theirs] for ours, theirs in SPELLING.items()}


def weights_for_page(model):
    return {name: flat(value) for name, value in model.state_dict().items()}


def batch_of(model, batch, seed=0):
    size = (batch, 8, model.config.input_size, model.config.input_size)
    random = np.random.default_rng(seed)
    x0, noise = single(random.normal(size=size)), single(random.normal(size=size))
    u = single(1 / (1 + np.exp(-random.normal(size=batch))))
    return {"x0": x0, "noise": noise, "u": u, "y": random.integers(0, 11, size=batch)}


def for_page(batch):
    return {name: flat(value) for name, value in batch.items() if name != "y"} | {
        "y": batch["y"].ravel().tolist()
    }


def error(ours, theirs):
    """The largest difference over the largest number."""
    theirs = theirs.detach().numpy().ravel()
    return np.abs(np.asarray(ours) - theirs).max() / np.abs(theirs).max()


def loss_and_gradients(model, batch):
    values = (batch[name].astype(np.float64) for name in ("x0", "noise", "u"))
    loss = torch_velocity_loss(model, *values, batch["y"])
    model.zero_grad()
    loss.backward()
    return loss.item(), {name: value.grad for name, value in model.named_parameters()}


# --- kernels ------------------------------------------------------------------------------


def test_the_bytes_come_from_the_c_file():
    assert (CORE / "kernels_wasm.mjs").read_text(encoding="utf-8") == compiled()


def test_both_sets_of_kernels_are_tried():
    assert run(("kinds",)) == [[["wasm", False], ["plain", True]]]


@given(st.lists(st.tuples(*[st.integers(1, 21)] * 3, st.booleans(), st.booleans()), max_size=20))
@settings(max_examples=5, deadline=None)
def test_a_product_of_any_size_in_any_order(cases):
    calls, expected = [], []
    for M, N, K, *transposed in [(4, 8, 3, False, False), *cases]:
        a, b, start = single(draw(M, K)), single(draw(K, N, seed=1)), single(draw(M, N, seed=2))
        for first, bias in ((None, False), (start, False), (start[0], True)):
            stored = [x.T if turned else x for x, turned in zip((a, b), transposed, strict=True)]
            case = {"M": M, "N": N, "K": K, "a": flat(stored[0]), "b": flat(stored[1])}
            case |= {"start": None if first is None else flat(first), "bias": bias}
            case |= {"aTransposed": transposed[0], "bTransposed": transposed[1]}
            calls += [("product", kind, case) for kind in KINDS]
            exact = a.astype(np.float64) @ b + (0 if first is None else first)
            expected.append(exact.ravel())
    results = run(*calls)
    for wasm, plain, exact in zip(results[::2], results[1::2], expected, strict=True):
        assert wasm == plain
        np.testing.assert_allclose(wasm, exact, atol=1e-5)


# --- memory -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("design", "N", "context"), [("in-context", 20, 0), ("cross-attention", 16, 4)]
)
def test_a_block_takes_the_room_that_its_branches_use(design, N, context):
    d, heads, ratio = 32, 4, 4
    config = {"inputSize": 4, "hiddenSize": d, "numHeads": heads, "mlpRatio": ratio}
    config |= {"maxWords": 3, "conditioning": design}
    attention, mlp = 3 * d + heads * N + d, 3 * ratio * d  # q, k, v, shares and what they mix
    lookup = d + heads * context + d if context else 0  # q, shares and what they mix
    around = (3 if context else 2) * (4 * d + 1)  # norms, results, the stream
    (room,) = run(("roomOfABlock", config))
    assert room == N * (attention + mlp + lookup + around) + 2 * context * d  # k and v


# --- gradients ----------------------------------------------------------------------------


@pytest.mark.parametrize("design", DESIGNS)
def test_every_tensor_of_every_design_has_the_gradient_of_torch_in_float64(design):
    model, config = model_of(design)
    batch = batch_of(model, 5)
    arguments = (config, weights_for_page(model), for_page(batch))
    wasm, plain = run(*(("gradients", kind, *arguments) for kind in KINDS))
    assert wasm == plain  # bit for bit: JSON holds every digit
    loss, expected = loss_and_gradients(model, batch)
    assert abs(wasm["loss"] - loss) < 1e-6 * loss
    assert set(wasm["gradients"]) == set(expected)
    for name, value in expected.items():
        assert error(wasm["gradients"][name], value) < 1e-5, name


@pytest.mark.parametrize(
    "changes",
    [
        {"patch_size": 2},
        {"input_size": 6, "patch_size": 2, "num_heads": 1},
        {"hidden_size": 24, "num_heads": 3, "depth": 1},
        {"hidden_size": 20, "num_heads": 2},
    ],
)
def test_it_holds_for_other_sizes(changes):
    calls, expected = [], []
    for design in DESIGNS:
        model, config = model_of(design, **changes)
        batch = batch_of(model, 3, seed=1)
        calls.append(("gradients", "wasm", config, weights_for_page(model), for_page(batch)))
        expected.append(loss_and_gradients(model, batch)[1])
    for result, gradients in zip(run(*calls), expected, strict=True):
        for name, value in gradients.items():
            assert error(result["gradients"][name], value) < 1e-5, name


@pytest.mark.parametrize("design", DESIGNS)
def test_captions_of_words_are_conditions_like_classes(design):
    """A sequence of time and words, in adaLN their mean: answer and gradients."""
    model, config = model_of(design, vocabulary=tuple("abcdefghij"), max_words=3)
    batch = batch_of(model, 3) | {"y": np.array([[1, 2, 3], [10, 4, 4], [7, 0, 0]])}
    (page,) = run(("gradients", "wasm", config, weights_for_page(model), for_page(batch)))
    loss, expected = loss_and_gradients(model, batch)
    assert abs(page["loss"] - loss) < 1e-6 * loss
    for name, value in expected.items():
        assert error(page["gradients"][name], value) < 1e-5, name


# --- training -----------------------------------------------------------------------------


def torch_run(model, batches, recipe):
    """The losses of training.py's steps on given batches, and the averaged weights."""
    steps = recipe["steps"]
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe["learningRate"], betas=(0.9, 0.99),
        weight_decay=recipe["weightDecay"],
    )  # fmt: skip
    average = {name: value.detach().clone() for name, value in model.named_parameters()}
    losses = []
    for step, batch in enumerate(batches):
        loss, _ = loss_and_gradients(model, batch)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        rise = min(1, (step + 1) / max(1, steps // 10))
        fall = 0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * min(1, step / steps)))
        optimizer.param_groups[0]["lr"] = recipe["learningRate"] * rise * fall
        optimizer.step()
        decay = min(recipe["emaDecay"], (1 + step) / (10 + step))
        for name, value in model.named_parameters():
            average[name].lerp_(value.detach(), 1 - decay)
        losses.append(loss)
    return losses, average


def test_fifty_steps_have_the_losses_of_torch_to_three_digits():
    recipe = {"steps": 50, "batchSize": 8, "learningRate": 2e-3, "weightDecay": 0.1}
    recipe |= {"emaDecay": 0.995}
    model, config = model_of()
    batches = [batch_of(model, 8, seed) for seed in range(50)]
    given = [for_page(batch) for batch in batches]
    (page,) = run(("trained", "wasm", config, weights_for_page(model), given, recipe))
    losses, average = torch_run(model, batches, recipe)
    assert losses[-1] < 0.9 * losses[0]
    np.testing.assert_allclose(page["losses"], losses, rtol=5e-4)
    for name, value in average.items():
        assert error(page["average"][name], value) < 1e-2, name


def test_a_seeded_run_repeats_itself_and_is_the_same_without_webassembly():
    _, config = model_of("cross-attention", depth=1)
    data = {"latents": flat(draw(12, 128)), "labels": [i % 10 for i in range(12)]}
    recipe = {"steps": 6, "batchSize": 4, "learningRate": 3e-3, "emaDecay": 0.995}
    runs = [("seededRun", kind, config, data, recipe, seed) for kind, seed in
            (("wasm", 1), ("wasm", 1), ("plain", 1), ("wasm", 2))]  # fmt: skip
    first, again, plain, other = run(*runs)
    assert first == again == plain
    assert first != other


def test_a_new_model_is_what_the_python_model_is():
    _, config = model_of(hidden_size=64, depth=1)
    state, open_state = run(("initial", config, 1, {}), ("initial", config, 1, {"zeroInit": False}))
    modulation = "blocks.0.adaLN_modulation.1.weight"
    assert not any(state[modulation]["data"])
    assert not any(state["final_layer.linear.weight"]["data"])
    assert np.std(open_state[modulation]["data"]) == pytest.approx((2 / 448) ** 0.5, rel=0.02)
    assert np.std(state["blocks.0.attn.qkv.weight"]["data"]) == pytest.approx(
        (2 / 256) ** 0.5, rel=0.02
    )
    assert np.std(state["y_embedder.embedding_table.weight"]["data"]) == pytest.approx(1, rel=0.1)


# --- sampling and decoding ----------------------------------------------------------------


def torch_walk(model, noise, y, steps, guidance, heun, predicts):
    """Guided Euler or Heun steps on the velocity, in float64."""
    u = torch.linspace(1 if predicts != "noise" else 0.999, 0, steps + 1, dtype=torch.float64)

    def velocity(x, at):
        t = torch.full((len(x),), 1000 * float(at), dtype=torch.float64)
        told = model(x, t, y)
        answer = told
        if guidance != 1:
            untold = model(x, t, torch.full_like(y, 10))
            answer = untold + guidance * (told - untold)
        if predicts == "data":
            return (x - answer) / at
        return answer if predicts == "velocity" else (answer - x) / (1 - at)

    x = noise
    for here, there in zip(u[:-1], u[1:], strict=True):
        v = velocity(x, here)
        end = x + (there - here) * v
        if heun and there > 0:
            end = x + (there - here) * (v + velocity(end, there)) / 2
        x = end
        yield x


@pytest.mark.parametrize(
    ("guidance", "heun", "predicts"),
    [(1, False, "velocity"), (2, False, "velocity"), (2, True, "velocity"), (3, False, "data"),
     (1.5, False, "noise")],
)  # fmt: skip
def test_the_walk_is_that_of_torch(guidance, heun, predicts):
    model, config = model_of()
    batch = batch_of(model, 1)  # gives the model the float64 embedding of t
    loss_and_gradients(model, batch)
    noise, labels = single(draw(3, 8, 4, 4)), [1, 7, 9]
    options = {"guidance": guidance, "heun": heun, "predicts": predicts, "steps": 5}
    (walk,) = run(("walked", "wasm", config, weights_for_page(model), labels, flat(noise), options))
    with torch.no_grad():
        start = torch.tensor(noise).double()
        expected = list(torch_walk(model, start, torch.tensor(labels), 5, guidance, heun, predicts))
    assert len(walk) == 5
    for ours, theirs in zip(walk, expected, strict=True):
        assert error(ours, theirs) < 1e-5


@pytest.mark.parametrize(
    ("name", "downsample", "channels", "side"),
    [("autoencoder-4x4x8", 8, 8, 4), ("autoencoder-8x8x4", 4, 4, 8)],
)
def test_the_decoders_are_those_of_the_shipped_autoencoders(name, downsample, channels, side):
    model = Autoencoder(downsample)
    model.load_state_dict(load_weights(name))
    tensors = {
        key: {"shape": list(value.shape), "data": flat(value)}
        for key, value in model.state_dict().items()
        if not key.startswith("encoder")
    }
    latents = single(draw(3, channels, side, side))
    wasm, plain = run(*(("decoded", kind, tensors, flat(latents), side) for kind in KINDS))
    assert wasm == plain
    expected = model.double().from_latents(torch.tensor(latents).double()).detach()
    np.testing.assert_allclose(wasm, expected.numpy().ravel(), atol=1e-5)


# --- the judge ----------------------------------------------------------------------------


def packed_judge_in_torch(images):
    """The logits of the numbers that the page has, in float64."""
    tensors, x = unpacked(packed_judge()), images.double()
    for number, (stride, padding) in enumerate([(2, 2), (1, 1), (2, 1), (2, 1), (1, 0), (1, 0)]):
        weight, bias = tensors[f"{number}.weight"], tensors[f"{number}.bias"]
        x = torch.nn.functional.conv2d(x.relu() if number else x, weight, bias, stride, padding)
    return x.flatten(1)


def test_the_judge_computes_what_torch_computes():
    images = digits("test", 32)[0][::83]  # 13: a whole batch and three
    file = base64.b64encode(packed_judge()).decode()
    wasm, plain = run(*(("judged", kind, file, flat(images)) for kind in KINDS))
    assert wasm == plain
    expected = packed_judge_in_torch(images)
    np.testing.assert_allclose(wasm["logits"], expected.flatten(), atol=1e-4)
    assert wasm["read"] == expected.argmax(dim=1).tolist()


def test_the_page_reads_the_test_digits_as_the_judge_of_the_package_does():
    """Its weights have 8 bits; 999 of 1,000 verdicts are the same."""
    images, _ = digits("test", 32)
    file = base64.b64encode(packed_judge()).decode()
    (page,) = run(("judged", "wasm", file, flat(images)))
    verdicts = judge()(images).argmax(dim=1)
    assert (torch.tensor(page["read"]) == verdicts).double().mean() >= 0.995
    assert len(packed_judge()) < 130_000


# --- files --------------------------------------------------------------------------------


@pytest.mark.parametrize("design", DESIGNS)
def test_a_saved_model_is_one_that_torch_loads(design):
    model, config = model_of(design)
    (text,) = run(("file", config, 3))
    state = load(base64.b64decode(text))
    model.load_state_dict(state)
    assert state["blocks.1.attn.qkv.weight"].std() > 0.1
    assert torch.equal(model.pos_embed.float(), state["pos_embed"])


def test_wrong_input_gets_a_sentence():
    model, config = model_of()
    weights, batch = weights_for_page(model), for_page(batch_of(model, 2))
    sentences = run(
        ("refusal", "wasm", config | {"conditioning": "film"}, weights, batch),
        ("refusal", "wasm", config | {"hiddenSize": 30}, weights, batch),
        ("refusal", "wasm", config | {"patchSize": 3}, weights, batch),
        ("refusal", "wasm", config | {"depth": 3}, weights, batch),
        ("refusal", "wasm", config, weights, batch | {"x0": batch["x0"][:100]}),
        ("refusal", "wasm", config, weights, batch),
    )
    expected = [
        "DiT: conditioning is film, expected one of",
        "DiT: hiddenSize is 30, expected",
        "DiT: inputSize 4 is not a multiple of patchSize 3",
        "Transformer.load: blocks.2.attn.qkv.weight has no numbers",
        "DiT.forward: x has 100 numbers",
    ]
    for sentence, beginning in zip(sentences, expected, strict=False):
        assert sentence.startswith(beginning)
    assert sentences[-1] == ""


def test_random_numbers_are_normal_and_orders_complete():
    normals, order = run(("normals", 5, 20000), ("permutation", 5, 100))
    assert abs(np.mean(normals)) < 0.02
    assert abs(np.std(normals) - 1) < 0.02
    assert np.corrcoef(normals[:-1], normals[1:])[0, 1] == pytest.approx(0, abs=0.02)
    assert sorted(order) == list(range(100)) != order


@pytest.mark.parametrize("bits", [16, 8, 4])
def test_packed_tensors_are_read_as_python_reads_them(bits):
    tensors = {"odd": torch.tensor(draw(3, 5)), "labels": torch.arange(7, dtype=torch.uint8)}
    content = packed(tensors, bits)
    (read,) = run(("unpacked", base64.b64encode(content).decode()))
    for name, value in unpacked(content).items():
        assert read[name]["shape"] == list(value.shape)
        np.testing.assert_allclose(read[name]["data"], value.flatten(), rtol=1e-6)
        near = {16: 1e-2, 8: 2e-2, 4: 0.35}[bits]
        inside = tensors[name].abs() < 2 if name == "odd" else tensors[name] >= 0
        assert (value - tensors[name])[inside].abs().max() < near


def test_what_a_page_learns_from_is_small_and_whole():
    latents, decoder = packed_latents(), packed_decoder()
    assert len(latents) < 240_000
    assert len(decoder) < 125_000
    tensors = unpacked(latents)
    assert tensors["latents"].shape == (3600, 8, 4, 4)
    assert tensors["labels"].long().bincount().tolist() == [360] * 10
    assert tensors["latents"].std() == pytest.approx(0.9, abs=0.15)
    assert set(unpacked(decoder)) == {
        name for name in load_weights(AUTOENCODER) if not name.startswith("encoder")
    }
