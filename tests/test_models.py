"""The whole models: identity and zero at the start, what learns when, released names, refusals."""

from itertools import product

import pytest
import torch
from torch import nn

from dit_lesson.attention import attention_maps
from dit_lesson.embeddings import CaptionEncoder, LabelEmbedder
from dit_lesson.models import DESIGNS, DIT_CONFIGS, DiT, DiTConfig, ViT

SMALL = {"input_size": 8, "patch_size": 2, "in_channels": 4, "hidden_size": 32, "depth": 3}
SMALL |= {"num_heads": 4, "num_classes": 10}


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def make(seed=0, **changes):
    torch.manual_seed(seed)
    return DiT(DiTConfig(**(SMALL | changes))).eval()


def batch(size=4):
    return draw(size, 4, 8, 8), torch.arange(size) * 250, torch.arange(size)


def wake(model, seed=7):
    """Random weights where the start has zeros, so that nothing hides behind them."""
    torch.manual_seed(seed)
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return model


# --- ViT ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pool", "positions"), list(product(["cls", "mean"], ["sincos", "learned", "none"]))
)
def test_vit_answers_with_logits_and_every_parameter_learns(pool, positions):
    model = ViT(image_size=8, patch_size=4, hidden_size=16, depth=2, pool=pool, positions=positions)
    logits = model(draw(3, 1, 8, 8))
    assert logits.shape == (3, 10)
    logits.logsumexp(1).sum().backward()
    for name, parameter in model.named_parameters():
        # a bias of the keys moves all scores of a row alike, so part of qkv.bias cannot learn
        assert parameter.grad is not None and parameter.grad.any(), name


def test_without_positions_a_vit_is_blind_to_the_order_of_patches_and_with_them_it_is_not():
    image = draw(2, 1, 8, 8).double()
    swapped = image.roll(4, dims=3)  # patches are 4 wide: left and right change places
    for positions, blind in (("none", True), ("sincos", False), ("learned", False)):
        torch.manual_seed(0)
        model = ViT(image_size=8, patch_size=4, hidden_size=16, depth=2, positions=positions)
        difference = (model.double()(image) - model(swapped)).abs().max().item()
        assert (difference < 1e-12) == blind, (positions, difference)


def test_the_attention_of_cls_is_a_map_over_the_patches():
    model = ViT(hidden_size=16, depth=3, num_heads=2)
    maps = attention_maps(model, draw(5, 1, 28, 28))
    assert list(maps) == ["blocks.0.attn", "blocks.1.attn", "blocks.2.attn"]
    cls_to_patches = maps["blocks.2.attn"][:, :, 0, 1:]
    assert cls_to_patches.shape == (5, 2, 16)


def test_a_fixed_table_is_no_parameter_and_a_learned_one_is():
    fixed, learned = ViT(positions="sincos"), ViT(positions="learned")
    difference = sum(p.numel() for p in learned.parameters()) - sum(
        p.numel() for p in fixed.parameters()
    )
    assert difference == fixed.pos_embed.numel() == 16 * 64
    assert fixed.blocks[0].mlp.fc1.out_features == 4 * 64


# --- DiT: the start -----------------------------------------------------------------------


@pytest.mark.parametrize("conditioning", DESIGNS)
def test_the_output_is_exactly_zero_and_the_first_loss_is_one(conditioning):
    model = make(conditioning=conditioning, learn_sigma=False)
    x = draw(64, 4, 8, 8)
    output = model(x, torch.full((64,), 500), torch.zeros(64, dtype=torch.int64))
    assert output.shape == x.shape and not output.any()
    noise = draw(64, 4, 8, 8, seed=1)
    # 16,384 numbers: the mean of their squares has standard deviation sqrt(2/16384) = 0.011
    assert ((noise - output) ** 2).mean().item() == pytest.approx(1.0, abs=0.045)


def test_learn_sigma_doubles_the_output_channels():
    assert make()(*batch()).shape == (4, 8, 8, 8)
    assert make(learn_sigma=False)(*batch()).shape == (4, 4, 8, 8)


@pytest.mark.parametrize("conditioning", DESIGNS)
def test_the_first_block_is_given_patches_with_positions_and_vectors_as_the_design_says(
    conditioning,
):
    model, given = make(conditioning=conditioning), []
    model.blocks[0].register_forward_hook(lambda _, args, __: given.extend(args))
    x, t, y = batch()
    model(x, t, y)
    assert torch.equal(given[0][:, :16], model.x_embedder(x) + model.pos_embed)
    for layer, count in (
        (model.blocks[0], DESIGNS[conditioning].modulation),
        (model.final_layer, DESIGNS[conditioning].final_modulation),
    ):
        rows = len(layer.adaLN_modulation[1].bias) if count else 0
        assert rows == count * SMALL["hidden_size"]
        assert hasattr(layer, "adaLN_modulation") == bool(count)


@pytest.mark.parametrize("conditioning", DESIGNS)
def test_every_block_of_adaln_zero_returns_its_input_bit_for_bit_and_no_other_does(conditioning):
    model, same = make(conditioning=conditioning), []
    for block in model.blocks:
        block.register_forward_hook(lambda _, args, out: same.append(torch.equal(args[0], out)))
    model(*batch())
    assert same == [conditioning == "adaln-zero"] * SMALL["depth"]


def awake(model, x, t, y, noise):
    """Names of the parameters that get a gradient; the rows of the 6D layers by chunk."""
    model.zero_grad()
    ((model(x, t, y) - noise) ** 2).mean().backward()
    names = set()
    for name, parameter in model.named_parameters():
        gradient = parameter.grad
        if "blocks" in name and "adaLN_modulation" in name:
            chunks = ("shift", "scale", "gate") * 2
            for chunk, rows in zip(chunks, gradient.chunk(6), strict=True):
                names |= {f"block modulation: {chunk}"} if rows.any() else set()
        elif gradient is not None and gradient.any():
            names.add(".".join(name.split(".")[:2]) if "final" in name else name.split(".")[0])
    return names


def test_adaln_zero_wakes_up_in_three_backward_passes():
    model = make(learn_sigma=False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    steps, noise = [], draw(4, 4, 8, 8, seed=1)
    for _ in range(3):
        steps.append(awake(model, *batch(), noise))
        optimizer.step()
    first = {"final_layer.linear"}
    second = first | {"final_layer.adaLN_modulation", "x_embedder", "block modulation: gate"}
    third = second | {"block modulation: shift", "block modulation: scale"}
    third |= {"blocks", "t_embedder", "y_embedder"}
    assert steps == [first, second, third]


@pytest.mark.parametrize("hidden_size", [64, 128, 512])
def test_the_unit_start_makes_time_and_label_of_size_one_at_any_width(hidden_size):
    def size(model):
        vectors = (
            model.t_embedder(torch.arange(0, 1000, 7)),
            model.y_embedder.embedding_table.weight,
        )
        return [vector.detach().square().mean().sqrt().item() for vector in vectors]

    arguments = {"hidden_size": hidden_size, "depth": 1, "num_classes": 1000}
    assert size(make(**arguments, embedding_init="unit")) == pytest.approx([1, 1], abs=0.2)
    time_size, label_size = size(make(**arguments))
    assert time_size < 0.06 and label_size == pytest.approx(0.02, rel=0.05)


# --- DiT: the skeleton --------------------------------------------------------------------


@pytest.mark.parametrize("conditioning", DESIGNS)
def test_time_and_label_reach_the_output_and_samples_do_not_mix(conditioning):
    model = wake(make(conditioning=conditioning)).double()
    x, t, y = batch()
    x = x.double()
    output = model(x, t, y)
    assert not torch.allclose(output, model(x, t + 1, y))
    assert not torch.allclose(output, model(x, t, (y + 1) % 10))
    torch.testing.assert_close(output[1:], model(x[1:], t[1:], y[1:]))
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad, name


@pytest.mark.parametrize("conditioning", DESIGNS)
def test_every_parameter_of_an_awake_model_learns(conditioning):
    model = wake(make(conditioning=conditioning))
    model(*batch()).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.any(), name


def test_condition_tokens_are_appended_once_and_removed_after_the_last_block():
    model, lengths = make(conditioning="in-context"), []
    for layer in (*model.blocks, model.final_layer):
        layer.register_forward_hook(lambda _, args, out: lengths.append(args[0].shape[1]))
    model(*batch())
    assert lengths == [18] * SMALL["depth"] + [16]


def test_condition_tokens_are_mixed_from_block_to_block():
    """They are not reset: block 2 sees what block 1 made of them."""
    model, inputs = wake(make(conditioning="in-context")), []
    for block in model.blocks:
        block.register_forward_hook(lambda _, args, out: inputs.append(args[0][:, -2:]))
    model(*batch())
    assert (inputs[1] - inputs[0]).abs().max() > 0.1


def test_cross_attention_looks_up_two_vectors():
    model = make(conditioning="cross-attention")
    maps = attention_maps(model, *batch())
    assert maps["blocks.1.cross_attn"].shape == (4, 4, 16, 2)
    assert maps["blocks.1.attn"].shape == (4, 4, 16, 16)


@pytest.mark.parametrize("conditioning", DESIGNS)
def test_captions_condition_every_design(conditioning):
    words = ("a", "bold", "thin", "seven", "three")
    model = wake(make(conditioning=conditioning, vocabulary=words, max_words=3))
    captions = model.y_embedder
    x, t, _ = batch(2)
    bold, thin = (captions.encode([c, c]) for c in ("a bold seven", "a thin seven"))
    assert not torch.allclose(model(x, t, bold), model(x, t, thin))
    if conditioning == "cross-attention":
        assert attention_maps(model, x, t, bold)["blocks.0.cross_attn"].shape[-1] == 1 + 3


def test_a_trained_encoder_keeps_its_weights():
    captions = CaptionEncoder(["a", "seven"], 2, 32)
    before = captions.embedding_table.weight.detach().clone()
    model = DiT(DiTConfig(**SMALL), y_embedder=captions)
    assert model.y_embedder is captions
    assert torch.equal(captions.embedding_table.weight, before)


@pytest.mark.parametrize("conditioning", DESIGNS)
def test_every_design_compiles_into_one_graph(conditioning):
    """No value is looked at on the way, so nothing breaks the graph."""
    model = wake(make(conditioning=conditioning))
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*batch()), model(*batch()))


def test_the_generator_of_the_label_dropout_reaches_it():
    model = wake(make(class_dropout_prob=0.5)).train()
    x, t, y = batch()

    def run(seed):
        return model(x, t, y, torch.Generator().manual_seed(seed))

    assert torch.equal(run(0), run(0))
    assert any(not torch.equal(run(0), run(seed)) for seed in range(1, 8))


def test_guidance_can_ask_for_no_label():
    model = wake(make())
    x, t, y = batch()
    null = torch.full_like(y, model.y_embedder.null_class)
    assert not torch.allclose(model(x, t, null), model(x, t, y))


def test_the_paper_has_twelve_models_and_xl_2_is_built_without_its_numbers():
    assert len(DIT_CONFIGS) == 12
    with torch.device("meta"):
        model = DiT(DIT_CONFIGS["DiT-XL/2"])
    assert all(parameter.is_meta for parameter in model.parameters())
    assert model.blocks[27].mlp.fc1.weight.shape == (4608, 1152)


# --- released weights ---------------------------------------------------------------------


def released_names(depth):
    linear = ("weight", "bias")
    names = ["pos_embed", "y_embedder.embedding_table.weight"]
    layers = ["x_embedder.proj", "t_embedder.mlp.0", "t_embedder.mlp.2", "final_layer.linear"]
    layers += ["final_layer.adaLN_modulation.1"]
    for n in range(depth):
        parts = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2", "adaLN_modulation.1")
        layers += [f"blocks.{n}.{part}" for part in parts]
    return set(names) | {f"{layer}.{kind}" for layer in layers for kind in linear}


def test_parameters_carry_the_released_names():
    assert set(make().state_dict()) == released_names(SMALL["depth"])


# --- refusals -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: ViT(image_size=30, patch_size=7), "ViT: image_size 30 is not a multiple of patch"),
        (lambda: ViT(depth=0), "ViT: depth is 0"),
        (lambda: ViT(num_classes=0), "ViT: num_classes is 0"),
        (lambda: ViT(pool="max"), "ViT: pool is 'max', expected 'cls' or 'mean'"),
        (lambda: ViT(positions="rope"), "ViT: positions is 'rope', expected 'sincos'"),
        (lambda: ViT(hidden_size=66, num_heads=6), "sincos_2d: hidden_size is 66"),
        (lambda: ViT()(torch.zeros(2, 28, 28)), r"ViT: images has shape \(2, 28, 28\), expected"),
        (lambda: ViT()(torch.zeros(0, 1, 28, 28)), "ViT: images is empty"),
        (lambda: make(input_size=9), "DiTConfig: input_size 9 is not a multiple of patch_size 2"),
        (lambda: make(num_heads=5), "hidden_size 32 is not a multiple of num_heads 5"),
        (
            lambda: make(hidden_size=6, num_heads=2),
            "DiTConfig: hidden_size is 6, expected a multip",
        ),
        (lambda: make(mlp_ratio=-1), "DiTConfig: mlp_ratio is -1, expected a positive number"),
        (lambda: make(mlp_ratio=0.01), "DiTConfig: mlp_ratio is 0.01, expected a positive number"),
        (lambda: make(vocabulary="abc"), "DiTConfig: vocabulary is 'abc', expected a list of diff"),
        (lambda: make(vocabulary=("a", "a")), r"DiTConfig: vocabulary is \('a', 'a'\), expected"),
        (
            lambda: DiT(DiTConfig(**SMALL), LabelEmbedder(10, 1)),
            "DiT: y_embedder is 1 wide, expected 32",
        ),
        (
            lambda: make(conditioning="film"),
            "DiTConfig: conditioning is 'film', expected 'in-context', ",
        ),
        (
            lambda: make(embedding_init="big"),
            "DiTConfig: embedding_init is 'big', expected 'paper'",
        ),
        (
            lambda: make()(draw(2, 3, 8, 8), *batch(2)[1:]),
            r"DiT: x has shape \(2, 3, 8, 8\), expected \(B, 4, 8, 8\)",
        ),
        (
            lambda: make()(draw(2, 4, 8, 8), *batch(3)[1:]),
            r"DiT: t has shape \(3,\), expected \(2,\)",
        ),
        (
            lambda: make()(batch()[0], torch.tensor(3), batch()[2]),
            r"DiT: t has shape \(\), expected \(4,\)",
        ),
    ],
)
def test_wrong_input_gets_a_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_attention_heads_are_64_or_72_wide_as_in_the_paper():
    widths = {config.hidden_size // config.num_heads for config in DIT_CONFIGS.values()}
    assert widths == {64, 72}
    assert DIT_CONFIGS["DiT-XL/8"] == DiTConfig(32, 8, 4, 1152, 28, 16)
    assert DIT_CONFIGS["DiT-XL/2"] == DiTConfig()
