"""The map of the model: its totals are the ledger's, its shapes a real model's."""

import json

import pytest
import torch
from playwright.sync_api import expect

from dit_lesson.figures.whole_dit import PARTS, WholeDiTFigure
from dit_lesson.models import DESIGNS, DiT
from tests.browser import live_figures, table_rows


def test_summary():
    figure = WholeDiTFigure()
    assert "674.83 million parameters, 118.62 GMAC" in figure.summary()
    assert "modulation gives 170 × 1152 and has 33.5% of the parameters" in figure.summary()
    figure.conditioning = "in-context"
    assert figure.summary().endswith("GMAC.")


@pytest.mark.parametrize("conditioning", DESIGNS)
def test_the_parts_of_the_map_make_the_whole_model(conditioning):
    now = WholeDiTFigure(conditioning=conditioning, size="S", patch_size=4).stages()
    for quantity in ("parameters", "macs"):
        assert sum(part[quantity] for part in now["parts"].values()) == now[quantity]


@pytest.mark.parametrize("conditioning", DESIGNS)
def test_the_shapes_are_those_of_the_model(conditioning):
    figure = WholeDiTFigure(conditioning=conditioning, size="S", patch_size=8)
    parts, seen = figure.stages()["parts"], {}
    with torch.device("meta"):
        model = DiT(figure.config())
        inputs = torch.zeros(1, 4, 32, 32), torch.zeros(1), torch.zeros(1, dtype=torch.long)
    modules = {
        "patches": model.x_embedder,
        "time": model.t_embedder,
        "attention": model.blocks[0].attn,
        "MLP": model.blocks[0].mlp,
        "final": model.final_layer,
        "answer": model,
    }
    if "cross" in parts:
        modules["cross"] = model.blocks[0].cross_attn
    for name, module in modules.items():
        module.register_forward_hook(
            lambda _, given, out, name=name: seen.update({name: list(out.shape[1:])})
        )
    model(*inputs)
    assert seen == {name: parts[name]["gives"] for name in modules}


@pytest.mark.needs_chromium
def test_page_equals_python(open_page):
    figure, _ = live_figures(open_page("12-whole-dit"))
    state = {}
    for label, name, value in (
        ("part", "part", "attention"),
        ("size", "size", "S"),
        ("patch size p", "patch_size", 4),
        ("design", "conditioning", "cross-attention"),
    ):
        figure.get_by_label(label, exact=True).select_option(json.dumps(value))
        state[name] = value
        now = WholeDiTFigure(**state).stages()
        assert table_rows(figure) == {
            PARTS[part][0]: [pytest.approx(p["parameters"] / 1e6), pytest.approx(p["macs"] / 1e9)]
            for part, p in now["parts"].items()
        }


@pytest.mark.needs_chromium
def test_a_part_is_chosen_by_pressing_it_and_left_by_pressing_it_again(open_page):
    figure, _ = live_figures(open_page("12-whole-dit"))
    part = figure.get_by_role("button", name="final layer")
    menu = figure.get_by_label("part", exact=True)
    part.focus()
    part.press("Enter")
    expect(part).to_have_attribute("aria-pressed", "true")
    expect(menu).to_have_value('"final"')
    expect(figure).to_contain_text("256 × 1152 → 256 × 32")
    part.click()
    expect(part).to_have_attribute("aria-pressed", "false")
    expect(menu).to_have_value('"whole"')
