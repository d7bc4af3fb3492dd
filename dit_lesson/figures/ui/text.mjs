// Parts of a figure that are words, colour bars and horizontal bars: no canvas.
import { h, say } from "./dom.mjs";
/** @import { Part, Words } from "./dom.mjs" */

// What the colours of a map mean, from `low` to `high`; `kind` is signed, share (from 0), or
// ink (the greys of digits)
/** @type {(options: { low: string, high: string, kind?: string, label?: string }) => Part} */
export function legend({ low, high, kind = "signed", label = "" }) {
  return () => {
    const ramp = h("span", { class: `dit-ramp dit-ramp-${kind}`, "aria-hidden": "true" });
    const element = h("p", { class: "dit-note dit-legend" }, label, " ", low, ramp, high);
    return { element, draw() {} };
  };
}

// Lines of a name, a bar and a value.  `values(now, state)` gives { name, value, pieces, chosen },
// a piece being [colour, share of the full width, its name].
/** @type {(options: { title: Words, values: (now: any, state: any) => any[], short?: boolean }) => Part} */
export function rows({ title, values, short = false }) {
  return () => {
    const heading = h("div", { class: "dit-title" });
    const list = h("div", { class: short ? "dit-rows dit-short" : "dit-rows" });
    const element = h("div", { class: "dit-panel" }, heading, list);
    const piece = ([colour, share, name]) => {
      const bar = h("span", { class: `dit-fill-${colour}`, title: name });
      bar.style.width = `${100 * share}%`;
      return bar;
    };
    let last = "";
    return {
      element,
      draw(state, now) {
        say(heading, title, state, now);
        const lines = values(now, state);
        const key = JSON.stringify(lines);
        if (key === last) return;
        last = key;
        list.replaceChildren(...lines.map(({ name, value, pieces, chosen }) =>
          h(
            "div",
            { class: chosen ? "dit-row dit-chosen" : "dit-row" },
            h("span", {}, name),
            h("span", { class: "dit-bar", "aria-hidden": "true" }, ...pieces.map(piece)),
            h("span", { class: "dit-number" }, value),
          )
        ));
      },
    };
  };
}
