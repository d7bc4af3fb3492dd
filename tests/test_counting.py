"""Parameters and multiply-accumulates against the paper's tables, counted in two ways."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dit_lesson.counting import PAPER_TABLE, PARTS, Cost, dit_ledger, measured_ledger, total
from dit_lesson.models import DESIGNS, DIT_CONFIGS, DiT, DiTConfig, ViT

# Trainable parameters of the official models; the paper, table 4, has them in millions
PARAMETERS = {
    "S/8": 33_142_016,
    "S/4": 32_920_448,
    "S/2": 32_865_056,
    "B/8": 130_869_248,
    "B/4": 130_426_496,
    "B/2": 130_315_808,
    "L/8": 458_578_432,
    "L/4": 457_988_224,
    "L/2": 457_840_672,
    "XL/8": 675_664_640,
    "XL/4": 675_000_704,
    "XL/2": 674_834_720,
}
# DiT, section 5 and table 4: XL/2 in the four designs
PAPER_DESIGNS = {
    "in-context": (119.37, 449_162_528),
    "cross-attention": (137.62, 597_991_712),
    "adaln": (118.56, 600_452_384),
    "adaln-zero": (118.64, 674_834_720),
}


def measure(config):
    with torch.device("meta"):
        model = DiT(config).eval()
        side, channels = config.input_size, config.in_channels
        inputs = torch.zeros(1, channels, side, side), torch.zeros(1), torch.zeros(1).long()
        return measured_ledger(model, *inputs)


def assert_as_in_the_paper(ledger, gmacs, parameters):
    cost = total(ledger.values())
    assert cost.parameters == parameters
    assert cost.macs / 1e9 == pytest.approx(gmacs, abs=0.02)


@pytest.mark.parametrize("name", PAPER_TABLE)
def test_the_twelve_models_are_those_of_table_4_counted_twice(name):
    config, (millions, gmacs, _) = DIT_CONFIGS[f"DiT-{name}"], PAPER_TABLE[name]
    formula, measured = dit_ledger(config), measure(config)
    assert formula == measured
    assert_as_in_the_paper(measured, gmacs, PARAMETERS[name])
    assert round(PARAMETERS[name] / 1e6) == millions


@pytest.mark.parametrize("conditioning", PAPER_DESIGNS)
def test_the_four_designs_are_those_of_the_paper_counted_twice(conditioning):
    config = replace(DIT_CONFIGS["DiT-XL/2"], conditioning=conditioning)
    formula, measured = dit_ledger(config), measure(config)
    assert formula == measured
    assert_as_in_the_paper(measured, *PAPER_DESIGNS[conditioning])


def test_an_adaptive_final_norm_in_the_first_two_designs_is_ruled_out():
    for conditioning in ("in-context", "cross-attention"):
        ledger = dit_ledger(DiTConfig(conditioning=conditioning))
        adaptive = total(ledger.values()).parameters + 2 * 1152**2 + 2 * 1152 - 2 * 1152
        paper = PAPER_DESIGNS[conditioning][1]
        assert round(adaptive / 1e6) - round(paper / 1e6) in (2, 3)


def test_512_pixels_cost_what_the_paper_says():
    macs = total(dit_ledger(replace(DIT_CONFIGS["DiT-XL/2"], input_size=64)).values()).macs
    assert macs / 1e9 == pytest.approx(524.60, abs=0.07)


@given(
    st.sampled_from(sorted(DESIGNS)),
    st.integers(1, 3),
    st.sampled_from([4, 8, 20]),
    st.sampled_from([1, 2, 4]),
    st.sampled_from([4, 8, 12]),
    st.sampled_from([1, 3, 4]),
    st.sampled_from([1.0, 2.5, 4.0]),
    st.booleans(),
    st.sampled_from([0, 0.1]),
)
@settings(max_examples=40, deadline=None)
def test_formula_and_measurement_agree_for_any_model(
    conditioning, depth, hidden_size, patch_size, input_size, channels, ratio, sigma, dropout
):
    config = DiTConfig(
        conditioning=conditioning,
        depth=depth,
        hidden_size=hidden_size,
        num_heads=2,
        patch_size=patch_size,
        input_size=input_size,
        in_channels=channels,
        mlp_ratio=ratio,
        learn_sigma=sigma,
        class_dropout_prob=dropout,
        num_classes=7,
    )
    assert dit_ledger(config) == measure(config)


def test_measuring_on_the_cpu_sees_attention_where_the_plain_counter_does_not():
    config = DiTConfig(hidden_size=16, depth=2, num_heads=2, input_size=8, num_classes=3)
    model = DiT(config).eval()
    inputs = torch.zeros(1, 4, 8, 8), torch.zeros(1), torch.zeros(1).long()
    ledger = measured_ledger(model, *inputs)
    assert ledger == dit_ledger(config)
    with FlopCounterMode(display=False) as counter:
        model(*inputs)
    missed = total(ledger.values()).macs - counter.get_total_flops() // 2
    assert missed == ledger["attention scores"].macs == 2 * 2 * 16**2 * 16


def test_a_vit_is_measured_too():
    model = ViT(hidden_size=16, depth=2, num_heads=2, positions="learned")
    ledger = measured_ledger(model, torch.zeros(1, 1, 28, 28))
    parameters = sum(p.numel() for p in model.parameters())
    assert total(ledger.values()).parameters == parameters
    assert ledger["positions and CLS"] == Cost(16 * 16 + 16, 0)
    assert ledger["attention scores"] == Cost(0, 2 * 2 * 17**2 * 16)
    assert ledger["MLP"].macs == 2 * 17 * 8 * 16**2


def test_facts_that_the_book_tells():
    xl = dit_ledger(DIT_CONFIGS["DiT-XL/2"])
    everything = total(xl.values())
    assert xl["modulation"].parameters / everything.parameters == pytest.approx(0.3346, abs=1e-3)
    assert xl["modulation"].macs / everything.macs == pytest.approx(0.0019, abs=1e-4)
    cross = total(dit_ledger(DiTConfig(conditioning="cross-attention")).values())
    assert cross.macs / everything.macs == pytest.approx(1.160, abs=1e-3)
    shares = [
        dit_ledger(DIT_CONFIGS[f"DiT-{s}/2"])["attention scores"].macs / PAPER_TABLE[f"{s}/2"][1]
        for s in ("S", "B", "L", "XL")
    ]
    assert [share / 1e9 for share in shares] == pytest.approx([0.1, 0.053, 0.04, 0.036], abs=1e-3)
    for size in ("S", "B", "L", "XL"):
        counts = [PARAMETERS[f"{size}/{p}"] for p in (8, 4, 2)]
        assert counts == sorted(counts, reverse=True)


def test_parts_add_up_and_come_in_order():
    ledger = dit_ledger(DiTConfig(conditioning="cross-attention"))
    assert list(ledger) == [part for part in PARTS if part in ledger]
    assert total(ledger.values()).macs == sum(cost.macs for cost in ledger.values())
    assert total([]) == Cost(0, 0) and hash(Cost(1, 2)) == hash(Cost(1, 2))
    assert all(math.isfinite(c.macs) and isinstance(c.parameters, int) for c in ledger.values())


class Unknown(nn.Module):
    def __init__(self, name):
        super().__init__()
        self.add_module(name, nn.Linear(2, 2))

    def forward(self, x):
        return x @ x.mT


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: dit_ledger(DiTConfig(hidden_size=0)),
            "DiTConfig: hidden_size is 0, expected a whole",
        ),
        (lambda: dit_ledger(DiTConfig(depth=2.5)), "DiTConfig: depth is 2.5"),
        (
            lambda: dit_ledger(DiTConfig(patch_size=5)),
            "DiTConfig: input_size 32 is not a multiple of patch_",
        ),
        (
            lambda: dit_ledger(DiTConfig(conditioning="film")),
            "DiTConfig: conditioning is 'film', expected",
        ),
        (lambda: measured_ledger(ViT(), torch.zeros(2, 1, 28, 28)), "expected exactly one sample"),
        (lambda: measured_ledger(ViT()), "expected exactly one sample"),
        (
            lambda: measured_ledger(Unknown("extra"), torch.zeros(1, 2)),
            "extra.weight belongs to no",
        ),
        (lambda: measured_ledger(Unknown("head"), torch.ones(1, 2)), "matrix products outside its"),
    ],
)
def test_wrong_input_gets_a_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
