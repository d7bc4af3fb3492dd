"""Every exercise praises its reference and names each of its mistakes, and no two of them alike."""

import importlib
import pkgutil
from pathlib import Path

import numpy as np
import pytest
import torch

from dit_lesson import exercises
from dit_lesson.counting import dit_ledger, total
from dit_lesson.embeddings import LabelEmbedder, TimestepEmbedder
from dit_lesson.exercises import Exercise, Family, exercise, four_designs, race
from dit_lesson.models import DiT, DiTConfig

CHAPTERS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
EXERCISES = [
    (f"{module.name}.{name}", value)
    for module in pkgutil.iter_modules(exercises.__path__)
    for name, value in vars(importlib.import_module(f"dit_lesson.exercises.{module.name}")).items()
    if isinstance(value, Exercise)
]
MISTAKES = [
    pytest.param(check, mistake, sentence, id=f"{name}-{sentence[:40]}")
    for name, check in EXERCISES
    for sentence, mistakes in check.mistakes.items()
    for mistake in (mistakes if isinstance(mistakes, tuple) else (mistakes,))
]
BY_NAME = pytest.mark.parametrize("check", [c for _, c in EXERCISES], ids=[n for n, _ in EXERCISES])


@pytest.fixture
def said(capsys):
    """What an exercise prints about a function, one line, less its own name."""

    def run(check, function):
        check(function)
        line = capsys.readouterr().out
        assert line.count("\n") == 1 and line.startswith(f"{check.reference.__name__}: ")
        return line.strip().split(": ", 1)[1]

    return run


def test_every_exercise_is_set_by_a_chapter():
    chapters = "".join(path.read_text(encoding="utf-8") for path in CHAPTERS)
    assert len(EXERCISES) >= 39
    assert [name for name, check in EXERCISES if f"{check.__name__}(" not in chapters] == []


@BY_NAME
def test_the_reference_is_praised(check, said):
    assert said(check, check.reference) == f"right. {check.right}"


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("check", "mistake", "sentence"), MISTAKES)
def test_every_mistake_gets_its_own_sentence(check, mistake, sentence, said):
    function = mistake.example if isinstance(mistake, Family) else mistake
    assert said(check, function) == f"not yet. {sentence}"


@BY_NAME
def test_what_goes_wrong_in_general_is_said(check, said):
    def nothing(*arguments):
        raise RuntimeError("first line\n  second line")

    failed = said(check, nothing)
    assert failed.startswith("your function raised RuntimeError: first line second line; expected")
    none = said(check, lambda *arguments: None)
    assert none.startswith("not yet. ")
    if check.judge is None:
        assert none.startswith("not yet. It returned None, expected a")
        shape = said(check, lambda *arguments: np.zeros((7, 1, 7)))
        assert shape.startswith("not yet. It returned shape (7, 1, 7), expected (")
        off = np.array([0.5, -0.25, 0.125, 0.75, -0.5, 0.3, 0.9])
        wrong = said(check, lambda *a: moved(check.reference(*a), off))
        assert wrong.startswith("not yet. It returned ") and "expected" in wrong
        endless = said(check, lambda *a: moved(check.reference(*a), np.array([np.nan])))
        assert endless.startswith("not yet. The result holds NaN or infinite values")


def moved(value, by):
    """The numbers of a right answer, each off by another amount."""
    value = np.asarray(value, dtype=float)
    return value + np.resize(by, value.shape)


def test_tensors_are_answers_too_arguments_are_kept_and_hints_are_given(said):
    given = np.ones(2)

    @exercise((given,), right="Good.", mistakes={})
    def twice(x):
        return 2 * x

    def writes(x):
        x += 1
        return torch.tensor(x)

    assert said(twice, writes) == "right. Good." and np.array_equal(given, np.ones(2))
    assert "An axis may be missing" in said(twice, lambda x: x + np.ones(3))
    assert "return one array" in said(twice, lambda x: (x, np.ones((2, 3))))


# --- the references are what the package does ---------------------------------------------


def by_name(name):
    return dict(EXERCISES)[name].reference


def test_the_formulae_are_the_ledgers():
    def macs(design, *parts):
        ledger = dit_ledger(DiTConfig(conditioning=design))
        return total(ledger[part] for part in parts).macs

    cross = macs("cross-attention", "cross-attention projections", "cross-attention scores")
    assert by_name("cross_attention.check_extra_macs")(256, 2, 1152, 28) == cross
    blocks = ("attention projections", "attention scores", "MLP")
    extra = macs("in-context", *blocks) - macs("adaln", *blocks)
    assert by_name("in_context.check_extra_macs")(256, 2, 1152, 28) == extra
    for design, chunks in (("adaln", 4), ("adaln-zero", 6)):
        ledger = dit_ledger(DiTConfig(conditioning=design))
        counted = total(ledger[part] for part in (*blocks, "modulation")).parameters
        final = 2 * 1152 * 1153
        assert by_name("four_designs.check_parameters")(1152, 28, chunks) == counted - final
    assert len(set(four_designs.REPORTS.values())) == 4


def test_the_count_is_that_of_the_modules():
    modules = TimestepEmbedder(384), LabelEmbedder(1000, 384)
    counted = sum(p.numel() for module in modules for p in module.parameters())
    assert by_name("time_and_class.check_count")(384, 1000) == counted


def test_the_wake_up_is_what_a_model_does():
    """With a final layer that is not zero: gates first, the rest one backward pass later."""
    torch.manual_seed(0)
    model = DiT(DiTConfig(input_size=4, hidden_size=16, depth=2, num_heads=2, num_classes=10))
    torch.nn.init.normal_(model.final_layer.linear.weight)
    x, t, y = torch.randn(8, 4, 4, 4), torch.arange(8), torch.arange(8)
    awake = {}
    for number in (1, 2):
        model.zero_grad()
        model(x, t, y).square().mean().backward()
        block = model.blocks[0]
        gates = block.adaLN_modulation[1].weight.grad.chunk(6)[2]
        for part, gradient in (
            ("gates", gates),
            ("attention", block.attn.qkv.weight.grad),
            ("table", model.y_embedder.embedding_table.weight.grad),
        ):
            if gradient.any():
                awake.setdefault(part, number)
        with torch.no_grad():
            for p in model.parameters():
                p -= 0.1 * p.grad
    found = tuple(awake[part] for part in ("gates", "attention", "table"))
    assert found == by_name("adaln_zero.check_wake_up")()


def test_the_errors_that_few_seeds_take_are_students():
    """With x = sqrt(n - 1) tan(angle) Student's density is cos(angle) ** (n - 2)."""
    angles = np.linspace(0, np.pi / 2, 100_001)
    for n, errors in race.STUDENT.items():
        density = np.cos(angles) ** (n - 2)
        within = density[angles < np.arctan(errors / np.sqrt(n - 1))].sum() / density.sum()
        assert within == pytest.approx(0.95, abs=1e-4)
    assert list(race.STUDENT) == list(range(2, 31))
