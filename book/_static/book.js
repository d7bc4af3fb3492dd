// What the book's pages need beyond the theme, each a few lines.

// An equation that is too wide is set smaller; a region that still scrolls is reachable by keyboard.
const regions = "div.math, mjx-container[display], .pst-scrollable-table-container, " +
  ".highlight pre, .cell_output .output, .plot";
const mark = () => {
  for (const equation of document.querySelectorAll("mjx-container[display]")) {
    equation.style.setProperty("--fits", "1");
    const fits = 0.99 * equation.clientWidth / equation.scrollWidth;
    if (fits < 0.99) equation.style.setProperty("--fits", String(fits));
  }
  for (const region of document.querySelectorAll(regions)) {
    const scrolls = region.scrollWidth > region.clientWidth ||
      region.scrollHeight > region.clientHeight;
    if (scrolls) region.tabIndex = 0;
    else region.removeAttribute("tabindex");
  }
};
new ResizeObserver(mark).observe(document.body);

// A page on the disk may not read its neighbours, so search shows titles without excerpts.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

// An excerpt is of the chapter, not of the buttons around it: Sphinx looks for the role "main".
addEventListener("DOMContentLoaded", () => {
  if (typeof Search === "undefined") return;
  const textOf = Search.htmlToText;
  Search.htmlToText = (page, anchor) =>
    textOf(
      page.replace(' role="main"', "").replace("<article", '<article role="main"'),
      anchor,
    );
});

// While a figure, which is wider than the text, passes under the bar at the top, the bar is as wide.
const bar = document.querySelector(".bd-header-article");
const passing = new Set();
const atTop = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) passing.add(target);
    else passing.delete(target);
  }
  bar.classList.toggle("over-figure", passing.size > 0);
}, { rootMargin: "0px 0px -90% 0px" });
for (const figure of document.querySelectorAll(".dit-figure")) atTop.observe(figure);

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
    document.querySelector("article .dit-figure").after(offer);
  }
} catch {
  // then nothing is offered
}
