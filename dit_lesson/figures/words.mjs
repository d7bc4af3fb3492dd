// Chapter 18's figure: what three ways paint from a caption, and which word moves which token.
import { mean } from "./core/arrays.mjs";
import { rowsOf } from "./core/data.mjs";
import { trainedDecoder } from "./core/decoder.mjs";
import { rowOf } from "./core/safetensors.mjs";
import * as ui from "./ui.mjs";

const [ROWS, COLUMNS, CHANNELS, PICTURE, TELLING] = [4, 8, 8, 32, 4];
const [TOKENS, SIDE] = [ROWS * COLUMNS, COLUMNS / 2];
const LATENT = CHANNELS * TOKENS;
const WAYS = {
  "pooled": "one vector for all",
  "cross-attention": "looked up",
  "two streams": "one attention",
};

const wordsOf = (state) => [
  state.slant_left,
  state.name_left,
  state.slant_right,
  state.name_right,
];
const captionOf = (state) => {
  const [a, b, c, d] = wordsOf(state);
  return `“${a} ${b} left-of ${c} ${d}”`;
};

// Two numbers a byte, as `canvas_run` packs them
const levelsOf = (bytes) =>
  Float64Array.from(
    { length: 2 * bytes.length },
    (_, i) => (i % 2 ? Math.floor(bytes[i >> 1] / 16) : bytes[i >> 1] % 16),
  );

// The picture of one half of a canvas's latent
function halfOf(levels, half, decoder) {
  const latent = Float64Array.from({ length: LATENT / 2 }, (_, i) => {
    const [column, row] = [i % SIDE, Math.floor(i / SIDE)]; // rows of all channels
    return (levels[row * COLUMNS + half * SIDE + column] - 7.5) / 3;
  });
  return rowsOf(trainedDecoder(decoder, SIDE).decode(latent), PICTURE);
}

// The canvas of each way; those of the last caption are kept, since way and t do not change them
let kept = { key: "", canvases: [] };
function canvasesOf(rows, decoder, key) {
  if (kept.key !== key) {
    const canvases = rows.map((levels) => {
      const [left, right] = [0, 1].map((half) => halfOf(levels, half, decoder));
      return left.map((row, y) => Float64Array.of(...row, ...right[y]));
    });
    kept = { key, canvases };
  }
  return kept.canvases;
}

export function stages(state) {
  const { slants, names, ways, times, most, painted, decoder } = state;
  const [a, c] = [state.slant_left, state.slant_right].map((slant) => slants.indexOf(slant));
  const [b, d] = [state.name_left, state.name_right].map((name) => names.indexOf(name));
  const asked = [a, b, c, d];
  if (!painted || !decoder) return { asked };
  const place = 40 * b + 20 * a + 10 * c + d;
  const rows = ways.map((_, way) => levelsOf(rowOf(painted.canvases, 400 * way + place)));
  const from = LATENT + TELLING * TOKENS * times.indexOf(state.t);
  const maps = wordsOf(state).map((_, word) => {
    const start = from + word * TOKENS;
    const moved = rows[ways.indexOf(state.way)].slice(start, start + TOKENS);
    return rowsOf(moved.map((level) => (level * most) / 15), COLUMNS);
  });
  const half = (map, side) => mean(map.map((row) => mean(row.slice(SIDE * side, SIDE * side + 4))));
  return {
    asked,
    canvases: canvasesOf(rows, decoder, String(place)),
    maps,
    sides: maps.map((map) => [half(map, 0), half(map, 1)]),
  };
}

// A row of the layout, each of its parts over `span` columns
const line = (span, ...names) =>
  `"${names.flatMap((name) => new Array(span).fill(name)).join(" ")}" auto`;

const halves = (prepared, _, { palette }) => ui.grid(prepared, [1, 2], palette.data, 2);

// How five words, in a row above, reach the tokens, one for each column of the canvas below
const [WORDS_AT, TOKENS_AT] = [[5, 34], [COLUMNS, 24]].map(([count, apart]) =>
  Array.from({ length: count }, (_, i) => 100 + apart * (i - (count - 1) / 2))
);
const stroke = (d, role = "condition") => ui.svg("path", { d, class: `dit-wire dit-wire-${role}` });
function head(x, y, turn, role = "condition") {
  const transform = `translate(${x} ${y}) rotate(${turn})`;
  return ui.svg("path", {
    d: "M 1 0 L -7 -4 V 4 Z",
    transform,
    class: `dit-head dit-wire-${role}`,
  });
}
const box = (x, y, width, height, role) =>
  ui.svg("rect", { x: x - width / 2, y, width, height, class: `dit-head dit-wire-${role}` });
const stream = (y, role) => [stroke(`M 2 ${y} H 194`, role), head(200, y, 0, role)];
const mesh = () =>
  stroke(WORDS_AT.flatMap((x) => TOKENS_AT.map((to) => `M ${x} 9 L ${to} 46`)).join(" "));
const read = () => TOKENS_AT.map((x) => head(x, 46, 90));
const LINES = {
  "pooled": () => [
    stroke(WORDS_AT.map((x) => `M ${x} 9 L 100 24`).join(" ")),
    ui.svg("circle", { cx: 100, cy: 24, r: 4, class: "dit-head dit-wire-condition" }),
    stroke("M 100 24 V 36 M 2 44 H 198 V 62 H 2 Z"),
    head(100, 43, 90),
  ],
  "cross-attention": () => [mesh(), ...read()],
  "two streams": () => [
    ...stream(5, "condition"),
    ...stream(54, "data"),
    mesh(),
    ...read(),
    ...WORDS_AT.map((x) => head(x, 10, -90)),
  ],
};
const drawing = (way) => () => {
  const title = ui.h("div", { class: "dit-title" }, `${way}: ${WAYS[way]}`);
  const picture = ui.svg(
    "svg",
    { "viewBox": "0 0 200 63", "class": "dit-way", "aria-hidden": "true" },
    ...LINES[way](),
    ...WORDS_AT.map((x) => box(x, 1, 26, 8, "condition")),
    ...TOKENS_AT.map((x) => box(x, 48, 12, 12, "data")),
  );
  const element = ui.h("div", {}, title, picture);
  element.style.alignSelf = "end";
  return { element, draw() {} };
};

const drawings = Object.fromEntries(
  Object.keys(WAYS).map((way, i) => [`drawing_${i}`, drawing(way)]),
);
// The canvas of the model whose maps are shown is framed; a click chooses another
const canvases = Object.fromEntries(
  Object.keys(WAYS).map((way, i) => [
    `canvas_${i}`,
    ui.digit({
      shape: "double",
      values: ({ canvases }) => canvases?.[i],
      marks: (state) => [state.way],
      decorate(prepared, rows, context) {
        halves(prepared, rows, context);
        const { state, palette } = context;
        if (state.way === way) ui.frame(prepared, [1, 1], [0, 0], palette.condition, 3);
      },
      pick: () => ({ way }),
    }),
  ]),
);

const maps = Object.fromEntries(
  ["slant_left", "name_left", "slant_right", "name_right"].map((name, i) => [
    `map_${name}`,
    ui.map({
      title: (state) => state[name],
      role: "condition",
      shape: "double",
      limit: 1,
      values: (now) => now.maps?.[i],
      note: (_, { sides }) =>
        sides ? `left ${ui.format(sides[i][0])}, right ${ui.format(sides[i][1])}` : "",
      decorate: halves,
    }),
  ]),
);

const word = (label) => ui.menu({ label, role: "condition" });

export default ui.figure({
  stages,
  layout: {
    narrow: `${line(3, "slant_left", "name_left")} ${line(3, "slant_right", "name_right")}
      ${line(2, "drawing_0", "drawing_1", "drawing_2")}
      ${line(2, "canvas_0", "canvas_1", "canvas_2")} ${line(3, "way", "t")}
      ${line(3, "map_slant_left", "map_name_left")} ${line(3, "map_slant_right", "map_name_right")}
      / ${"minmax(0, 1fr) ".repeat(6)}`,
    wide: `${line(3, "slant_left", "name_left", "slant_right", "name_right")}
      ${line(4, "drawing_0", "drawing_1", "drawing_2")}
      ${line(4, "canvas_0", "canvas_1", "canvas_2")} ${line(3, "way", "t", "legend", "legend")}
      ${line(3, "map_slant_left", "map_name_left", "map_slant_right", "map_name_right")}
      / ${"minmax(0, 1fr) ".repeat(12)}`,
  },
  parts: {
    slant_left: word("left digit"),
    name_left: word("its name"),
    slant_right: word("right digit"),
    name_right: word("its name"),
    ...drawings,
    ...canvases,
    way: ui.menu({ label: "maps of the model" }),
    t: ui.menu({ label: "time t" }),
    legend: ui.legend({ kind: "share", label: "moved by", low: "0", high: "1" }),
    ...maps,
  },
  wires: Object.keys(WAYS).map((_, i) => [`drawing_${i}`, `canvas_${i}`]),
  opening: "One caption, three models. A map shows where the answer moves when its word is " +
    "exchanged: with two streams a word moves its own half.",
  presets: [
    [
      "swap",
      {
        slant_left: "upright",
        name_left: "seven",
        slant_right: "tilted",
        name_right: "three",
      },
      "The two digits have changed places. The pooled canvas has not changed at all.",
    ],
    [
      "pooled words",
      { way: "pooled" },
      "Pooled, every word moves both halves: the vector is the same for all tokens.",
    ],
    [
      "a pair never seen",
      {
        slant_left: "upright",
        name_left: "three",
        slant_right: "tilted",
        name_right: "eight",
        way: "cross-attention",
      },
      "Training never had a 3 left of an 8, only an 8 left of a 3.",
    ],
  ],
  sentence(state, { sides }) {
    const [left, right] = sides[1].map((value) => ui.format(value));
    return `${captionOf(state)}. ${state.way}, t = ${state.t}: exchanging “${state.name_left}” ` +
      `moves the left half by ${left} and the right half by ${right}.`;
  },
  note: "All canvases start from the same noise; a click chooses the one whose maps are shown. " +
    "The maps are stored in steps of a tenth.",
  table: (state, { sides = [] }) => ({
    caption: "How far the answer moves when a word is exchanged",
    columns: ["word", "left half", "right half"],
    rows: sides.map((pair, i) => [`${i < 2 ? "left" : "right"}: ${wordsOf(state)[i]}`, ...pair]),
  }),
});
