"""What is trained for the book: every experiment works, stops and goes on; results are data."""

import json
from dataclasses import replace

import pytest
import torch

from dit_lesson import experiments
from dit_lesson.checkpoints import load_model, read_card
from dit_lesson.experiments import (
    Comparison,
    __main__,
    compare,
    masking,
    omni,
    read_result,
    record,
    shortened,
    spread,
    streaming,
    table,
    variance,
)
from dit_lesson.experiments.__main__ import COMPARISONS
from dit_lesson.experiments.shipped import SHIPPED, make
from dit_lesson.training import Recipe

RECIPE = Recipe(steps=5, batch_size=4, learning_rate=0.1)


# --- each one, for two steps ----------------------------------------------------------------


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_model_can_be_made_and_its_card_rebuilds_it(name, tmp_path):
    make(name, replace(SHIPPED[name].recipe, steps=2), tmp_path)
    card, shipped = read_card(name, tmp_path), read_card(name)
    assert card.keys() == shipped.keys() and card["training"]["steps"] == 2
    assert card["metrics"].keys() == shipped["metrics"].keys()
    assert SHIPPED[name].measure(load_model(name, tmp_path)) == card["metrics"]
    for key in ("model", "arguments", "parameters"):
        assert card[key] == shipped[key], key


@pytest.mark.parametrize("name", COMPARISONS)
def test_every_comparison_can_be_made(name, tmp_path, monkeypatch):
    for module in (masking, omni, streaming):  # whose samples take long, trained or not
        monkeypatch.setattr(module, "SAMPLES", 100)
    monkeypatch.setattr(variance, "STEPS", (5,))
    short = shortened(COMPARISONS[name], steps=2)
    compare(name, short, tmp_path)
    made, kept = read_result(name, tmp_path), read_result(name)
    assert made.keys() == kept.keys() and len(made["runs"]) == 2
    assert [run.keys() for run in made["runs"]] == [kept["runs"][0].keys()] * 2


# --- what is kept is what the recipes say ---------------------------------------------------


@pytest.mark.parametrize("name", SHIPPED)
def test_a_card_says_the_recipe(name):
    training = record(SHIPPED[name].recipe, seed=0)["training"]
    assert training.items() <= read_card(name)["training"].items()


@pytest.mark.parametrize("name", COMPARISONS)
def test_a_result_is_complete_and_says_the_recipe(name):
    comparison, kept = COMPARISONS[name], read_result(name)
    head = json.loads(json.dumps(record(comparison.recipe) | dict(comparison.shared)))
    del head["versions"]
    assert head.items() <= kept.items()
    runs = [{key: run[key] for key in comparison.settings[0]} for run in kept["runs"]]
    assert runs == list(comparison.settings)


# --- stop and go on -------------------------------------------------------------------------


def counted(runs):
    """A comparison of three runs, of which the third fails at first."""

    def run(recipe, seed):
        runs.append(seed)
        if runs == [0, 1, 2]:
            raise KeyboardInterrupt
        return {"steps": recipe.steps, "result": 10 * seed}

    return Comparison(RECIPE, [{"seed": seed} for seed in range(3)], run, {"sizes": (1, 2)})


def test_a_comparison_goes_on_with_the_run_that_was_lost(tmp_path):
    runs = []
    with pytest.raises(KeyboardInterrupt):
        compare("x", counted(runs), tmp_path)
    assert [run["seed"] for run in read_result("x", tmp_path)["runs"]] == [0, 1]
    compare("x", counted(runs), tmp_path)
    compare("x", counted(runs), tmp_path)
    assert runs == [0, 1, 2, 2]
    result = read_result("x", tmp_path)
    assert result["runs"] == [{"seed": n, "steps": 5, "result": 10 * n} for n in range(3)]
    assert result["training"]["learning_rate"] == 0.1 and result["command"] == "make train"
    assert result["versions"]["torch"] == torch.__version__ and result["sizes"] == [1, 2]


def test_a_run_that_was_lost_stands_in_its_place(tmp_path):
    compare("x", counted([5]), tmp_path)
    result = read_result("x", tmp_path)
    del result["runs"][1]
    (tmp_path / "x.json").write_text(json.dumps(result))
    compare("x", counted([5]), tmp_path)
    assert [run["seed"] for run in read_result("x", tmp_path)["runs"]] == [0, 1, 2]


def test_runs_of_another_recipe_are_not_mixed(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        compare("x", counted([]), tmp_path)
    before = (tmp_path / "x.json").read_bytes()
    other = replace(counted([]), recipe=replace(RECIPE, steps=6))
    with pytest.raises(ValueError, match="compare: x.json has runs of another recipe"):
        compare("x", other, tmp_path)
    assert (tmp_path / "x.json").read_bytes() == before


def test_an_unknown_result_lists_the_known_ones(tmp_path):
    with pytest.raises(FileNotFoundError, match="read_result: name is 'y', expected one of: none"):
        read_result("y", tmp_path)


# --- results in print -----------------------------------------------------------------------


def test_a_spread_is_the_median_and_the_ends_or_every_seed():
    assert spread([0.5, 0.11, 0.2], 2) == "0.20 (0.11, 0.50)"
    assert spread([3, 1, 4, 2], 1) == "2.5 (1.0, 4.0)"
    assert spread([0.5, 0.11, 0.2], 2, by_seed=True) == "0.50 0.11 0.20"
    assert spread([7, 7, 7], 0) == "7"


def kept(path, runs):
    (path / "x.json").write_text(json.dumps({"runs": runs}))


def test_a_table_has_a_line_for_each_setting(tmp_path):
    values = {("a", 1): (1, 3), ("a", 2): (5, 4), ("b", 1): (9, 9)}
    kept(
        tmp_path,
        [
            {"kind": kind, "size": size, "seed": seed, "loss": loss, "other": 0}
            for (kind, size), losses in values.items()
            for seed, loss in enumerate(losses)
        ],
    )
    assert table("x", "kind size", {"loss": 1}, directory=tmp_path).splitlines() == [
        "kind  size  loss",
        "a     1     2.0 (1.0, 3.0)",
        "a     2     4.5 (4.0, 5.0)",
        "b     1     9.0",
    ]
    lines = table("x", "size", {"loss": 0, "other": 2}, "", True, tmp_path).splitlines()
    assert lines == ["size  loss     other", "1     1 3 9 9  0.00 0.00 0.00 0.00", lines[2]]


def test_a_table_puts_a_setting_or_the_steps_side_by_side(tmp_path):
    runs = [
        {"kind": kind, "seed": seed, "steps": {"1": {"loss": seed}, "16": {"loss": 10 * seed}}}
        for kind in ("long name", "b")
        for seed in (1, 2)
    ]
    kept(tmp_path, runs)
    assert table("x", "kind", {"loss": 0}, "steps", True, tmp_path).splitlines() == [
        "kind       steps 1  steps 16",
        "long name  1 2      10 20",
        "b          1 2      10 20",
    ]
    assert table("x", "kind steps", {"loss": 0}, directory=tmp_path).count("\n") == 4


def test_a_table_finds_a_value_by_its_path(tmp_path):
    runs = [{"kind": "a", "seed": n, "walks": [{"loss": 0}, {"loss": n}]} for n in (1, 2, 3)]
    kept(tmp_path, runs)
    text = table("x", "kind", {"walks.1.loss": 1}, directory=tmp_path)
    assert text.splitlines() == ["kind  loss", "a     2.0 (1.0, 3.0)"]


# --- the command ----------------------------------------------------------------------------


def test_the_command_makes_what_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(__main__, "COMPARISONS", {"x": counted([5])})
    monkeypatch.setattr(__main__, "RESULTS", tmp_path)
    monkeypatch.setattr(__main__, "compare", lambda name, c: compare(name, c, tmp_path))
    __main__.main(["x"])
    assert "3 of 3 runs to make" in capsys.readouterr().out
    __main__.main(["x"])
    assert "0 of 3 runs to make" in capsys.readouterr().out
    __main__.main(["x", "--anew"])
    assert "3 of 3 runs to make" in capsys.readouterr().out


def test_an_unknown_experiment_gets_one_sentence(capsys):
    with pytest.raises(SystemExit) as stop:
        __main__.main(["vitt"])
    assert stop.value.code == 2
    assert "there is no experiment 'vitt', expected some of: autoencoder" in capsys.readouterr().err


def test_results_hold_no_other_file():
    names = {path.name for path in experiments.RESULTS.iterdir()}
    in_a_browser = {"page-training.json"}  # made by tools/measure_page_training.py
    assert names == {f"{name}.json" for name in COMPARISONS} | in_a_browser
