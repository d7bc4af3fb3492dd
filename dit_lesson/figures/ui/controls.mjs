// Native controls with labels, each bound to the choice that has its name.  A control, like every
// part of a figure, is a function of the figure's view that returns its element and its `draw`.
import { freshId, h, reveal, say } from "./dom.mjs";
/** @import { Part, When } from "./dom.mjs" */

// A range input whose value stands beside its label and can be typed as well.  `symbol` is the
// letter of the equations, `role` its colour: shift, scale, gate, condition or data.  `most` is the
// largest value in this state, if not always the same; `axis` says that the slider lies under as
// many equal columns as it has values, and stands under the middle of one.
/**
 * @type {(options: {
 *   label: string, symbol?: string, role?: string, step?: number, most?: (state: any) => number,
 *   axis?: boolean, when?: When,
 * }) => Part}
 */
export function slider(
  { label, symbol = "", role = "data", step = 1, most, axis = false, when = () => true },
) {
  return ({ name, domain: { min, max }, write }) => {
    const id = freshId(name);
    const range = h("input", { type: "range", id, min, max, step });
    const box = h("input", {
      type: "text",
      inputmode: "decimal",
      autocomplete: "off",
      class: "dit-value",
      "aria-label": `${label}, number`,
    });
    // a typed number goes to the nearest step, so that thumb and picture agree; commas are decimal
    const take = ({ target }) => {
      const value = Number(target.value.replace(",", ".").replace("−", "-"));
      if (target.value.trim() === "" || !Number.isFinite(value)) return;
      const steps = Math.round((Math.min(end, Math.max(min, value)) - min) / step);
      write({ [name]: Number((min + steps * step).toFixed(6)) });
    };
    range.addEventListener("input", take);
    box.addEventListener("input", take);
    box.addEventListener("focus", () => box.select());
    const caption = h("label", { for: id, class: `dit-${role}` }, label);
    if (symbol) caption.append(" ", h("i", {}, symbol));
    // each stands in a box of its own, so that its new value is laid out there and nowhere else
    const alone = (input) => h("span", { class: "dit-alone" }, input);
    const classes = axis ? "dit-control dit-axis" : "dit-control";
    const element = h("div", { class: classes }, caption, alone(box), alone(range));
    let last;
    let end;
    const draw = (state) => {
      reveal(element, when(state));
      const now = most ? most(state) : max;
      if (now !== end) {
        range.max = end = now;
        if (axis) element.style.setProperty("--dit-columns", String((end - min) / step + 1));
      }
      const value = Math.min(end, state[name]);
      if (value === last) return; // to set a thumb lays it out, also where it stands
      range.value = last = value;
      if (box.ownerDocument.activeElement !== box) box.value = value;
    };
    box.addEventListener("blur", () => box.value = range.value);
    return { element, draw, anchor: range };
  };
}

// A menu of what Python allows; `text` says what an option is called in this state; where controls
// stand close, a `wide` one takes two places.
/**
 * @type {(options: { label: string, role?: string, text?: (value: any, state: any) => string,
 *   wide?: boolean, when?: When }) => Part}
 */
export function menu({ label, role = "data", text = String, wide = false, when = () => true }) {
  return ({ name, domain, write }) => {
    const id = freshId(name);
    const { options, min, max } = domain;
    const values = options ?? Array.from({ length: max - min + 1 }, (_, i) => min + i);
    const list = values.map((value) => h("option", { value: JSON.stringify(value) }));
    const select = h("select", { id }, ...list);
    select.addEventListener("change", () => write({ [name]: JSON.parse(select.value) }));
    const element = h(
      "div",
      { class: wide ? "dit-control dit-span" : "dit-control" },
      h("label", { for: id, class: `dit-${role}` }, label),
      select,
    );
    const draw = (state) => {
      reveal(element, when(state));
      list.forEach((option, i) => say(option, text(values[i], state)));
      select.value = JSON.stringify(state[name]);
    };
    return { element, draw };
  };
}

// A button whose text and whose changes depend on what is shown; without changes it cannot be
// pressed.
// `pressed` says whether what it stands for is chosen.
/**
 * @type {(options: {
 *   text: (state: any, now: any) => string, changes: (state: any, now: any) => any,
 *   role?: string, pressed?: When, when?: When,
 * }) => Part}
 */
export function button({ text, changes, role = "text", pressed, when = () => true }) {
  return ({ read, write }) => {
    let seen;
    const element = h("button", {
      type: "button",
      class: `dit-${role}`,
      onclick: () => write(changes(read(), seen)),
    });
    const draw = (state, now) => {
      seen = now;
      reveal(element, when(state));
      if (element.hidden) return;
      if (element.textContent !== text(state, now)) element.textContent = text(state, now);
      if (pressed) element.setAttribute("aria-pressed", String(pressed(state)));
      element.disabled = changes(state, now) === null;
    };
    return { element, draw };
  };
}
