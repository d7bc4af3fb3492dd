"""How long the figures of the built book take from an event to the painted frame.

For every chapter, or those named with --only, each visible slider of each figure is moved by
keyboard while the browser's CPU is slowed down fourfold.  Three times are taken of each event:
what the page's JavaScript computes, what the page does until the frame is painted, and the whole
time on the clock, which adds the wait for the next frame (up to 16.7 ms at 60 Hz).  The first
line is a page with one slider and one number, the least that this machine can do; the last is a
page whose worker trains meanwhile, at full speed.
"""

import argparse
import statistics
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tools.chromium import CHROMIUM

BOOK = Path(__file__).parents[1] / "_build" / "html"
REST = 1500  # ms in which a page loads what its figure draws, before anything is moved
LEAST = """<div class="dit-live"><input type="range"><p></p></div><script>
const [range] = document.getElementsByTagName("input");
range.oninput = () => requestAnimationFrame(() => {
  range.nextSibling.textContent = range.value;
});
</script>"""
WATCH = """() => {
  window.times = { computes: [], paints: [], waits: [] };
  let computing = 0;
  const spent = (work) => {
    const start = performance.now();
    work();
    computing += performance.now() - start;
  };
  // the first listener of all and the last: what the figure does with the event lies between
  document.addEventListener("input", (event) => {
    const received = performance.now();
    computing = 0;
    let handled = 0;
    const after = () => { handled = performance.now() - received; };
    window.addEventListener("input", after, { once: true });
    ask((frame) => {       // the figure's own drawing is in the same frame
      const start = performance.now();
      const channel = new MessageChannel();
      channel.port1.onmessage = () => {
        const painted = performance.now();
        window.times.computes.push(handled + computing);
        window.times.paints.push(handled + painted - start);
        window.times.waits.push(painted - event.timeStamp);
      };
      channel.port2.postMessage(null);
    });
  }, true);
  const ask = window.requestAnimationFrame.bind(window);
  window.requestAnimationFrame = (draw) => ask((now) => spent(() => draw(now)));
}"""


def measure(page: Page, slowdown: float, steps: int) -> dict[str, list[float]]:
    """The times in milliseconds of `steps` key presses on each slider of the page."""
    page.evaluate(WATCH)
    sliders = page.locator(".dit-live input[type=range]:visible")
    page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": slowdown})
    for i in range(sliders.count()):
        sliders.nth(i).focus()
        for step in range(steps):
            key = "ArrowRight" if step % 2 else "ArrowLeft"
            page.keyboard.down(key)
            page.wait_for_timeout(50)  # a hand lets go of a key after the frame, not before it
            page.keyboard.up(key)
            page.wait_for_timeout(30)
    return page.evaluate("() => window.times")


def while_training(browser: Browser, steps: int) -> dict[str, list[float]]:
    """The times on the page of chapter 13 while its run goes on."""
    page = browser.new_page()
    page.goto((BOOK / "notebooks" / "13-training.html").as_uri())
    page.get_by_role("button", name="train it here").click()
    page.wait_for_timeout(2 * REST)  # the gates are open, the code is warm
    times = measure(page, 1, steps)
    assert page.get_by_role("button", name="pause").count(), "the run had ended before"
    page.close()
    return times


def report(name: str, times: dict[str, list[float]]) -> None:
    """Print the line of one page."""
    if not times["paints"]:
        print(f"{name:28} has no slider")
        return
    cells = [
        f"{what} {statistics.median(values):5.1f} ({statistics.quantiles(values, n=20)[-1]:5.1f})"
        for what, values in times.items()
    ]
    print(f"{name:28} {'   '.join(cells)}   {len(times['paints'])} events")


def main() -> None:
    """Print a line for each chapter."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slowdown", type=float, default=4)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--only", default="", help="the chapters whose names begin so, such as 09")
    arguments = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        print("median and 95th percentile, in ms")
        page = browser.new_page()
        page.set_content(LEAST)
        page.wait_for_timeout(REST)
        report("one slider, one number", measure(page, arguments.slowdown, arguments.steps))
        page.close()
        for path in sorted((BOOK / "notebooks").glob(arguments.only + "*.html")):
            page = browser.new_page()
            page.goto(path.as_uri())
            page.wait_for_selector(".dit-live")
            page.locator(".dit-live").first.scroll_into_view_if_needed()
            page.wait_for_timeout(REST)
            report(path.stem, measure(page, arguments.slowdown, arguments.steps))
            page.close()
        report("13, while it trains", while_training(browser, arguments.steps))
        browser.close()


if __name__ == "__main__":
    main()
