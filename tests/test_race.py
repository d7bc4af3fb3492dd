"""The race: entrants start as they say, seeds are luck shared, rates come from validation."""

from statistics import mean

import pytest
import torch

from dit_lesson.experiments import race, read_result
from dit_lesson.models import DESIGNS
from dit_lesson.norms import Modulation


def modulations(entrant):
    torch.manual_seed(0)
    model = race.entrant_model(entrant, race.entrant_config(entrant))
    return [layer for layer in model.modules() if isinstance(layer, Modulation)]


@pytest.mark.parametrize(
    ("entrant", "chunks", "zero"),
    [
        ("adaln", 4, False),
        ("adaln, zero start", 4, True),
        ("gates, xavier start", 6, False),
        ("adaln-zero", 6, True),
    ],
)
def test_gate_and_start_are_crossed(entrant, chunks, zero):
    *blocks, final = modulations(entrant)
    assert {layer.chunks for layer in blocks} == {chunks} and final.chunks == 2
    for layer in (*blocks, final):
        weight, bias = (value.detach() for value in layer.parameters())
        assert bool(weight.any()) is not zero and not bias.any()
        # xavier-uniform: the variance is 2 over the sum of both sides
        if not zero:
            assert weight.std() == pytest.approx((2 / sum(weight.shape)) ** 0.5, rel=0.05)


def test_every_entrant_answers_zero_at_the_start():
    x, t, y = torch.randn(2, 8, 4, 4), torch.zeros(2), torch.tensor([3, 7])
    for entrant in race.ENTRANTS:
        assert not race.entrant_model(entrant, race.entrant_config(entrant))(x, t, y).any()


@pytest.mark.parametrize("entrant", DESIGNS)
def test_behind_a_layer_norm_no_design_hears_how_loud_its_conditions_are(entrant):
    torch.manual_seed(0)
    model = race.entrant_model(entrant, race.entrant_config(entrant, "normed"), "normed").eval()
    for p in model.parameters():  # at the zero start nothing would be heard
        torch.nn.init.normal_(p, std=0.1)
    x, t, y = torch.randn(2, 8, 4, 4), torch.tensor([100.0, 900.0]), torch.tensor([3, 7])
    with torch.no_grad():
        before = model(x, t, y)
        model.get_parameter("y_embedder.embedder.embedding_table.weight").mul_(50)
        model.get_parameter("t_embedder.embedder.mlp.2.weight").mul_(50)
        model.get_parameter("t_embedder.embedder.mlp.2.bias").mul_(50)
        louder = (model(x, t, y) - before).abs().max()
        another = (model(x, t, y.flip(0)) - before).abs().max()
    assert louder < 0.05 * another


def test_splits_do_not_meet():
    sizes = {name: len(x) for name, (x, _) in race.data().items()}
    assert sizes == {"train": 3600, "validation": 400, "test": 1000}
    distances = torch.cdist(*(race.data()[name][0].flatten(1) for name in ("train", "validation")))
    assert distances.min() > 0


def test_the_rate_is_the_best_of_the_validation_losses():
    runs = read_result("rate-choice")["runs"]
    for loudness, entrants in race.CHOICES.items():
        for entrant in entrants:
            loss = {
                rate: mean(
                    run["validation_loss"]
                    for run in runs
                    if (run["loudness"], run["entrant"], run["learning_rate"])
                    == (loudness, entrant, rate)
                )
                for rate in race.RATES
            }
            assert race.best_rate(loudness, entrant) == min(loss, key=loss.__getitem__)
    assert not set(race.CHOICE_SEEDS) & set(race.RACE_SEEDS)


@pytest.mark.parametrize("entrant", list(DESIGNS))
def test_equal_width_gives_equal_parameters(entrant):
    width = race.equal_width(entrant)
    parameters = race.cost(race.entrant_config(entrant, width=width)).parameters
    assert width % 4 == 0
    assert parameters == pytest.approx(
        race.cost(race.entrant_config("adaln-zero")).parameters, rel=0.05
    )


def test_equal_steps_take_equally_long():
    timings = [run["milliseconds"] for run in read_result("step-time")["runs"]]
    seconds = {
        name: [race.equal_steps(name, 300) * found[name] for found in timings] for name in DESIGNS
    }
    fastest = min(DESIGNS, key=lambda name: sum(found[name] for found in timings))
    assert race.equal_steps(fastest, 300) == 300
    for name in DESIGNS:
        assert seconds[name] == pytest.approx(seconds[fastest], rel=0.04)
        steps = {
            run["steps"]
            for run in read_result("race")["runs"]
            if (run["equal"], run["entrant"]) == ("seconds", name)
        }
        assert steps == {race.equal_steps(name, 300)}
