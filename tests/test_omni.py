"""The experiments of chapter 19: digits as tokens, words and pictures in one model, streaming."""

import math
from dataclasses import asdict
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from dit_lesson import plots
from dit_lesson.attention import SelfAttention
from dit_lesson.blocks import ViTBlock
from dit_lesson.data import digits
from dit_lesson.evaluation import accuracy
from dit_lesson.experiments import masking as m
from dit_lesson.experiments import omni as o
from dit_lesson.experiments import read_result
from dit_lesson.experiments import streaming as s
from dit_lesson.experiments.recipes import DIGITS_DIT, FLOW
from dit_lesson.experiments.successors import digit_latents
from dit_lesson.masking import from_tokens, one_hot
from dit_lesson.models import DiT
from dit_lesson.sampling import guided, sample


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed))


def woken(model):
    """The model with its zeros filled, so that all of it acts."""
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return model.eval().requires_grad_(False)


# --- digits as tokens -------------------------------------------------------------------------


def test_the_masked_model_is_chapter_13s_but_for_its_channels():
    one, other = asdict(m.MASKED_DIT), asdict(DIGITS_DIT)
    assert {name for name in one if one[name] != other[name]} == {"in_channels"}
    assert one["in_channels"] == m.CODES + 1


def test_tokens_stand_for_the_latents_of_their_digits():
    for split, (tokens, y) in m.digit_tokens().items():
        z, labels = digit_latents()[split]
        assert tokens.shape == (len(z), 4, 4) and torch.equal(y, labels)
        error = (from_tokens(tokens, m.codes()) - z).square().mean()
        assert error < 0.15 * z.var()
    assert torch.equal(m.digit_tokens()["train"][0].unique(), torch.arange(m.CODES))


def test_tokens_look_like_their_digits_and_masks_like_nothing_in_particular():
    tokens, y = (value[:300] for value in m.digit_tokens()["test"])
    pictures = m.pictures(tokens)
    assert pictures.shape == (300, 1, 32, 32) and pictures.abs().max() <= 1
    assert accuracy(pictures, y) > 0.9
    start = m.hidden_tokens(2)
    assert start.shape == (2, 4, 4) and (start == m.CODES).all()
    blank = m.pictures(start)
    assert torch.equal(blank[0], blank[1])
    assert (blank[0] - pictures).abs().mean(dim=(1, 2, 3)).min() > 0.05


def test_neighbours_are_pairs_side_by_side_and_one_above_the_other():
    pairs = m.neighbours(torch.tensor([[[1, 2], [3, 4]]]))
    beside, above = [256 + 2, 3 * 256 + 4], [256 + 3, 2 * 256 + 4]
    assert pairs.tolist() == beside + [65536 + pair for pair in above]
    assert len(m.neighbours(m.hidden_tokens(5))) == 5 * (12 + 12)


def test_no_pair_of_a_training_digit_is_unseen_and_what_is_shuffled_is():
    train, test = (m.digit_tokens()[split][0] for split in ("train", "test"))
    assert m.unseen(train[:500]) == 0
    assert 0 < m.unseen(test) < 0.2
    noise = torch.randint(m.CODES, (500, 4, 4), generator=generator())
    assert m.unseen(train[:500].mT) > 0.2 and m.unseen(noise) > 0.7


def test_even_noise_is_what_a_walk_draws_from():
    noise, again, other = (m.even_noise(m.hidden_tokens(100), 3, seed) for seed in (1, 1, 2))
    assert noise.shape == (3, 2, 100, 4, 4)
    assert 0 <= noise.min() < 0.01 and 0.99 < noise.max() < 1
    assert torch.equal(noise, again) and not torch.equal(noise, other)


class Silent(nn.Module):
    """A model without an opinion that writes down what it was asked."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def forward(self, x, t, *rest):
        self.asked.append((x, t, *rest))
        return torch.zeros_like(x)


def first_loss(seed=0, **kind):
    model, (tokens, y) = Silent(), m.digit_tokens()["train"]
    loss = m.token_loss(**kind)(model, tokens, y, generator(seed))
    return loss.item(), *model.asked[0]


def test_the_loss_of_a_model_without_an_opinion_is_log_k_by_either_weight():
    flat, weighted = first_loss(weighted=False)[0], first_loss()[0]
    assert flat == pytest.approx(math.log(m.CODES), rel=1e-5)
    assert weighted == pytest.approx(math.log(m.CODES), rel=0.05) and weighted != flat
    assert first_loss()[0] == weighted != first_loss(seed=1)[0]


def test_the_model_is_told_the_time_or_always_zero():
    _, x, t, y, _ = first_loss(told=True)
    share = x[:, m.CODES].mean(dim=(1, 2))  # of masks
    assert x.shape == (4000, 257, 4, 4) and torch.equal(y, m.digit_tokens()["train"][1])
    assert (share - t / 1000).mean().abs() < 0.01 and (share - t / 1000).std() < 0.15
    assert t.min() < 10 and t.max() > 990
    _, x_untold, t, _, _ = first_loss()
    assert not t.any() and torch.equal(x_untold, x)


def test_what_is_not_hidden_is_shown_as_it_is():
    _, x, *_ = first_loss()
    tokens, seen = m.digit_tokens()["train"][0], x.argmax(dim=1)
    assert torch.equal(seen[seen != m.CODES], tokens[seen != m.CODES])


def test_a_model_without_an_opinion_needs_eight_bits_a_token_told_the_time_or_not():
    model = Silent()
    assert m.bits(model, told=True) == m.bits(model) == pytest.approx(8, rel=0.01)
    times = torch.stack([t.unique() for _, t, _ in model.asked]).flatten()
    expected = torch.tensor([1000 * time for time in m.TIMES] + [0.0] * len(m.TIMES))
    torch.testing.assert_close(times, expected)
    assert sum(m.TIMES) / len(m.TIMES) == pytest.approx(0.5)


def test_real_digits_are_judged_to_be_real():
    (images, y), (tokens, _) = digits("test", 32), m.digit_tokens()["test"]
    found = m.judged(tokens, images, y)
    assert found["accuracy"] > 0.97 and found["distance"] < 0.1
    assert found["unseen"] == round(m.unseen(tokens), 3)


def test_a_masked_model_starts_without_an_opinion():
    torch.manual_seed(0)
    x = one_hot(m.digit_tokens()["test"][0][:3], m.CODES)
    answer = DiT(m.MASKED_DIT)(x, torch.zeros(3), torch.arange(3))
    assert answer.shape == x.shape and not answer.any()


# --- what the chapter shows -------------------------------------------------------------------


def test_a_digit_is_corrupted_more_and_more_and_by_masks_where_they_are_grey():
    times = (0.0, 0.5, 1.0)
    masked, blurred = m.corrupted(3, times)
    tokens, z = m.digit_tokens()["test"][0][3:4], digit_latents()["test"][0][3:4]
    assert (masked[0] == m.pictures(tokens)[0, 0].numpy()).all()
    grey = [(image == 0).mean() for image in masked]
    assert grey[0] < 0.05 < 0.2 < grey[1] < 0.8 and grey[2] == 1
    with torch.no_grad():
        clean = m.decode(z)[0, 0].clamp(-1, 1).numpy()
    assert (blurred[0] == clean).all()
    gaps = [abs(image - clean).mean() for image in blurred]
    assert gaps[0] < gaps[1] < gaps[2]


def test_patterns_of_ink_are_shares_and_one_by_one_loses_nothing():
    joint = m.ink_patterns()
    ink = digits("train", 32)[0][:, 0, 14:16, 14:16] > 0
    assert joint.sum().item() == pytest.approx(1)
    assert joint[1, 1, 1, 1].item() == pytest.approx(ink.all(dim=(1, 2)).double().mean().item())
    left_above = ink[:, 0, 0] & ~ink[:, 0, 1] & ~ink[:, 1, 0] & ~ink[:, 1, 1]
    assert joint[1, 0, 0, 0].item() == pytest.approx(left_above.double().mean().item())
    assert m.lost(joint, [(0,), (1,), (2,), (3,)]) == pytest.approx(0, abs=1e-12)
    assert m.lost(torch.tensor([[0.0, 0.5], [0.5, 0.0]]), [(0, 1)]) == 0.5


def test_rows_are_painted_by_the_walk_that_is_given():
    def walk(answer, tokens, steps, generator):
        x = one_hot(tokens, m.CODES)
        seen.append((steps, answer(x, torch.zeros(len(tokens))).shape))
        return m.digit_tokens()["test"][0][:2]

    seen = []
    rows = m.painted_rows(walk, torch.tensor([4, 7]), steps=(1, 3))
    assert list(rows) == ["masks, 1", "masks, 3", "noise, 1", "noise, 3"]
    assert all(len(row) == 2 and row[0].shape == (32, 32) for row in rows.values())
    assert seen == [(1, (2, 257, 4, 4)), (3, (2, 257, 4, 4))]
    expected = m.pictures(m.digit_tokens()["test"][0][:2])[:, 0].numpy()
    assert (rows["masks, 3"] == expected).all()
    assert abs(rows["noise, 1"][0] - rows["noise, 3"][0]).max() > 0.1


def test_codes_lose_more_than_latents():
    floors = m.floors()
    assert 0 < floors["latents"] < floors["codes"] < 40


def test_what_was_recorded_is_printed():
    runs = read_result("masks-comparison")["runs"]
    noise = [run for run in runs if run["kind"] == "noise"]
    expected = [run["walks"][0]["distance"] for run in noise]
    assert m.walked("noise", "distance", guidance=1.0, steps=1) == expected
    line = m.by_steps("distance", 1.0, by_seed=True).splitlines()[-1]
    assert line.split()[:4] == ["noise", *(f"{value:.0f}" for value in expected)]
    head, *lines = m.by_steps("accuracy", 2.0).splitlines()
    assert head.split() == ["accuracy,", "s", "=", "2", "1", "2", "4", "8", "16"]
    assert [line[:18].strip() for line in lines] == list(m.WALKS)
    drawn = m.distances()
    assert list(drawn) == ["guidance 1", "guidance 2"] and list(drawn["guidance 1"]) == list(
        m.WALKS
    )
    assert drawn["guidance 1"]["noise"][0].tolist() == expected
    assert [line[:13].strip() for line in m.learned().splitlines()[1:]] == list(m.KINDS[:3])


def test_values_by_steps_are_drawn_with_their_medians():
    figure = plots.by_steps({"a": {"x": np.array([[1, 5, 3], [2, 2, 9]])}}, (1, 4), "y")
    (axes,) = figure.axes
    line, *dots = axes.lines
    assert line.get_ydata().tolist() == [3, 2] and len(dots) == 3
    assert axes.get_ylabel() == "y" and axes.get_title() == "a"


# --- captions ---------------------------------------------------------------------------------

CAPTIONS = torch.tensor(list(product(range(2), range(10))))


def test_every_caption_is_asked_for_as_often_as_every_other():
    asked, counts = o.asked_for(o.SAMPLES).unique(dim=0, return_counts=True)
    assert torch.equal(asked, CAPTIONS) and counts.tolist() == [25] * 20


def test_captions_are_true_by_the_rules_that_judge_pictures():
    (images, y), truth = digits("test", 32), o.captions()["test"]
    assert torch.equal(truth[:, 1], y)
    found = o.painted(images, truth)
    assert found["name"] > 0.97 and found["slant"] > 0.99 and found["distance"] < 0.1
    other = torch.stack([1 - truth[:, 0], (truth[:, 1] + 1) % 10], dim=1)
    assert o.painted(images, other)["slant"] < 0.01 and o.painted(images, other)["name"] < 0.02
    assert 0.2 < truth[:, 0].double().mean() < 0.5
    assert o.captions()["train"].shape == (4000, 2)


def test_what_is_said_is_compared_word_by_word():
    words, truth = torch.tensor([[0, 3], [1, 4], [1, 5], [0, 6]]), CAPTIONS[[3, 4, 5, 7]]
    assert o.said(words, truth) == {"name": 0.75, "slant": 0.5}


def test_words_and_codes_are_different_tokens_of_one_sequence():
    picture = torch.randint(m.CODES, (20, 4, 4), generator=generator())
    tokens = o.sequence(CAPTIONS, picture)
    assert tokens.shape == (20, 18)
    assert torch.equal(o.words_of(tokens), CAPTIONS)
    assert torch.equal(tokens[:, o.WORDS :].view(20, 4, 4), picture)
    slants, names = (set(tokens[:, place].tolist()) for place in (0, 1))
    assert slants | names == set(range(m.CODES, o.VOCABULARY)) and not slants & names


def test_the_words_of_the_trunk_begin_with_the_start_and_are_different():
    words = o.text(CAPTIONS)
    assert words.shape == (20, 3) and (words[:, 0] == o.START).all()
    slants, names = (set(words[:, place].tolist()) for place in (1, 2))
    assert {o.START} | slants | names == set(range(o.WORD_COUNT))
    assert len(slants) == 2 and len(names) == 10 and o.START not in slants | names


# --- all masks --------------------------------------------------------------------------------


def test_a_sequence_is_looked_up_and_the_time_is_not_read():
    torch.manual_seed(0)
    model = o.MaskedSequence(16, 2, 2).requires_grad_(False)
    tokens = torch.randint(o.VOCABULARY + 1, (3, 18), generator=generator())
    x = one_hot(tokens, o.VOCABULARY)
    answer = model(x, torch.zeros(3))
    assert answer.shape == x.shape and torch.equal(answer, model(x, torch.ones(3)))
    expected = model.blocks(model.embedder(tokens) + model.positions)
    torch.testing.assert_close(answer, model.head(model.norm(expected)).mT)
    order = torch.arange(17, -1, -1)  # a place is known by its position alone
    assert (model(x[:, :, order], torch.zeros(3))[:, :, order] - answer).abs().max() > 1e-3


def sequences():
    return o.sequence(o.captions()["train"], m.digit_tokens()["train"][0])[:600]


def test_words_and_picture_are_hidden_each_at_a_time_of_its_own():
    model, tokens = Silent(), sequences()
    loss = o.sequence_loss(model, tokens, generator())
    assert loss.item() == pytest.approx(math.log(o.VOCABULARY), rel=1e-5)
    ((x, _),) = model.asked
    seen = x.argmax(dim=1)
    masked = seen == o.VOCABULARY
    assert torch.equal(seen[~masked], tokens[~masked])
    words, upper, lower = (
        part.double().mean(dim=1) for part in masked.split([o.WORDS, 8, 8], dim=1)
    )
    assert torch.corrcoef(torch.stack([upper, lower]))[0, 1] > 0.7
    assert torch.corrcoef(torch.stack([words, upper]))[0, 1].abs() < 0.15
    assert words.mean().item() == pytest.approx(0.5, abs=0.05)
    assert torch.stack([upper, lower]).mean().item() == pytest.approx(0.5, abs=0.05)


def test_the_loss_of_sequences_is_finite_and_its_chance_comes_from_the_generator():
    torch.manual_seed(0)
    model = o.MaskedSequence(16, 1, 2)
    losses = [o.sequence_loss(model, sequences()[:32], generator(seed)) for seed in (0, 0, 1)]
    assert losses[0].isfinite() and losses[0] == losses[1] != losses[2]
    losses[0].backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in model.parameters())


# --- words by the next word, pictures by noise ------------------------------------------------

ALL = torch.ones(1, 1, 19, 19).bool()


def test_one_set_of_weights_that_sees_all_is_vits_block():
    torch.manual_seed(0)
    block, x = o.JointBlock(16, 4, sets=1), draw(2, 19, 16)
    for parameter in block.parameters():  # two norms are alike at the start
        nn.init.normal_(parameter, std=0.3)
    torch.testing.assert_close(block(x, ALL), block.text(x))
    count = sum(p.numel() for p in ViTBlock(16, 4).parameters())
    assert sum(p.numel() for p in block.parameters()) == count
    assert sum(p.numel() for p in o.JointBlock(16, 4, sets=2).parameters()) == 2 * count


def test_two_sets_of_equal_weights_are_one_set():
    torch.manual_seed(0)
    one, two = o.JointBlock(16, 4, sets=1), o.JointBlock(16, 4, sets=2)
    x = draw(2, 19, 16)
    allowed = (torch.rand(2, 1, 19, 19, generator=generator()) < 0.5) | torch.eye(19).bool()
    assert (one(x, allowed) - two(x, allowed)).abs().max() > 1e-2
    two.text.load_state_dict(one.text.state_dict())
    assert (one(x, allowed) - two(x, allowed)).abs().max() > 1e-2
    two.picture.load_state_dict(one.text.state_dict())
    torch.testing.assert_close(two(x, allowed), one(x, allowed))


def test_each_set_is_for_its_own_tokens():
    torch.manual_seed(0)
    block, x = o.JointBlock(16, 4, sets=2), draw(2, 19, 16)
    text = torch.arange(19) < o.TEXT
    apart = (text[:, None] == text)[None, None]
    found = block(x, apart)
    torch.testing.assert_close(found[:, : o.TEXT], block.text(x[:, : o.TEXT]))
    torch.testing.assert_close(found[:, o.TEXT :], block.picture(x[:, o.TEXT :]))


def trunk(sets):
    torch.manual_seed(0)
    return woken(o.MixedTrunk(sets, 16, 2, 2))


Z = draw(2, 8, 4, 4)
WORDS = o.text(torch.tensor([[0, 3], [1, 7]]))
T = torch.tensor([300.0, 300.0])
READS = torch.tensor([True, False])  # the first reads a picture, the second paints one


def moved(one, other):
    """Where two answers differ: of the first and of the second sample."""
    gap = (one - other).abs().flatten(2).amax(dim=2 if one.shape[1] == o.TEXT else 1)
    return (gap > 1e-6).tolist()


@pytest.mark.parametrize("sets", [1, 2])
def test_a_word_acts_on_itself_and_later_words_and_on_a_picture_only_if_that_is_painted(sets):
    model = trunk(sets)
    logits, velocity = model(WORDS, Z, T, READS)
    for place in range(o.TEXT):
        words = WORDS.clone()
        words[:, place] = (words[:, place] + 5) % o.WORD_COUNT
        other_logits, other_velocity = model(words, Z, T, READS)
        later = [i >= place for i in range(o.TEXT)]
        assert moved(logits, other_logits) == [later, later]
        assert moved(velocity, other_velocity) == [[False] * 16, [True] * 16]


@pytest.mark.parametrize("sets", [1, 2])
def test_a_place_acts_on_the_whole_picture_and_on_words_only_if_it_is_read(sets):
    model = trunk(sets)
    logits, velocity = model(WORDS, Z, T, READS)
    for place in (0, 7, 15):
        z = Z.clone()
        z.flatten(2)[:, :, place] += 1
        other_logits, other_velocity = model(WORDS, z, T, READS)
        assert moved(logits, other_logits) == [[True] * 3, [False] * 3]
        assert moved(velocity, other_velocity) == [[True] * 16] * 2


def test_the_time_is_told_to_the_picture():
    model = trunk(1)
    (logits, velocity), (other_logits, other_velocity) = (
        model(WORDS, Z, t, READS) for t in (T, T + 100)
    )
    assert moved(velocity, other_velocity) == [[True] * 16] * 2
    assert moved(logits, other_logits) == [[True] * 3, [False] * 3]


def test_places_differ_by_their_positions_and_what_leaves_the_trunk_is_normalised():
    model, left = trunk(1), []
    velocity, turned = (model(WORDS, z, T, READS)[1] for z in (Z, Z.flip(2, 3)))
    assert (turned.flip(2, 3) - velocity).abs().max() > 1e-3
    model = o.MixedTrunk(1)
    for head in (model.word_head, model.latent_head):
        head.register_forward_pre_hook(lambda _, arguments: left.append(arguments[0]))
    model(WORDS, Z, T, READS)
    for tokens in left:
        torch.testing.assert_close(tokens.square().mean(dim=-1), torch.ones(tokens.shape[:2]))
    assert [tokens.shape[1] for tokens in left] == [3, 16]


def test_a_trunk_starts_with_one_velocity_for_everything():
    logits, velocity = o.MixedTrunk(1)(WORDS, Z, T, READS)
    assert logits.shape == (2, 3, 13) and velocity.shape == Z.shape
    assert torch.equal(velocity, velocity[:1, :, :1, :1].expand_as(Z))


class Mute(nn.Module):
    """A trunk that says nothing and writes down what it was asked."""

    def forward(self, words, z, t, reads):
        self.asked = words, z, t, reads
        return torch.zeros(len(z), 3, o.WORD_COUNT), torch.zeros_like(z)


def test_the_mixed_loss_is_that_of_painting_and_a_share_of_reading():
    model, z = Mute(), digit_latents()["train"][0]
    words = o.text(o.captions()["train"])
    loss = o.mixed_loss(model, z, words, generator()).item()
    *_, reads = model.asked
    painting = z[~reads].square().mean().item() + 1  # of noise - z, as 0 is answered
    assert loss == pytest.approx(painting + o.TEXT_WEIGHT * math.log(13), rel=0.01)
    assert reads.double().mean().item() == pytest.approx(0.5, abs=0.03)


def test_a_picture_that_is_read_has_no_noise_and_no_word_is_dropped_there():
    model, z = Mute(), digit_latents()["train"][0]
    words = o.text(o.captions()["train"])
    o.mixed_loss(model, z, words, generator())
    told, x, t, reads = model.asked
    assert not t[reads].any() and torch.equal(x[reads], z[reads])
    assert torch.equal(told[reads], words[reads])
    assert (t[~reads] > 0).all() and t.median() < 1000 and t.max() > 900
    assert (x[~reads] - z[~reads]).flatten(1).square().mean(dim=1).min() > 0
    empty = (told == o.START).all(dim=1)
    assert empty[~reads].double().mean().item() == pytest.approx(0.1, abs=0.03)
    kept = ~reads & ~empty
    assert torch.equal(told[kept], words[kept])


def test_the_right_words_and_the_right_velocity_have_no_loss():
    z = digit_latents()["train"][0][:64]
    words = o.text(o.captions()["train"])[:64]
    following = torch.cat([words[:, 1:], words[:, :1]], dim=1)  # after the last, none is asked for

    def knows(told, x, t, reads):
        share = (t / 1000).clamp(min=1e-6)[:, None, None, None]
        return 100 * nn.functional.one_hot(following, o.WORD_COUNT).float(), (x - z) / share

    assert o.mixed_loss(knows, z, words, generator()).item() == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("sets", [1, 2])
def test_the_mixed_loss_is_finite_and_its_chance_comes_from_the_generator(sets):
    torch.manual_seed(0)
    model, z = o.MixedTrunk(sets, 16, 1, 2), digit_latents()["train"][0][:32]
    words = o.text(o.captions()["train"][:32])
    losses = [o.mixed_loss(model, z, words, generator(seed)) for seed in (0, 0, 1)]
    assert losses[0].isfinite() and losses[0] == losses[1] != losses[2]
    losses[0].backward()
    assert model.word_head.weight.grad.any() and model.latent_head.weight.grad.any()


def test_a_caption_is_read_aloud_word_by_word_each_after_those_before():
    asked = []

    def model(words, z, t, reads):
        asked.append((words.clone(), t, reads))
        likeliest = o.text(CAPTIONS)[:, 1:]
        likeliest = torch.where(words[:, 1:2] == o.START, likeliest[:, :1], likeliest[:, 1:])
        return nn.functional.one_hot(likeliest.expand(-1, 3), o.WORD_COUNT).float(), z

    found = o.read_aloud(model, draw(20, 8, 4, 4))
    assert torch.equal(found, CAPTIONS)
    (first, t, reads), (second, _, _) = asked
    assert not first.any() and torch.equal(second[:, :2], o.text(CAPTIONS)[:, :2])
    assert reads.all() and not t.any()


def test_what_a_trunk_reads_aloud_depends_on_the_picture_and_names_words():
    found = o.read_aloud(trunk(2), 5 * draw(200, 8, 4, 4))
    assert found.shape == (200, 2) and len(found.unique(dim=0)) > 1
    words = found + torch.tensor([1, o.FIRST_NAME])
    assert 0 <= words.min() and words.max() < o.WORD_COUNT


# --- what was recorded ------------------------------------------------------------------------


def test_all_three_kinds_stand_in_the_report_and_lower_halves_are_the_masks():
    report = o.report()
    for kind in o.KINDS:
        assert report.count(f"\n{kind} ") == 3
    runs = read_result("omni-comparison")["runs"]
    distances = [run["to_picture"][1]["distance"] for run in runs if run["kind"] == "masks"]
    assert report.splitlines()[7].endswith(" ".join(f"{value:.0f}" for value in distances))
    told = [line.split()[0] for line in o.finished().splitlines()[1:]]
    assert told == ["nothing", "truth", "wrong"]


# --- column by column -------------------------------------------------------------------------

COLUMNS = draw(2, 4, 8, 8)
TIMES, ASKED = torch.tensor([200.0, 700.0]), torch.tensor([3, 10])


def column_dit(look_ahead):
    torch.manual_seed(0)
    return woken(s.ColumnDiT(look_ahead, 16, num_heads=2))


def test_who_may_look_at_all_attends_as_ever_and_who_may_look_at_itself_copies():
    torch.manual_seed(0)
    windowed, x = s.WindowedAttention(16, 4, torch.ones(8, 8).bool()), draw(2, 6, 16)
    plain = SelfAttention(16, 4)
    plain.load_state_dict(windowed.state_dict(), strict=False)
    torch.testing.assert_close(windowed(x), plain(x))
    windowed.allowed = torch.eye(8).bool()
    torch.testing.assert_close(windowed(x)[:, :1], plain(x[:, :1]))
    torch.testing.assert_close(windowed(x)[:, 4:5], plain(x[:, 4:5]))


@pytest.mark.parametrize("look_ahead", s.LOOK_AHEAD)
def test_a_column_depends_on_those_up_to_itself_and_so_many_more_and_on_no_other(look_ahead):
    model, x = column_dit(look_ahead), COLUMNS.clone().requires_grad_()
    answer = model(x, TIMES, ASKED)
    for i in range(8):
        (gradient,) = torch.autograd.grad(answer[..., i].sum(), x, retain_graph=True)
        used = gradient.abs().amax(dim=(1, 2)) > 0
        assert used.tolist() == [[j <= i + look_ahead for j in range(8)]] * 2


@pytest.mark.parametrize("look_ahead", [0, 2])
@pytest.mark.parametrize("width", [3, 5, 8])
def test_the_first_columns_alone_give_the_same_answers_where_nothing_is_missed(look_ahead, width):
    model = column_dit(look_ahead)
    whole, part = model(COLUMNS, TIMES, ASKED), model(COLUMNS[..., :width], TIMES, ASKED)
    sure = width if width == 8 else width - look_ahead
    assert part.shape == (2, 4, 8, width)
    torch.testing.assert_close(part[..., :sure], whole[..., :sure])
    if sure < width:
        assert ((part - whole[..., :width])[..., sure:].abs().amax(dim=(1, 2)) > 1e-5).all()


def test_rows_and_channels_of_a_column_return_to_their_places():
    """With layers that pass a column on as it is, the answer is the normalised column."""
    torch.manual_seed(0)
    model = s.ColumnDiT(0, hidden_size=32, depth=2).eval().requires_grad_(False)
    for layer in (model.x_embedder, model.final_layer.linear):
        layer.weight.copy_(torch.eye(32))
        layer.bias.zero_()
    model.pos_embed.zero_()
    found = model(COLUMNS, TIMES, ASKED)
    expected = nn.functional.layer_norm(COLUMNS.flatten(1, 2).mT, (32,)).mT.view(2, 4, 8, 8)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_time_class_and_position_act_and_at_the_start_nothing_does():
    model = column_dit(1)
    answer = model(COLUMNS, TIMES, ASKED)
    same = COLUMNS[..., :1].expand_as(COLUMNS)
    alike = model(same, TIMES, ASKED)
    for other in (model(COLUMNS, TIMES + 50, ASKED), model(COLUMNS, TIMES, ASKED - 1)):
        assert ((other - answer).abs().amax(dim=(1, 2)) > 1e-5).all()
    assert (alike[..., 1:] - alike[..., :1]).abs().max() > 1e-3
    start = s.ColumnDiT(1)(COLUMNS, TIMES, ASKED)
    assert torch.equal(start, start[:1, ..., :1].expand_as(start))


def test_a_column_is_painted_when_as_many_more_are_there_and_only_it_is_kept():
    widths, noise = [], draw(2, 1, 3, 6)

    def paint(noise):
        widths.append(noise.shape[-1])
        return noise + 100 * noise.shape[-1]

    for look_ahead, expected in ((0, [1, 2, 3, 4, 5, 6]), (2, [3, 4, 5, 6, 6, 6]), (5, [6] * 6)):
        widths.clear()
        found = s.streamed(paint, noise, look_ahead)
        assert widths == expected
        torch.testing.assert_close(found, noise + 100 * torch.tensor(expected))


def painted(look_ahead, steps):
    """The whole digit, and the same streamed, by a model with so much look-ahead."""
    answer = guided(column_dit(look_ahead).double(), ASKED, s.NULL, 1.5)

    def paint(noise):
        return sample(answer, noise, FLOW, steps, predicts="velocity")

    return paint(COLUMNS.double()), s.streamed(paint, COLUMNS.double(), look_ahead)


@pytest.mark.parametrize(("look_ahead", "steps"), [(0, 3), (7, 3), (1, 1), (3, 1)])
def test_streamed_is_the_whole_without_look_ahead_with_all_of_it_and_in_one_step(look_ahead, steps):
    whole, streamed = painted(look_ahead, steps)
    torch.testing.assert_close(streamed, whole)


def test_over_several_steps_a_column_sees_further_than_it_waits():
    whole, streamed = painted(look_ahead=1, steps=3)
    gap = (whole - streamed).abs().amax(dim=(0, 1, 2))
    assert (gap[:-2] > 1e-6).all() and (gap[-2:] < 1e-12).all()  # the last two miss nothing


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: s.ColumnDiT(8), "ColumnDiT: look_ahead is 8, expected a number from 0 to 7"),
        (lambda: s.ColumnDiT(-1), "ColumnDiT: look_ahead is -1, expected a number from 0 to 7"),
        (
            lambda: s.ColumnDiT(0)(COLUMNS[:, :3], TIMES, ASKED),
            r"ColumnDiT: x has shape \(2, 3, 8, 8\), expected",
        ),
        (
            lambda: s.ColumnDiT(0)(COLUMNS, TIMES, ASKED[:1]),
            r"ColumnDiT: y has shape \(1,\), expected \(2,\)",
        ),
    ],
)
def test_wrong_input_gets_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
