"""The race figure: its numbers are those of the record, and its page shows what Python computes."""

import json

import numpy as np
import pytest
from playwright.sync_api import expect

from dit_lesson.experiments import read_result
from dit_lesson.figures.race import MEASURES, RACES, RaceFigure, results
from tests.browser import PHONE, live_figures, table_rows


def test_values_are_those_of_the_record():
    runs = read_result("race")["runs"]
    for race, (equal, loudness, entrants) in RACES.items():
        for entrant, row in zip(entrants[:3], results()[race]["accuracy"], strict=False):
            assert row == [
                run["accuracy"]
                for run in runs
                if (run["equal"], run["loudness"], run["entrant"]) == (equal, loudness, entrant)
            ], (race, entrant)
        assert results()[race].keys() == MEASURES.keys()
        assert entrants[3] == "adaln-zero"


def test_pairs_make_the_error_of_a_common_shift_small():
    now = RaceFigure(measure="distance").stages()
    a, b = now["values"][0], now["values"][3]
    assert now["gaps"][0] == pytest.approx((a - b).mean())
    assert now["paired"][0] == pytest.approx((a - b).std(ddof=1) / np.sqrt(len(a)))
    assert now["unpaired"][0] ** 2 == pytest.approx((a.var(ddof=1) + b.var(ddof=1)) / len(a))
    assert now["gaps"][3] == now["paired"][3] == 0


def test_one_seed_has_no_error_and_says_so():
    figure = RaceFigure(seeds=1)
    assert len(figure.stages()["errors"]) == len(figure.stages()["paired"]) == 0
    assert "1 seed," in figure.summary() and "0 of 3 differ" in figure.summary()


@pytest.mark.needs_chromium
def test_page_equals_python(open_page):
    (figure,) = live_figures(open_page("15-race"))
    state = {}
    for label, name, value in (
        ("race", "race", "gate or zero start"),
        ("measure", "measure", "distance"),
        ("compared with", "rival", 1),
    ):
        figure.get_by_label(label, exact=True).select_option(json.dumps(value))
        state[name] = value
        now = RaceFigure(**state).stages()
        columns = [now[key] for key in ("means", "errors", "gaps", "paired")]
        assert list(table_rows(figure).values()) == [
            pytest.approx(list(row)) for row in np.transpose(columns)
        ]
    names = ["adaLN", "adaLN, zero start", "gates, Xavier start", "adaLN-Zero"]
    expect(figure.get_by_label("compared with", exact=True).locator("option")).to_have_text(names)
    said = expect(figure.get_by_role("status").last)
    said.to_contain_text(f"{now['means'].min():.0f}")


@pytest.mark.needs_chromium
def test_the_room_of_the_longest_sentence_stays(open_page):
    """On a phone what stands below a figure moves down once, and not with every choice."""
    (figure,) = live_figures(open_page("15-race", **PHONE))
    said = figure.get_by_role("status").last
    heights = []
    for preset, words in (("one seed", "One seed"), ("five seeds", "±"), ("one seed", "One seed")):
        figure.get_by_role("button", name=preset).click()
        expect(said).to_contain_text(words)
        heights.append(said.evaluate("e => e.offsetHeight"))
    assert heights[0] == heights[1] == heights[2]
