"""The figures in a real JupyterLab: with a kernel, and before any cell ran.

One server and one browser serve all tests of this file.
"""

import base64
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from hashlib import sha256
from pathlib import Path

import nbformat
import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import expect
from safetensors.torch import load, save

from tests.browser import at_rest, tables

ROOT = Path(__file__).parents[1]
CHAPTER = ROOT / "notebooks" / "09-adaptive-layer-norm.ipynb"
BROKEN = re.compile(r"Error displaying widget|Loading widget|Error creating widget|Traceback")
CELLS = [
    "from dit_lesson.figures.adaptive_layer_norm import AdaptiveLayerNormFigure\n"
    "figure = AdaptiveLayerNormFigure()\nfigure",
    "figure",
    "from dit_lesson.figures.vit_review import ViTFigure\nViTFigure()",
    "import ipywidgets\n"
    "other = ipywidgets.FloatSlider(min=-2, max=2, step=0.5)\n"
    "link = ipywidgets.link((figure, 'shift'), (other, 'value'))\nother",
]

TRAINING = [
    "from dit_lesson.figures.training import TrainingFigure\nfigure = TrainingFigure()\nfigure",
    "other = TrainingFigure()\nother",
]

OWN = [
    "from dit_lesson.figures.whole_dit_opened import WholeDiTOpenedFigure\n"
    "opened = WholeDiTOpenedFigure()\nopened",
    "from dit_lesson.figures.sampling import SamplingFigure\npainted = SamplingFigure()\npainted",
]
MODEL = """
import torch
from dit_lesson.experiments.recipes import DIGITS_DIT
from dit_lesson.models import DiT
torch.manual_seed(0)
model = DiT(DIGITS_DIT)
for parameter in model.parameters():
    torch.nn.init.normal_(parameter, std=0.2)
"""

pytestmark = pytest.mark.needs_chromium


def wait_for(url, seconds=60):
    end = time.monotonic() + seconds
    while True:
        try:
            return urllib.request.urlopen(url, timeout=2).read()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab that serves a folder with four notebooks."""
    folder = tmp_path_factory.mktemp("lab")
    for name, cells in (("live", CELLS), ("training", TRAINING), ("own", OWN)):
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source) for source in cells],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        )
        nbformat.write(notebook, folder / f"{name}.ipynb")
    (folder / "chapter.ipynb").write_bytes(CHAPTER.read_bytes())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [
        f"--ServerApp.root_dir={folder}",
        f"--ServerApp.port={port}",
        "--ServerApp.ip=127.0.0.1",
        "--ServerApp.open_browser=False",
        "--ServerApp.allow_root=True",
        "--IdentityProvider.token=",
        "--LabApp.expose_app_in_browser=True",
        "--LabApp.news_url=None",
    ]
    # a state directory of its own: what this machine trusts or remembers plays no part
    private = {
        name: str(tmp_path_factory.mktemp(name.lower()))
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    }
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options],
            env={**os.environ, **private, "PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/api")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=20)


def open_notebook(browser, lab, name):
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.goto(f"{lab}/lab/workspaces/{Path(name).stem}/tree/{name}", timeout=90_000)
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=90_000)
    return page


def run_all(page):
    page.wait_for_function("jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel")
    page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")


@pytest.fixture(scope="module")
def live(browser, lab):
    """A page whose notebook has run: two views of one figure and a linked FloatSlider."""
    page = open_notebook(browser, lab, "live.ipynb")
    run_all(page)
    page.wait_for_selector(".noUi-handle", timeout=90_000)
    page.wait_for_function("document.querySelectorAll('.dit-live').length === 3")
    yield page
    page.close()


def python(page, code):
    """What `code` prints in the notebook's own kernel."""
    return page.evaluate(
        """async (code) => {
          const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
          const run = kernel.requestExecute({ code });
          let printed = "";
          run.onIOPub = ({ header, content }) => {
            if (header.msg_type === "stream") printed += content.text;
            if (header.msg_type === "error") printed += content.evalue;
          };
          await run.done;
          return printed.trim();
        }""",
        code,
    )


def sliders(page, label):
    return page.get_by_role("slider", name=re.compile(label))


def test_moving_the_slider_changes_python(live):
    python(live, "figure.scale = 0.0")
    slider = sliders(live, "scale").first
    live.wait_for_function("e => e.value === '0'", arg=slider.element_handle())
    slider.click()  # the notebook gives the focus to what was clicked
    before = float(slider.input_value())
    slider.press("ArrowRight")
    moved = f"e => Math.abs(e.value - {before + 0.05}) < 1e-9"
    live.wait_for_function(moved, arg=slider.element_handle())
    # the kernel hears of it when the widget's message arrives
    for _ in range(100):
        heard = float(python(live, "print(figure.scale)"))
        if heard == pytest.approx(before + 0.05):
            break
    assert heard == pytest.approx(before + 0.05)


def test_setting_python_moves_the_slider_in_both_views(live):
    python(live, "figure.scale = 1.25")
    for view in range(2):
        handle = sliders(live, "scale").nth(view).element_handle()
        live.wait_for_function("e => e.value === '1.25'", arg=handle)


def test_two_views_stay_in_step(live):
    first, second = sliders(live, "scale").nth(0), sliders(live, "scale").nth(1)
    python(live, "figure.scale = 1.0")
    live.wait_for_function("e => e.value === '1'", arg=second.element_handle())
    first.click()
    first.press("End")
    live.wait_for_function("e => e.value === '2'", arg=second.element_handle())
    assert first.input_value() == "2"
    said = live.get_by_role("status").filter(has_text="before layer norm")
    live.wait_for_function(  # each sentence comes a little after its picture
        "([one, other]) => one.textContent === other.textContent",
        arg=[said.first.element_handle(), said.last.element_handle()],
    )


def test_a_linked_float_slider_drives_the_figure(live):
    python(live, "other.value = 0.5")
    handle = live.locator(".noUi-handle")
    handle.focus()
    handle.press("ArrowRight")
    shift = sliders(live, "shift").first.element_handle()
    live.wait_for_function("e => e.value === '1'", arg=shift)
    assert python(live, "print(figure.shift, other.value)") == "1.0 1.0"


def test_a_model_comes_through_the_kernel(live):
    said = live.locator(".dit-live").nth(2).get_by_role("status").last
    live.locator(".dit-live").nth(2).scroll_into_view_if_needed()
    expect(said).to_contain_text("The model says", timeout=30_000)


def test_trained_weights_reach_python_and_others_come_back_to_be_trained(browser, lab):
    page = open_notebook(browser, lab, "training.ipynb")
    run_all(page)
    figures = page.locator(".dit-live")
    expect(figures).to_have_count(2, timeout=90_000)
    figure, other = figures.all()

    def press(one, name):
        one.scroll_into_view_if_needed()
        one.get_by_role("button", name=name, exact=True).click(timeout=60_000)
        at_rest(one)

    def loss(one):
        return tables(one)[0]["this run"][1]

    def picture(one):
        return one.locator("canvas.dit-ten").first.evaluate("canvas => canvas.toDataURL()")

    figure.scroll_into_view_if_needed()
    expect(figure).to_contain_text("no step yet", timeout=60_000)
    assert python(page, "print(figure.trained)") == "None"
    press(figure, "one step")
    first = loss(figure)
    press(figure, "50 steps")
    file = figure.get_by_role("link", name="save the weights").evaluate(
        """async ({ href }) => {
          const bytes = new Uint8Array(await (await fetch(href)).arrayBuffer());
          return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
        }"""
    )
    expected = sha256(save(load(base64.b64decode(file)))).hexdigest()
    heard = ""
    for _ in range(100):  # the kernel hears of them when the message arrives
        heard = python(
            page,
            "from hashlib import sha256\nfrom safetensors.torch import save\n"
            "if figure.trained: print(sha256(save(figure.trained.state_dict())).hexdigest())",
        )
        if heard == expected:
            break
    assert heard == expected

    painted = picture(figure)
    python(page, "other.initial = figure.trained")
    other.scroll_into_view_if_needed()
    expect(other).to_contain_text("begins at the weights that were given", timeout=60_000)
    at_rest(other)
    assert picture(other) == painted
    press(other, "one step")
    assert loss(other) < 0.8 * first
    said = python(page, "from dit_lesson.models import DiT, DIT_CONFIGS\n"
                  "other.initial = DiT(DIT_CONFIGS['DiT-S/8'])")  # fmt: skip
    assert said == "TrainingFigure: initial's hidden_size is 384, expected 64 or 32"
    page.close()


def test_a_model_from_python_is_opened_and_paints(browser, lab):
    page = open_notebook(browser, lab, "own.ipynb")
    run_all(page)
    figures = page.locator(".dit-live")
    expect(figures).to_have_count(2, timeout=90_000)
    python(page, MODEL)
    for figure, name in zip(figures.all(), ("opened", "painted"), strict=True):
        figure.scroll_into_view_if_needed()
        said = figure.get_by_role("status").last
        summary = f"print({name}.summary())"
        expect(said).to_have_text(python(page, summary), timeout=60_000)
        expect(figure.get_by_label("weights", exact=True)).to_be_hidden()
        python(page, f"{name}.own, {name}.weights = model, 'yours'")
        expect(said).to_have_text(python(page, summary), timeout=60_000)
        expect(said).to_contain_text("by your own weights")
        figure.get_by_label("weights", exact=True).select_option("the book's")
        expect(said).not_to_contain_text("by your own weights")
        expect(said).to_have_text(python(page, f"{name}.own = None\n{summary}"))
    page.close()


def test_a_notebook_that_was_opened_and_not_run_shows_pictures(browser, lab):
    page = open_notebook(browser, lab, "chapter.ipynb")
    figure = page.locator(".dit-figure img, .dit-figure .dit-live").first
    page.evaluate(
        """() => {
          const notebook = jupyterapp.shell.currentWidget.content;
          const cells = notebook.model.cells;
          for (let i = 0; i < cells.length; i++)
            if (cells.get(i).sharedModel.source.includes("Figure()")) notebook.activeCellIndex = i;
          return notebook.scrollToItem(notebook.activeCellIndex);
        }"""
    )
    figure.wait_for(state="visible", timeout=30_000)
    assert figure.evaluate("e => e.tagName !== 'IMG' || e.naturalWidth > 100")
    assert not BROKEN.search(page.locator(".jp-Notebook").inner_text())
    page.close()


def test_the_notebook_as_a_code_host_shows_it_has_pictures_and_no_error():
    """Code hosts render the stored outputs and strip scripts and styles."""
    notebook = nbformat.read(CHAPTER, as_version=4)
    assert "widgets" not in notebook.metadata
    page, _ = HTMLExporter(sanitize_html=True, exclude_input=True).from_notebook_node(notebook)
    figures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "dit-figure" in json.dumps(output.get("data", {}).get("text/html", ""))
    ]
    assert figures
    for output in figures:
        assert "image/png" in output.data
        assert "application/vnd.jupyter.widget-view+json" not in output.data
    assert not BROKEN.search(page)
