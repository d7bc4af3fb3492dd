"""The table of what came after DiT: every row has its four answers, its date and its source."""

import re

from dit_lesson.lineage import CODE_READ, MODELS


def test_every_row_is_whole_dated_and_has_a_source():
    for model in MODELS:
        answers = (model.predicts, model.space, model.condition, model.teacher)
        assert all(answers), model.name
        assert re.fullmatch(r"20\d\d(-(0[1-9]|1[0-2]))?", model.month), model.name
        assert re.search(r"\d{4}\.\d{5}|[\w.-]+@[0-9a-f]{7}", model.source), model.name
        assert model.checked in ("paper", "abstract", "code", "readme"), model.name


def test_rows_are_in_the_order_of_time_and_none_comes_twice():
    months = [f"{model.month}-12"[:7] for model in MODELS]
    assert months == sorted(months) and len({model.name for model in MODELS}) == len(MODELS)


def test_a_printed_row_fits_a_phone():
    for model in MODELS:
        assert all(len(line) <= 37 for line in str(model).splitlines()), model.name


def test_code_that_was_read_has_its_commit():
    for source in CODE_READ:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{7}", source), source
