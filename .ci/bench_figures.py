"""How long the figures of the built book take from an event to the painted frame.

For every chapter, each visible slider of each figure is moved by keyboard while the browser's
CPU is slowed down fourfold.  Two times are taken: what one
frame's drawing computes, and from the event until the frame is painted.
"""

import argparse
import statistics
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

BOOK = Path(__file__).parents[1] / "_build" / "html"
WATCH = """() => {
  window.times = { work: [], paint: [] };
  document.addEventListener("input", (event) => {
    requestAnimationFrame(() => {       // the figure's own drawing is in the same frame
      const channel = new MessageChannel();
      channel.port1.onmessage = () => window.times.paint.push(performance.now() - event.timeStamp);
      channel.port2.postMessage(null);
    });
  }, true);
  const ask = window.requestAnimationFrame;
  window.requestAnimationFrame = (draw) => ask((now) => {
    const start = performance.now();
    draw(now);
    window.times.work.push(performance.now() - start);
  });
}"""


def measure(page: Page, slowdown: float, steps: int) -> dict[str, list[float]]:
    """The times in milliseconds of `steps` key presses on each slider of the page."""
    page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": slowdown})
    page.evaluate(WATCH)
    sliders = page.locator(".dit-live input[type=range]:visible")
    for i in range(sliders.count()):
        sliders.nth(i).focus()
        for step in range(steps):
            sliders.nth(i).press("ArrowRight" if step % 2 else "ArrowLeft")
            page.evaluate("() => new Promise((done) => setTimeout(done, 40))")
    return page.evaluate("() => window.times")


def main() -> None:
    """Print a line for each chapter."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slowdown", type=float, default=4)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    arguments = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=arguments.chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        for path in sorted((BOOK / "notebooks").glob("*.html")):
            page = browser.new_page()
            page.goto(path.as_uri())
            page.wait_for_selector(".dit-live")
            times = measure(page, arguments.slowdown, arguments.steps)
            page.close()
            if not times["paint"]:
                print(f"{path.stem:28} has no slider")
                continue
            cells = [
                f"{name} median {statistics.median(values):5.1f} ms, "
                f"95% {statistics.quantiles(values, n=20)[-1]:5.1f} ms"
                for name, values in times.items()
            ]
            print(f"{path.stem:28} {'   '.join(cells)}   ({len(times['paint'])} events)")
        browser.close()


if __name__ == "__main__":
    main()
