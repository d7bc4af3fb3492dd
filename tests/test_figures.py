"""Every figure, as Python sees it: traits, output for each host, and parity with its module.

A new figure is found by its file name; it needs no line here.
"""

import importlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys

import deno
import numpy as np
import pytest
import traitlets

from dit_lesson.figures.base import FIGURE_NAMES, HERE, figure_class, page_script
from dit_lesson.figures.linking import link
from tests import javascript
from tests.browser import LONG_NUMBER

ROOT = HERE.parents[1]
each_figure = pytest.mark.parametrize("name", FIGURE_NAMES)


def value_of(trait, share):
    """A value of a trait at a share, 0 to 1, of all that a control may set."""
    if isinstance(trait, traitlets.Enum):
        return trait.values[round(share * (len(trait.values) - 1))]
    if isinstance(trait, traitlets.Int):
        # a multiple of 4 where there is one: a trait may ask for it
        value = trait.min + share * (trait.max - trait.min)
        return (
            min(trait.max, max(trait.min, 4 * round(value / 4))) if trait.max > 15 else round(value)
        )
    if isinstance(trait, traitlets.Float):
        return round(trait.min + share * (trait.max - trait.min), 2)
    random = np.random.default_rng(int(100 * share))
    if isinstance(trait._trait, traitlets.Bool):
        return [bool(b) for b in random.random(16) < share / 2]
    return random.permutation(16).tolist()


def states(cls):
    """Traits from one end of each control to the other, alone and mixed."""
    traits = cls().traits(choice=True)
    yield {}
    for share in (0.0, 1.0):
        yield {name: value_of(trait, share) for name, trait in traits.items()}
    random = np.random.default_rng(0)
    for _ in range(5):
        yield {name: value_of(trait, random.random()) for name, trait in traits.items()}


def compare(shown, expected, tolerance, where=""):
    """One value of a module's stages, or a dictionary or a list of them, with Python's."""
    if isinstance(expected, dict):
        assert set(shown) == set(expected), where
        for name, value in expected.items():
            compare(shown[name], value, tolerance, f"{where} {name}")
    elif isinstance(expected, list) and expected and isinstance(expected[0], dict):
        for i, (one, other) in enumerate(zip(shown, expected, strict=True)):
            compare(one, other, tolerance, f"{where} {i}")
    else:
        np.testing.assert_allclose(shown, expected, rtol=tolerance, atol=tolerance, err_msg=where)


@each_figure
def test_module_computes_what_python_computes(name):
    figures = [figure_class(name)(**state) for state in states(figure_class(name))]
    # torch takes the angles of a time step in float32, as the released model does
    tolerance = 1e-4 if figures[0].assets() else 1e-5
    for figure, shown in zip(figures, javascript.stages(figures), strict=True):
        compare(shown, figure.stages(), tolerance, str(figure.choices()))


@each_figure
def test_long_numbers_have_commas(name):
    for state in states(figure_class(name)):
        said = figure_class(name)(**state).summary()
        assert not LONG_NUMBER.search(said), said


def test_the_page_writes_numbers_as_python_does():
    calls = [
        (value, places)
        for value in (0, -0.004, 7, -12.4, 999.96, 1000, -254792, 1234567.126)
        for places in (0, 1, 4)
    ]
    shown = javascript.call((HERE / "ui" / "dom.mjs").as_uri(), [("format", *c) for c in calls])
    expected = [f"{value:z,.{places}f}".replace("-", "−") for value, places in calls]
    assert shown == expected


@each_figure
def test_one_output_serves_every_host(name):
    figure = figure_class(name)()
    data, _ = figure._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert data["text/plain"] == figure.summary()
    assert not re.search(r"0x[0-9a-f]{6,}", data["text/plain"] + data["text/html"])
    assert data["image/png"].startswith("iVBOR")
    assert f"data:image/png;base64,{data['image/png']}" in data["text/html"]
    assert figure.caption and "<img alt=" in data["text/html"]


@each_figure
def test_output_is_the_same_in_every_run(name):
    cls = figure_class(name)
    pages = [cls()._repr_mimebundle_()[0]["text/html"] for _ in range(2)]
    numbered = [re.sub(r"figure-([a-z0-9-]+)-\d+", r"figure-\1", page) for page in pages]
    assert numbered[0] == numbered[1]
    ids = [re.search(r'id="(figure-[^"]+)"', page).group(1) for page in pages]
    assert ids[0] != ids[1]


@each_figure
def test_output_holds_no_code_and_fetches_nothing(name):
    page = figure_class(name)()._repr_mimebundle_()[0]["text/html"]
    without_pictures = re.sub(r"data:image/png;base64,[\w+/=]+", "", page)
    assert re.findall(r"<script[^>]*>", page) == ['<script type="application/json">']
    assert "<style" not in page and "=>" not in page and "function" not in page
    assert not re.search(r"https?://|//cdn", without_pictures)


def test_a_change_in_the_modules_changes_pages_and_no_output(tmp_path, monkeypatch):
    """A word added to ui.mjs is on every page, and in no notebook."""
    figures = tmp_path / "figures"
    shutil.copytree(HERE, figures)
    name = "four_designs"
    before = figure_class(name)()._repr_mimebundle_()[0]["text/html"]
    with (figures / "ui.mjs").open("a", encoding="utf-8") as file:
        file.write('export const added = "zanzibar";\n')
    source = figures / f"{name}.py"
    spec = importlib.util.spec_from_file_location("changed", source)
    changed = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "changed", changed)
    spec.loader.exec_module(changed)
    cls = changed.LedgerFigure
    after = cls()._repr_mimebundle_()[0]["text/html"]
    number = re.compile(r'id="[^"]*"')
    assert number.sub("", after) == number.sub("", before)
    assert "zanzibar" in page_script(cls) and "zanzibar" in cls._esm
    assert "zanzibar" not in page_script(figure_class(name))


@each_figure
def test_linked_module_exports_what_the_module_does(name, tmp_path):
    path = tmp_path / "linked.mjs"
    path.write_text(figure_class(name)._esm, encoding="utf-8")
    program = f'import * as f from "{path.as_uri()}"; console.log(typeof f.default.render)'
    assert javascript.run(program).strip() == "function"
    figure = figure_class(name)()
    (linked,) = javascript.call(path.as_uri(), [("stages", figure.state())], figure.assets())
    assert linked == javascript.stages([figure])[0]


@each_figure
def test_without_its_assets_a_figure_shows_what_it_can(name):
    figure = figure_class(name)()
    (shown,) = javascript.call(name, [("stages", figure.state())])
    assert shown
    missing = set(figure.stages()) - set(shown)
    assert bool(missing) == bool(figure.assets())


def test_linking_keeps_modules_apart(tmp_path):
    """Two modules may use one private name; each import sees only what is exported."""
    (tmp_path / "a.mjs").write_text("const hidden = 1;\nexport const one = hidden;\n")
    (tmp_path / "b.mjs").write_text(
        'export { one } from "./a.mjs";\nconst hidden = 5;\n'
        "export function two() {\n  return hidden;\n}\nexport default two;\n"
    )
    entry = (
        'import {\n  one as first,\n  two,\n} from "./b.mjs";\nimport b from "./b.mjs";\n'
        'import * as all from "./b.mjs";\nconst hidden = 9;\n'
        "console.log(first, two(), b(), all.one, hidden);\n"
    )
    assert javascript.run(link(entry, tmp_path)).split() == ["1", "5", "5", "1", "9"]


def test_linking_takes_out_comments_and_no_code(tmp_path):
    """A type that stands before a declaration is a comment in a line that has more."""
    program = (
        "// one\n/** @type {number} */ const x = 1;\n/**\n * @type {number} two\n */\n"
        "const y = 2; // three\nconsole.log(x, y);\n"
    )
    linked = link(program, tmp_path)
    assert javascript.run(linked).split() == ["1", "2"]
    assert "one" not in linked and "two" not in linked


@pytest.mark.parametrize(
    "code",
    [
        "export let x = 1;",
        "export { x };",
        "export * from './a.mjs';",
        "import './a.mjs';",
        "import { one } from './a.mjs';",
        'import { one } from "https://example.org/a.mjs";',
        'import b, { one } from "./a.mjs";',
        'const a = await import("./a.mjs");',
        "const here = import.meta.url;",
        'import { one } from "./circle.mjs";',
    ],
)
def test_linking_refuses_what_it_does_not_know(code, tmp_path):
    (tmp_path / "a.mjs").write_text("export const one = 1;\n")
    (tmp_path / "circle.mjs").write_text('import { one } from "./circle.mjs";\n')
    with pytest.raises(ValueError, match="^link: "):
        link(f"{code}\n", tmp_path)


def test_the_example_in_contributing_is_all_that_a_figure_takes(tmp_path, monkeypatch):
    """Its two files, beside the shared modules, make a figure that draws: 120 lines at most."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    fences = re.findall(r"^```(?:python|js)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    python, module = (code for code in fences if "dit_lesson/figures/square." in code[:60])
    assert len((python + module).splitlines()) <= 120
    for shared in ("ui.mjs", "ui", "core"):
        copy = shutil.copytree if (HERE / shared).is_dir() else shutil.copy
        copy(HERE / shared, tmp_path / shared)
    (tmp_path / "square.py").write_text(python, encoding="utf-8")
    (tmp_path / "square.mjs").write_text(module, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    figure = importlib.import_module("square").SquareFigure(x=2.0)
    assert figure.summary() == "The square of 2.00 is 4.00."
    page = figure._repr_mimebundle_()[0]["text/html"]
    assert 'data-figure="square"' in page and 'id="figure-square-1"' in page
    assert "takeOver" in page_script(type(figure))
    address = (tmp_path / "square.mjs").as_uri()
    (shown,) = javascript.call(address, [("stages", figure.state())])
    compare(shown, figure.stages(), 1e-9)


@each_figure
def test_state_is_what_the_module_reads(name):
    figure = figure_class(name)()
    state = json.loads(json.dumps(figure.state()))
    assert state["given"]["start"] == {k: v for k, v in state.items() if k != "given"}
    assert set(state["given"]["domains"]) == set(state["given"]["start"])
    sizes = {name: len(content) for name, content in figure.assets().items()}
    assert state["given"]["assets"] == sizes


@each_figure
def test_traits_refuse_what_no_control_can_set(name):
    cls = figure_class(name)
    for trait, domain in cls().given["domains"].items():
        wrong = [domain["max"] + 1, domain["min"] - 1] if "max" in domain else ["x"]
        for value in wrong:
            with pytest.raises(traitlets.TraitError, match=trait):
                cls(**{trait: value})


@each_figure
def test_no_figure_imports_another(name):
    for source in (HERE / f"{name}.py", HERE / f"{name}.mjs"):
        text = source.read_text(encoding="utf-8")
        for other in FIGURE_NAMES:
            assert not re.search(rf"figures(?:\.| import .*\b){other}\b|\./{other}\.mjs", text)


def test_every_figure_has_the_name_of_its_chapter():
    """Or begins with it, where a chapter has two."""
    chapters = {path.stem[3:] for path in (ROOT / "notebooks").glob("*.ipynb")}
    for name in FIGURE_NAMES:
        stem = name.replace("_", "-")
        assert any(c.startswith(stem) or stem.startswith(c) for c in chapters), name


@pytest.mark.parametrize("action", [["fmt", "--check"], ["lint"], ["check", "dit_lesson/figures"]])
def test_javascript_is_formatted_and_its_types_are_right(action):
    run = subprocess.run(
        [deno.find_deno_bin(), *action], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
