// What figures of a digit and its tokens share: the digit cut into patches, a row for each token, a
// menu of attention heads.  A figure in which a token is chosen keeps it as `state.token`.
import { MEAN } from "../core/looking.mjs";
import { menu } from "./controls.mjs";
import { digit, frame, grid, map } from "./pictures.mjs";
/** @import { Part } from "./dom.mjs" */

// The digit `now.image` with lines between its side x side patches
/** @type {(side: number) => Part} */
export function patches(side) {
  return digit({
    title: "the digit",
    values: (now) => now.image,
    decorate: (prepared, _, { palette }) => grid(prepared, [side, side], palette.data),
  });
}

// The same, where a token is chosen by its patch
/** @type {(side: number) => Part} */
export function patchOfToken(side) {
  return digit({
    title: "the digit",
    values: (now) => now.image,
    marks: ({ token }) => [token],
    decorate(prepared, _, { state: { token }, palette }) {
      grid(prepared, [side, side], palette.data);
      frame(prepared, [side, side], [Math.floor(token / side), token % side], palette.shift, 3);
    },
    pick: (y, x) => ({ token: side * Math.floor(side * y) + Math.floor(side * x) }),
  });
}

// The tokens `now[name]`, one a row, where a token is chosen by its row; full colour at limit
/** @type {(name: string, options: { title: string, limit: number, tokens: number }) => Part} */
export function tokenRows(name, { title, limit, tokens }) {
  return map({
    title,
    limit,
    values: (now) => now[name],
    marks: ({ token }) => [token],
    decorate: (prepared, rows, { state, palette }) =>
      frame(prepared, [rows.length, 1], [state.token, 0], palette.text),
    pick: (y) => ({ token: Math.floor(tokens * y) }),
  });
}

// What a figure of who looks at whom shows: a digit, a block and a head
/** @type {() => Record<string, Part>} */
export function lookMenus() {
  const head = (number) => (number === MEAN ? "mean of all" : String(number));
  return {
    picture_of: menu({ label: "digit shown" }),
    block: menu({ label: "block" }),
    head: menu({ label: "head", text: head }),
  };
}
