"""Every figure, as Python sees it: traits, output for each host, and parity with its module.

A new figure is found by its file name; it needs no line here.  Its module must export
`stages(state)` if it computes anything that the page shows.
"""

import importlib
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
import traitlets

from dit_lesson.figures.adaptive_layer_norm import AdaptiveLayerNormFigure
from dit_lesson.figures.base import Figure, bundle
from tests import javascript

FIGURES = javascript.FIGURES
NOT_FIGURES = {"base", "__init__"}
NAMES = sorted(path.stem for path in FIGURES.glob("*.py") if path.stem not in NOT_FIGURES)


def figure_class(name):
    module = importlib.import_module(f"dit_lesson.figures.{name}")
    (found,) = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Figure) and value is not Figure
    ]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_one_output_serves_every_host(name):
    figure = figure_class(name)()
    data, _ = figure._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert data["text/plain"] == figure.summary()
    assert not re.search(r"0x[0-9a-f]{6,}", data["text/plain"] + data["text/html"])
    assert data["image/png"].startswith("iVBOR")
    assert f"data:image/png;base64,{data['image/png']}" in data["text/html"]
    assert figure.caption and "<img alt=" in data["text/html"]


@pytest.mark.parametrize("name", NAMES)
def test_output_is_the_same_in_every_run(name):
    cls = figure_class(name)
    pages = [cls()._repr_mimebundle_()[0]["text/html"] for _ in range(2)]
    numbered = [re.sub(r"figure-([a-z0-9-]+)-\d+", r"figure-\1", page) for page in pages]
    assert numbered[0] == numbered[1]
    ids = [re.search(r'id="(figure-[^"]+)"', page).group(1) for page in pages]
    assert ids[0] != ids[1]


@pytest.mark.parametrize("name", NAMES)
def test_page_fetches_nothing(name):
    page = figure_class(name)()._repr_mimebundle_()[0]["text/html"]
    without_pictures = re.sub(r"data:image/png;base64,[\w+/=]+", "", page)
    assert not re.search(r"https?://|//cdn|import\(|^import ", without_pictures, re.MULTILINE)


@pytest.mark.needs_node
@pytest.mark.parametrize("name", NAMES)
def test_bundle_is_a_module_that_exports_render(name, tmp_path):
    path = tmp_path / "bundle.mjs"
    path.write_text(bundle(FIGURES / f"{name}.mjs"), encoding="utf-8")
    program = f'import f from "{path.as_uri()}"; console.log(typeof f.render)'
    run = subprocess.run(
        ["node", "--input-type=module", "--eval", program], capture_output=True, text=True
    )
    assert run.stdout.strip() == "function", run.stderr


@pytest.mark.needs_node
def test_the_example_in_contributing_is_all_that_a_figure_takes(tmp_path, monkeypatch):
    """Its two files, beside the shared modules, make a figure that draws."""
    text = (FIGURES.parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    python, module = re.findall(r"^```(?:python|js)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    for shared in ("ui.mjs", "core.mjs"):
        shutil.copy(FIGURES / shared, tmp_path)
    (tmp_path / "square.py").write_text(python, encoding="utf-8")
    (tmp_path / "square.mjs").write_text(module, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    figure = importlib.import_module("square").SquareFigure(x=2.0)
    assert figure.summary() == "The square of 2.00 is 4.00."
    page = figure._repr_mimebundle_()[0]["text/html"]
    assert "Its square is" in page and 'id="figure-square-1"' in page
    (tmp_path / "bundle.mjs").write_text(figure._esm, encoding="utf-8")
    assert javascript.call((tmp_path / "bundle.mjs").as_uri(), [("stages", {"x": 2})]) == [4]


def test_bundle_keeps_modules_apart(tmp_path):
    """Two modules may use one private name; each import sees only what is exported."""
    (tmp_path / "a.mjs").write_text("const hidden = 1;\nexport const one = hidden;\n")
    (tmp_path / "b.mjs").write_text(
        'import { one } from "./a.mjs";\nconst hidden = 5;\nexport default { v: one + hidden };\n'
    )
    assert bundle(tmp_path / "b.mjs").count("const hidden") == 2


def test_state_is_what_the_module_reads():
    figure = AdaptiveLayerNormFigure(scale=0.25)
    state = figure.state()
    assert state["scale"] == 0.25
    assert list(state) == "digit digits feature label layer mode scale shift t token".split()
    json.dumps(state)


@pytest.mark.needs_node
@pytest.mark.parametrize(
    "traits",
    [
        {},
        {"scale": -1.0, "shift": 0.7},
        {"feature": 3, "scale": 1.5, "shift": -2.0, "digit": 0},
        {"mode": "condition", "t": 0, "label": 9},
        {"mode": "condition", "t": 999, "label": 0, "digit": 7},
    ],
)
def test_adaptive_layer_norm_module_equals_python(traits):
    figure = AdaptiveLayerNormFigure(**traits)
    (result,) = javascript.call("adaptive_layer_norm", [("stages", figure.state())])
    np.testing.assert_allclose(result["all"], np.stack(figure.stages()), rtol=0, atol=1e-5)
    shift, scale = figure.modulation()
    np.testing.assert_allclose(result["shift"], shift, rtol=0, atol=1e-5)
    np.testing.assert_allclose(result["scale"], scale, rtol=0, atol=1e-5)


def test_adaptive_layer_norm_at_zero_is_layer_norm():
    _, normalised, scaled, modulated = AdaptiveLayerNormFigure(scale=0.0, shift=0.0).stages()
    assert np.array_equal(normalised, scaled) and np.array_equal(normalised, modulated)


def test_adaptive_layer_norm_erases_at_minus_one():
    *_, modulated = AdaptiveLayerNormFigure(scale=-1.0, shift=0.5).stages()
    assert np.array_equal(modulated, np.full((16, 16), 0.5))


def test_one_feature_changes_one_column():
    _, normalised, _, modulated = AdaptiveLayerNormFigure(feature=4).stages()
    changed = (normalised != modulated).any(axis=0)
    assert changed.tolist() == [column == 4 for column in range(16)]


@pytest.mark.parametrize(
    ("trait", "value"), [("scale", 3.0), ("t", 1000), ("label", 10), ("mode", "x"), ("token", -1)]
)
def test_traits_refuse_what_no_control_can_set(trait, value):
    with pytest.raises(traitlets.TraitError, match=trait):
        AdaptiveLayerNormFigure(**{trait: value})
