// Elements, texts and tables.

/** @typedef {(state: any) => boolean} When whether a part is shown */
/** @typedef {string | ((state: any, now: any) => string)} Words a text, or how it follows the state */
/** @typedef {{ name: string, domain: any, read: () => any, write: (changes: object) => void }} View */
/**
 * @typedef {(view: View) => {
 *   element: any, anchor?: any, draw: (state: any, now?: any, palette?: any) => void
 * }} Part an element of a figure; wires end at its anchor
 */

/** @type {(tag: string, attributes?: object, ...children: (Node | string)[]) => any} */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, value);
    }
  }
  element.append(...children);
  return element;
}

// Puts a text into an element in the place of the last one, if it is another.
/** @type {(element: any, words: Words, state?: any, now?: any) => void} */
export function say(element, words, state, now) {
  const text = typeof words === "string" ? words : words(state, now);
  if (!element.firstChild) element.append(text);
  else if (element.firstChild.data !== text) element.firstChild.data = text;
}

/** @type {(a: any, b: any) => boolean} */
export const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

// Shows an element or hides it; to hide what is hidden would cost the page a look at its styles.
export function reveal(element, wanted) {
  if (element.hidden === wanted) element.hidden = !wanted;
}

// A number with some decimals, its thousands apart
export function format(value, places = 2) {
  const text = value.toFixed(places);
  if (Number(text) === 0) return (0).toFixed(places);
  const [whole, ...decimals] = text.replace("-", "−").split(".");
  return [whole.replace(/\B(?=(\d{3})+$)/g, ","), ...decimals].join(".");
}

export function percent(share, places = 0) {
  return `${(100 * share).toFixed(places)}%`;
}

let lastId = 0;
export function freshId(name) {
  lastId += 1;
  return `dit-control-${name}-${lastId}`;
}

// One sentence with the numbers, for every reader and read aloud by a screen reader: after the
// first it waits until the hand rests, since nobody hears a sentence for each step of a drag.
// Where one took more lines than all before, their room stays: what stands below moves once.
export function status() {
  const element = h("p", { class: "dit-note", role: "status" });
  let timer;
  let last;
  let width;
  const tell = () => {
    say(element, last);
    if (element.offsetWidth !== width) element.style.minHeight = "";
    width = element.offsetWidth;
    element.style.minHeight = `${element.offsetHeight}px`;
  };
  return {
    element,
    say(text) {
      if (text === last) return;
      last = text;
      clearTimeout(timer);
      if (element.firstChild) timer = setTimeout(tell, 150);
      else tell();
    },
  };
}

// The numbers as tables: each cell shows a few decimals and carries the exact value.
function table({ caption, columns, rows, places = 2 }) {
  const cells = (values) =>
    values.map((value) => h("td", {}, h("data", { value: String(value) }, format(value, places))));
  const head = columns.map((text) => h("th", { scope: "col" }, text));
  const body = rows.map(([name, ...values]) =>
    h("tr", {}, h("th", { scope: "row" }, name), ...cells(values))
  );
  return h(
    "table",
    {},
    h("caption", {}, h("span", {}, caption)),
    h("thead", {}, h("tr", {}, ...head)),
    h("tbody", {}, ...body),
  );
}

const hasRows = ({ rows }) => rows.length > 0; // some have nothing to tell at first

// A folded box with the numbers, filled only while it is open; `read` gives one table or several.
export function numbers(read) {
  const title = "The numbers";
  const box = h("div", { class: "dit-table", tabindex: "0", role: "region", "aria-label": title });
  const element = h("details", { class: "dit-numbers" }, h("summary", {}, title), box);
  const draw = () =>
    element.open && box.replaceChildren(...[read()].flat().filter(hasRows).map(table));
  element.addEventListener("toggle", draw);
  return { element, draw };
}
