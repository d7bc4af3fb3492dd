// The drawing between the parts of a figure: lines with arrows, circles on them, valves.
import { h, reveal, say } from "./dom.mjs";
/** @import { Part, When, Words } from "./dom.mjs" */

const SVG = "http://www.w3.org/2000/svg";
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// A small circle or box with a word, through which lines run: +, LN, ...; `wide` fills its area.
/** @type {(options: { text: Words, role?: string, round?: boolean, wide?: boolean, when?: When }) => Part} */
export function node({ text, role = "text", round = true, wide = false, when = () => true }) {
  return () => {
    const shape = [round && "dit-round", wide && "dit-wide"].filter(Boolean).join(" ");
    const classes = `dit-node dit-${role} ${shape}`;
    const words = h("span", { class: classes });
    const element = h("div", { class: "dit-joint" }, words);
    const draw = (state, now) => {
      say(words, text, state, now);
      reveal(element, when(state));
    };
    return { element, anchor: words, draw };
  };
}

// The dot on a line where another one leaves it
/** @type {(options?: { when?: When }) => Part} */
export function tap({ when = () => true } = {}) {
  return () => {
    const dot = h("span", { class: "dit-tap" });
    const element = h("div", { class: "dit-joint" }, dot);
    return { element, anchor: dot, draw: (state) => reveal(element, when(state)) };
  };
}

// A valve on its pipe: two triangles that stand point to point, open as far as |share|; below
// zero it turns the sign of what flows.
/** @type {(options: { share: (state: any) => number }) => Part} */
export function valve({ share }) {
  return () => {
    const flap = svg("path", { class: "dit-flap" });
    const flow = svg("path", { class: "dit-flow", d: "M -24 0 H 24" });
    const picture = svg("svg", { viewBox: "-24 -14 48 28", class: "dit-valve" }, flow, flap);
    picture.setAttribute("aria-hidden", "true");
    const element = h("div", {}, picture);
    let last = NaN;
    const draw = (state) => {
      const open = share(state);
      if (open === last) return;
      last = open;
      const half = 1 + 11 * Math.min(1, Math.abs(open) / 2);
      flow.setAttribute("stroke-width", String(2 * half - 2));
      // the body narrows where it is shut
      flap.setAttribute(
        "d",
        `M -18 -13 L 0 ${-half} L 18 -13 V -14 H -18 Z M -18 13 L 0 ${half} L 18 13 V 14 H -18 Z`,
      );
      picture.classList.toggle("dit-shut", open === 0);
      picture.classList.toggle("dit-negative", open < 0);
    };
    return { element, anchor: picture, draw };
  };
}

// Where two boxes meet if a straight line joins them, through the middle of what they share, else
// a line with one corner; nothing between boxes that lie over each other.  A line that comes from
// above or below keeps clear of a part's title and note: it ends at its `head` or its `foot`.
function route(a, b) {
  const middle = (from, to) => (from + to) / 2;
  const overlap = (low, high) => [Math.max(a[low], b[low]), Math.min(a[high], b[high])];
  const [left, right] = overlap("left", "right");
  const [top, bottom] = overlap("top", "bottom");
  if (left < right) {
    if (top < bottom) return [];
    const x = middle(left, right);
    return a.top < b.top ? [[x, a.foot], [x, b.head]] : [[x, a.head], [x, b.foot]];
  }
  const rightward = a.left < b.left;
  const start = rightward ? a.right : a.left;
  if (top < bottom) {
    const y = middle(top, bottom);
    return [[start, y], [rightward ? b.left : b.right, y]];
  }
  const [x, y] = [middle(b.left, b.right), middle(a.top, a.bottom)];
  return [[start, y], [x, y], [x, a.top < b.top ? b.head : b.foot]];
}

// Lines between parts, [from, to, { role, flow, bare }]: `flow(state, now)` is how wide, 0 to 1;
// `bare` has no arrow, `only` names the layout that has the line.  `measure` finds the parts' places
// again, `draw` follows the state.
/** @type {(stage: any, wires: any[][], parts: any) => any} */
export function wiring(stage, wires, parts) {
  const picture = svg("svg", { "aria-hidden": "true" });
  const lines = wires.map(([from, to, { role = "data", flow, bare, only } = {}]) => {
    const line = svg("path", { class: `dit-wire dit-wire-${role}` });
    const head = svg("path", { class: `dit-head dit-wire-${role}` });
    picture.append(line, head);
    return { from, to, flow, bare, only, line, head };
  });
  return {
    element: h("div", { class: "dit-wires" }, picture),
    measure() {
      const home = stage.getBoundingClientRect();
      const layout = getComputedStyle(stage).getPropertyValue("--dit-layout").trim();
      const place = (name) => {
        const { element, anchor = element } = parts[name];
        const [whole, box] = [element, anchor].map((each) => each.getBoundingClientRect());
        return {
          left: box.left - home.left,
          right: box.right - home.left,
          top: box.top - home.top,
          bottom: box.bottom - home.top,
          head: whole.top - home.top,
          foot: whole.bottom - home.top,
          seen: box.width > 0,
        };
      };
      for (const { from, to, bare, only, line, head } of lines) {
        const [a, b] = [place(from), place(to)];
        const drawn = a.seen && b.seen && (!only || only === layout);
        const points = drawn ? route(a, b) : [];
        line.setAttribute(
          "d",
          points.length ? `M ${points.map((p) => p.join(" ")).join(" L ")}` : "",
        );
        const [before, last] = points.slice(-2);
        const turn = last ? Math.atan2(last[1] - before[1], last[0] - before[0]) : 0;
        head.setAttribute("d", bare || !last ? "" : "M 1 0 L -7 -4 V 4 Z");
        if (last) {
          const degrees = (turn * 180) / Math.PI;
          head.setAttribute("transform", `translate(${last.join(" ")}) rotate(${degrees})`);
        }
      }
    },
    draw(state, now) {
      for (const { flow, line, head } of lines) {
        if (!flow) continue;
        const share = Math.min(1, Math.abs(flow(state, now)));
        const width = share === 0 ? "0" : String(1 + 7 * share);
        if (line.style.strokeWidth !== width) line.style.strokeWidth = width;
        head.style.visibility = share === 0 ? "hidden" : "";
      }
    },
  };
}
