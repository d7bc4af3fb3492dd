"""The checkers of the chapter on the four designs name each usual mistake."""

import re

import pytest

from dit_lesson.checks import four_designs as check


def overhead(queries=2, keys=2, pair=2, scores=2, form=lambda extra, plain: extra / plain):
    def function(n, d):
        extra = (queries * n + keys * 2) * d**2 + pair * n * 2 * d
        return form(extra, 12 * n * d**2 + scores * n * n * d)

    return function


def parameters(core=9, bias=1, layers=True, modulation=True):
    def function(d, depth, chunks):
        block = 12 * d * d + core * d + modulation * chunks * d * (d + bias)
        return (depth if layers else 1) * block

    return function


def diagnosis(**changes):
    return lambda: check.DIAGNOSES | changes


CASES = [
    (check.check_overhead, overhead(), "right"),
    (check.check_overhead, overhead(form=lambda e, p: (e + p) / p), "subtract 1"),
    (check.check_overhead, overhead(form=lambda e, p: e / (e + p)), "divide by the plain one"),
    (check.check_overhead, overhead(queries=4, keys=0), "not from the image"),
    (check.check_overhead, overhead(keys=0), "Keys and values are missing"),
    (check.check_overhead, overhead(pair=0), "weighted values are missing"),
    (check.check_overhead, overhead(pair=1), "D again"),
    (check.check_overhead, overhead(scores=0), "2 N N D"),
    (check.check_overhead, lambda n, d: None, "raised|returned|not yet"),
    (check.check_diagnosis, diagnosis(), "right"),
    (check.check_diagnosis, diagnosis(A="flops"), "Look at A again"),
    (check.check_diagnosis, diagnosis(B="right", C="flops"), "at B, C again: B is 2.000, C is 1"),
    (check.check_diagnosis, diagnosis(D="adaln"), "Look at D"),
    (check.check_diagnosis, diagnosis(B="half"), "none of"),
    (check.check_diagnosis, lambda: {"A": "right"}, "expected a dict"),
    (check.check_parameters, parameters(), "right"),
    (check.check_parameters, parameters(modulation=False), "modulation is missing"),
    (check.check_parameters, parameters(bias=0), "bias of the modulation"),
    (check.check_parameters, parameters(core=0), "biases of attention"),
    (check.check_parameters, parameters(core=13), "no parameters of their own"),
    (check.check_parameters, parameters(layers=False), "one block"),
    (check.check_parameters, lambda d, depth, k: depth * k * d * (d + 1), "modulation alone"),
    (
        check.check_parameters,
        lambda d, depth, k: parameters()(d, depth, k) + 2 * d * (d + 1),
        "final layer",
    ),
    (check.check_parameters, lambda d, depth, k: parameters()(d, depth, 4), "ignores chunks"),
    (check.check_parameters, lambda d, depth, k: 1, "for the arguments 64, 3, 4"),
    (check.check_overhead, overhead(form=lambda e, p: 2 * e / p), "count alike"),
    (check.check_overhead, overhead(form=lambda e, p: 100 * e / p), "percent"),
    (check.check_overhead, overhead(form=lambda e, p: e), "Those are the MACs"),
    (check.check_overhead, overhead(scores=1), "In the plain block a pair"),
    (
        check.check_overhead,
        lambda n, d: overhead(form=lambda e, p: e / (p - 8 * n * d**2))(n, d),
        "has an MLP",
    ),
    (
        check.check_overhead,
        lambda n, d: overhead(form=lambda e, p: e / (p + 6 * d**2))(n, d),
        "block of adaLN-Zero",
    ),
]


@pytest.mark.parametrize(("checker", "function", "sentence"), CASES)
def test_checker_says(checker, function, sentence, capsys):
    checker(function)
    said = capsys.readouterr().out
    assert said.startswith(checker.__name__) and said.count("\n") == 1
    assert re.search(sentence, said), said
    assert (": right." in said) == (sentence == "right")


def test_the_four_reports_differ():
    assert len(set(check.REPORTS.values())) == 4
