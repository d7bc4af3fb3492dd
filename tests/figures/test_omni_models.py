"""The figure of omni models: masks that are shown stay, noise moves everything, both paint."""

import numpy as np
import pytest
import torch
from playwright.sync_api import expect

from dit_lesson.checkpoints import load_model
from dit_lesson.diffusion import Straight
from dit_lesson.evaluation import accuracy
from dit_lesson.experiments.masking import CODES, NULL, STEPS, codes, hidden_tokens, pictures
from dit_lesson.figures.assets import unpacked
from dit_lesson.figures.omni_models import SEEDS, OmniModelsFigure, codes_on_page
from dit_lesson.figures.training_assets import decoder, dit
from dit_lesson.masking import ORDERS, from_tokens, one_hot
from dit_lesson.sampling import guided, sample
from tests.browser import live_figures, open_fold, table_rows


def at(step, **traits):
    return OmniModelsFigure(at=step, **traits).stages()


def drawn(name):
    return unpacked(OmniModelsFigure.assets()["drawn"])[name]


def test_before_the_first_step_all_is_hidden_and_nothing_has_changed():
    now = at(0)
    assert (now["tokens"] == CODES).all() and not now["changed"].any()
    z = torch.cat([torch.zeros(8, 4, 4).double(), drawn("noise")[0].reshape(8, 4, 4)])
    expected = decoder().from_latents(z.reshape(2, 8, 4, 4))[:, 0].numpy()
    np.testing.assert_allclose(now["pictures"][[0, 2]], expected, rtol=0, atol=1e-9)


def test_before_the_first_step_both_models_expect_nearly_the_same():
    for digit in (0, 5, 8):
        shown = at(0, digit=digit)["pictures"]
        assert np.corrcoef(shown[1].ravel(), shown[3].ravel())[0, 1] > 0.8


@pytest.mark.parametrize("steps", STEPS)
def test_after_the_last_step_no_mask_is_left_and_what_is_there_is_what_is_expected(steps):
    now = at(steps, steps=steps)
    assert now["step"] == steps and (now["tokens"] < CODES).all()
    np.testing.assert_array_equal(now["pictures"][[0, 2]], now["pictures"][[1, 3]])


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("steps", STEPS[1:])
def test_tokens_once_shown_stay_and_noise_moves_all_of_them_at_every_step(steps, order):
    path = [at(step, steps=steps, order=order) for step in range(steps + 1)]
    for before, after in zip(path, path[1:], strict=False):
        there = before["tokens"] != CODES
        np.testing.assert_array_equal(after["tokens"][there], before["tokens"][there])
        fresh = (after["tokens"] != CODES) & ~there
        assert fresh.sum() == 16 / steps
        np.testing.assert_array_equal(after["changed"][0].ravel(), fresh)
        assert (after["changed"][1] > 0).all()


def test_how_far_noise_has_moved_a_token_is_the_root_of_its_mean_square():
    now, before = (OmniModelsFigure(steps=4, at=step)._noise()[0] for step in (3, 2))
    expected = (now - before)[0].square().mean(dim=0).sqrt().numpy()
    np.testing.assert_allclose(at(3, steps=4)["changed"][1], expected, rtol=1e-9)


def test_a_step_beyond_the_last_is_the_last():
    np.testing.assert_equal(at(16, steps=4), at(4, steps=4))


def test_the_only_step_of_noise_leads_to_what_was_expected_before_it():
    before, after = at(0, steps=1)["pictures"], at(1, steps=1)["pictures"]
    np.testing.assert_allclose(after[2], before[3], rtol=0, atol=1e-6)
    assert np.abs(before[2] - before[3]).mean() > 0.1


def test_the_only_step_of_masks_leads_elsewhere_than_to_their_mean():
    before, after = at(0, steps=1)["pictures"], at(1, steps=1)["pictures"]
    assert np.abs(after[0] - before[1]).mean() > 0.05


def first_answer(digit=5, guidance=2.0):
    """Probabilities at all hidden, (K, 16)."""
    answer = guided(dit("masked-dit"), torch.tensor([digit]), NULL, guidance)
    logits = answer(one_hot(hidden_tokens(1), CODES).double(), torch.zeros(1))
    return logits[0, :CODES].flatten(1).softmax(dim=0)


def test_what_is_expected_of_masks_is_the_mean_code():
    z = (first_answer().T @ codes_on_page()).T.reshape(1, 8, 4, 4)
    expected = decoder().from_latents(z)[0, 0].numpy()
    np.testing.assert_allclose(at(0)["pictures"][1], expected, rtol=0, atol=1e-9)


def test_of_what_is_there_the_code_is_expected_and_else_the_mean():
    path, p = OmniModelsFigure()._masks()
    hidden = path[6] == CODES
    assert hidden.sum() == 10 and (path[5] == CODES).sum() == 11
    z = from_tokens(path[6], codes_on_page())
    mean = (p[6][0].flatten(1).T @ codes_on_page()).T.reshape(1, 8, 4, 4)
    z = torch.where(hidden[:, None], mean, z)
    expected = decoder().from_latents(z)[0, 0].numpy()
    np.testing.assert_allclose(at(6)["pictures"][1], expected, rtol=0, atol=1e-9)


def test_by_hand_the_tokens_come_in_the_chosen_order():
    chosen = [3, 12, 0, 7]
    for count in range(5):
        now = OmniModelsFigure(order="by hand", chosen=chosen[:count]).stages()
        assert now["step"] == count and now["shown"] == chosen[:count]
        assert (now["tokens"] != CODES).nonzero()[0].tolist() == sorted(chosen[:count])


def test_a_walk_by_hand_in_the_order_of_the_model_is_the_walk_of_the_model():
    walk = at(9)
    by_hand = OmniModelsFigure(order="by hand", chosen=walk["shown"]).stages()
    for key in ("tokens", "pictures", "changed", "likeliest"):
        np.testing.assert_array_equal(by_hand[key], walk[key])


def test_the_model_is_asked_about_the_next_hidden_token():
    hidden = (at(6)["tokens"] == CODES).nonzero()[0].tolist()
    for place in range(16):
        asked = at(6, place=place)["asked"]
        assert asked == next((n for n in hidden if n >= place), hidden[0])
    assert at(16)["asked"] == -1 and not at(16)["likeliest"].any()


def test_it_says_its_likeliest_codes_and_what_each_looks_like():
    now = at(6)
    _, p = OmniModelsFigure()._masks()
    shares = p[6][0].flatten(1)[:, now["asked"]].sort(descending=True).values[:5]
    np.testing.assert_array_equal(now["likeliest"], shares)
    row, column = divmod(now["asked"], 4)
    far = [(row + 2) % 4, (column + 2) % 4]
    for picture in now["says"]:
        change = np.abs(picture - now["pictures"][1])
        here = change[8 * row : 8 * row + 8, 8 * column : 8 * column + 8].mean()
        there = change[8 * far[0] : 8 * far[0] + 8, 8 * far[1] : 8 * far[1] + 8].mean()
        assert there < here / 10


@pytest.mark.parametrize("seed", range(SEEDS))
def test_the_first_token_is_the_surest_or_the_one_whose_turn_it_is(seed):
    p, u = first_answer(), drawn("draws")[seed, 0]
    found = (p.cumsum(dim=0) < u).sum(dim=0)
    sure = int(p.gather(0, found[None])[0].argmax())
    turn = int(drawn("places")[seed, 0].argmax())
    for order, place in (("confidence", sure), ("random", turn)):
        tokens = at(1, seed=seed, order=order)["tokens"]
        assert (tokens != CODES).nonzero()[0].tolist() == [place]
        assert tokens[place] == found[place]


def test_the_orders_show_other_tokens():
    shown = [[at(4, seed=seed, order=order)["tokens"] for seed in range(SEEDS)] for order in ORDERS]
    random, confidence = np.array(shown) != CODES
    assert (random != confidence).any(axis=1).all()


def test_chance_class_and_guidance_act_on_both():
    shown = at(16)["pictures"]
    for traits in ({"seed": 1}, {"digit": 3}, {"guidance": 0.0}):
        other = at(16, **traits)["pictures"]
        assert (np.abs(other - shown).mean(axis=(1, 2)) > 0.02).all()


def test_both_models_paint_the_digit_that_is_asked_for():
    asked = torch.arange(10).repeat(2)
    shown = [at(16, digit=digit, seed=seed) for seed in range(2) for digit in range(10)]
    images = torch.tensor(np.stack([now["pictures"] for now in shown])).float()
    assert accuracy(images[:, :1], asked) >= 0.9 and accuracy(images[:, 2:3], asked) >= 0.9


def test_eight_bits_paint_what_the_shipped_models_paint():
    now, y = at(16), torch.tensor([5])
    noise = drawn("noise")[0].reshape(1, 8, 4, 4).float()
    answer = guided(load_model("digits-dit"), y, NULL, 2.0)
    z = sample(answer, noise, Straight(), 16, predicts="velocity")
    with torch.no_grad():
        image = load_model("autoencoder-4x4x8-decoder").from_latents(z)[0, 0].numpy()
    assert np.abs(now["pictures"][2] - image).mean() < 0.05
    image = pictures(torch.tensor(now["tokens"]).view(1, 4, 4))[0, 0].numpy()
    assert np.abs(now["pictures"][0].clip(-1, 1) - image).mean() < 0.02


def test_what_is_drawn_survives_the_packing():
    draws, places = drawn("draws"), drawn("places")
    assert draws.shape == places.shape == (SEEDS, 16, 16)
    assert 0 <= draws.min() and draws.max() < 1
    assert torch.equal(places.sort(dim=-1).values, torch.arange(16).double().expand_as(places))
    torch.testing.assert_close(codes_on_page(), codes().double(), rtol=1e-3, atol=1e-4)


def test_the_sentence_counts_what_is_there():
    said = OmniModelsFigure(digit=7, at=3, steps=4, order="random").summary()
    assert said.startswith("A 7, step 3 of 4. Masks, random: 12 tokens are there and stay, 4")
    assert "has moved the 16 tokens by 0.00 on average" in OmniModelsFigure(at=0).summary()
    assert ": 1 token is there and stays, 15 are hidden" in OmniModelsFigure(at=1).summary()
    assert ": 15 tokens are there and stay, 1 is hidden" in OmniModelsFigure(at=15).summary()


# On the built page


def compare(figure, traits):
    """Its table holds what the last step has changed, and its sentence is the summary."""
    python = OmniModelsFigure(**traits)
    expected = python.stages()["changed"].reshape(2, 16).T
    np.testing.assert_allclose(list(table_rows(figure).values()), expected, rtol=0, atol=1e-4)
    expect(figure.get_by_role("status").last).to_have_text(python.summary())


@pytest.mark.needs_chromium
def test_the_page_shows_what_python_computes(open_page):
    (figure,) = live_figures(open_page("19-omni-models"))
    compare(figure, {})
    for button, traits in (
        ("before the first step", {"at": 0}),
        ("all at once", {"at": 1, "steps": 1}),
        ("one by one", {"at": 16}),
        ("without guidance", {"at": 16, "guidance": 1.0, "order": "random"}),
        ("reset", {}),
    ):
        figure.get_by_role("button", name=button, exact=True).click()
        compare(figure, traits)
    open_fold(figure)
    figure.get_by_label("digit", exact=True).select_option("3")
    figure.get_by_label("chance", exact=True).select_option("2")
    compare(figure, {"digit": 3, "seed": 2})
    figure.get_by_label("steps", exact=True).select_option("4")
    step = figure.get_by_role("slider", name="step shown")
    expect(step).to_have_attribute("max", "4")  # a walk ends with its last step
    expect(step).to_have_value("4")
    step.press("ArrowLeft")
    compare(figure, {"digit": 3, "seed": 2, "steps": 4, "at": 3})


@pytest.mark.needs_chromium
def test_a_place_that_is_hidden_is_covered_on_the_page(open_page):
    """Of the canvas of what is there, all places have one colour until they are shown."""
    (figure,) = live_figures(open_page("19-omni-models"))
    colours = """(canvas) => {
      const { width, height } = canvas;
      const context = Object.assign(document.createElement("canvas"), { width, height })
        .getContext("2d", { willReadFrequently: true });
      context.drawImage(canvas, 0, 0);
      return Array.from({ length: 16 }, (_, place) => {
        const [row, column] = [Math.floor(place / 4) + 0.5, place % 4 + 0.5];
        const [x, y] = [column * width / 4, row * height / 4].map(Math.floor);
        const around = context.getImageData(x - 3, y - 3, 7, 7).data;
        return [...new Uint32Array(around.buffer)].every((pixel, _, all) => pixel === all[0])
          ? around.slice(0, 3).join() : "a picture";
      });
    }"""
    there = figure.locator("canvas").first
    figure.get_by_role("button", name="before the first step").click()
    assert table_rows(figure)["row 0, column 0"] == [0, 0]  # it has been drawn
    (cover,) = set(there.evaluate(colours))
    figure.get_by_role("button", name="reset").click()
    assert max(row[0] for row in table_rows(figure).values()) == 1
    hidden = OmniModelsFigure().stages()["tokens"] == CODES
    assert [colour == cover for colour in there.evaluate(colours)] == hidden.tolist()


@pytest.mark.needs_chromium
def test_tokens_are_drawn_and_taken_back_by_hand(open_page):
    figure = live_figures(open_page("19-omni-models"))[0]
    said = figure.get_by_role("status").last
    figure.get_by_role("button", name="before the first step").click()
    expect(said).to_contain_text("step 0 of 16")
    for there in ("1 token is there and stays", "2 tokens are there and stay"):
        figure.get_by_role("button", name="draw this token").click()
        expect(said).to_contain_text(f"by hand: {there}")
    figure.get_by_role("button", name="take it back").click()
    expect(said).to_contain_text("by hand: 1 token is there")
    token = figure.get_by_role("slider", name="token", exact=True)
    there = figure.locator("canvas").first
    box = there.bounding_box()
    for place in (0, 6, 15):
        row, column = divmod(place, 4)
        x, y = (column + 0.5) * box["width"] / 4, (row + 0.5) * box["height"] / 4
        there.click(position={"x": x, "y": y})
        expect(token).to_have_value(str(place))
