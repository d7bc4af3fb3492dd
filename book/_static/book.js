// What the book's pages need beyond the theme, each a few lines.

// An equation that is too wide is set smaller; a region that still scrolls is reachable by keyboard.
const regions =
  "div.math, mjx-container[display], .pst-scrollable-table-container, .highlight pre, .cell_output .output";
const mark = () => {
  for (const equation of document.querySelectorAll("mjx-container[display]")) {
    const full = equation.dataset.full ??= equation.style.fontSize; // MathJax's, in percent
    equation.style.fontSize = full;
    const fits = 0.99 * parseFloat(full) * equation.clientWidth / equation.scrollWidth;
    if (fits < 0.99 * parseFloat(full)) equation.style.fontSize = `${Math.max(80, fits)}%`;
  }
  for (const region of document.querySelectorAll(regions)) {
    const scrolls = region.scrollWidth > region.clientWidth ||
      region.scrollHeight > region.clientHeight;
    if (scrolls) region.tabIndex = 0;
    else region.removeAttribute("tabindex");
  }
};
new ResizeObserver(mark).observe(document.body);
addEventListener("load", () => globalThis.MathJax?.startup?.promise?.then(mark));

// A page on the disk may not read its neighbours, so search shows titles without excerpts.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

// Paper shows what a page folds away.
addEventListener("beforeprint", () => {
  for (const block of document.querySelectorAll("details:not([open])")) {
    block.open = true;
    block.dataset.closeAfterPrint = "";
  }
});
addEventListener("afterprint", () => {
  for (const block of document.querySelectorAll("[data-close-after-print]")) {
    block.open = false;
    delete block.dataset.closeAfterPrint;
  }
});

// The last chapter read, kept in this browser only, is offered on the front page.
const chapterFile = location.pathname.match(/\/notebooks\/(\d\d-[\w-]+\.html)$/)?.[1];
const chapterLinks = [...document.querySelectorAll(".chapter-card .sd-card-title a")];
try { // a browser may refuse to keep anything
  if (chapterFile) localStorage.setItem("last-chapter", chapterFile);
  const last = localStorage.getItem("last-chapter");
  const link = last && chapterLinks.find(({ pathname }) => pathname.endsWith(`/${last}`));
  if (link) {
    const offer = document.createElement("p");
    offer.className = "last-chapter";
    offer.append("Go on reading: ", link.cloneNode(true));
    document.querySelector("article h1").after(offer);
  }
} catch {
  // then nothing is offered
}
