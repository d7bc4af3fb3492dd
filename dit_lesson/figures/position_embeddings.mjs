// Chapter 5's figure: the position embedding of a grid, and whom a token resembles by place.
import { linearRow } from "./core/blocks.mjs";
import { rowsOf } from "./core/data.mjs";
import { gridEmbedding, positionEmbedding } from "./core/positions.mjs";
import * as ui from "./ui.mjs";

const ROWS = 8;

// The table of all tokens, row by row, in the present kind of embedding.
function embeddings({ kind, columns, hidden_size: dim, log_period: exponent }) {
  const maxPeriod = 10 ** exponent;
  if (kind === "1-D") {
    return Array.from({ length: ROWS * columns }, (_, n) => positionEmbedding(n, dim, maxPeriod));
  }
  const grid = gridEmbedding(ROWS, columns, dim, maxPeriod);
  if (kind === "column first") return grid;
  if (kind === "row first") {
    return grid.map((row) =>
      Float64Array.of(...row.subarray(dim / 2), ...row.subarray(0, dim / 2))
    );
  }
  // the bug: the n-th token of the rows receives the n-th entry of the columns
  return grid.map((_, n) => grid[(n % ROWS) * columns + Math.floor(n / ROWS)]);
}

export function stages(state) {
  const { columns, hidden_size: dim } = state;
  const token = state.row * columns + Math.min(state.column, columns - 1);
  const table = embeddings(state);
  // every embedding has the squared length D / 2, so that this is a cosine
  const similarity = linearRow(table[token], table).map((dot) => dot / (dim / 2));
  return { token, table, map: rowsOf(similarity, columns) };
}

// Which cell of the map resembles the chosen one most, itself left out.
function nearest(map, token) {
  // equal neighbours differ in the last bits; the first of them is named
  const flat = map.flatMap((row) => [...row].map((value) => Math.round(value * 1e9) / 1e9));
  flat[token] = -Infinity;
  const best = flat.indexOf(Math.max(...flat));
  return { row: Math.floor(best / map[0].length), column: best % map[0].length, value: flat[best] };
}

const placeOf = (token, { columns }) => ({
  row: Math.floor(token / columns),
  column: token % columns,
});
const halves = {
  "column first": "column, then row",
  "row first": "row, then column",
  "1-D": "sines, then cosines, of the number",
  bug: "column, then row, of another token",
};
const half = (prepared, { kind }, palette) => {
  if (kind !== "1-D") ui.grid(prepared, [1, 2], palette.text);
};

// One bar a value, from -1 to 1 around a zero line; the chosen one has the text's colour.
const cut = (title, values, chosen) =>
  ui.bars({
    title,
    limit: 1,
    values: (now) => values(now),
    marks: (state) => [chosen(state)],
    colour: (i, state) => (i === chosen(state) ? "text" : "data"),
  });
const column = (state) => Math.min(state.column, state.columns - 1);

export default ui.figure({
  stages,
  layout: {
    narrow: `"table table table" auto "strip strip product" auto "map map map" auto
      "across down down" auto "legend legend legend" auto
      / minmax(0, 2fr) minmax(0, 1fr) 4.5rem`,
    wide: `"table product map map" auto "strip . across down" auto "strip . legend legend" auto
      / minmax(0, 2fr) auto minmax(0, 1fr) minmax(0, 1fr)`,
  },
  parts: {
    map: ui.map({
      title: "similarity to the chosen token",
      shape: "tall",
      limit: 1,
      values: (now) => now.map,
      marks: (_, now) => [now.token],
      decorate: (prepared, rows, { state, now, palette }) => {
        const { row, column } = placeOf(now.token, state);
        ui.frame(prepared, [ROWS, rows[0].length], [row, column], palette.shift, 3);
      },
      pick: (y, x, { columns }) => ({
        row: Math.floor(ROWS * y),
        column: Math.floor(columns * x),
      }),
    }),
    across: cut(
      "along its row",
      (now) => now.map[Math.floor(now.token / now.map[0].length)],
      column,
    ),
    down: cut(
      "along its column",
      (now) => now.map.map((row) => row[now.token % row.length]),
      (state) => state.row,
    ),
    table: ui.map({
      title: "the table: a row for each token",
      shape: "tall",
      limit: 1,
      values: (now) => now.table,
      marks: (state, now) => [now.token, state.kind],
      decorate(prepared, rows, { state, now, palette }) {
        half(prepared, state, palette);
        ui.frame(prepared, [rows.length, 1], [now.token, 0], palette.shift, 2);
      },
      pick: (y, _, state) => placeOf(Math.floor(y * ROWS * state.columns), state),
    }),
    strip: ui.map({
      title: "the chosen token's embedding",
      shape: "strip",
      limit: 1,
      values: (now) => [now.table[now.token]],
      marks: ({ kind }) => [kind],
      decorate(prepared, _, { state, palette }) {
        half(prepared, state, palette);
        ui.frame(prepared, [1, 1], [0, 0], palette.shift, 2);
      },
      note: ({ kind }) => halves[kind],
    }),
    product: ui.node({ text: "dot\nproduct", round: false }),
    legend: ui.legend({ low: "−1", high: "1" }),
  },
  wires: [
    ["table", "strip", { role: "shift" }],
    ["strip", "product", { role: "shift" }],
    ["table", "product"],
    ["product", "map"],
    ["map", "across"],
    ["map", "down"],
  ],
  controls: {
    kind: ui.menu({
      label: "embedding",
      text: (kind) =>
        ({
          "column first": "column first (DiT)",
          "row first": "row first",
          "1-D": "1-D, by number",
          bug: "bug: by column",
        })[kind],
    }),
    row: ui.slider({ label: "row", symbol: "y" }),
    column: ui.slider({ label: "column", symbol: "x" }),
    columns: ui.slider({ label: "columns" }),
    hidden_size: ui.slider({ label: "width", symbol: "D", step: 4 }),
    log_period: ui.slider({ label: "log₁₀ period", step: 0.1 }),
  },
  folded: ["row", "column", "columns", "hidden_size"],
  opening: "The framed token is a row of the table. Its dot products with all rows make the map. " +
    "Click another place or row.",
  presets: [
    [
      "DiT's period",
      { kind: "column first", log_period: 4 },
      "With the period of 10,000 the map is nearly flat: most clocks stand still on a small grid.",
    ],
    [
      "short period",
      { kind: "column first", log_period: 0.7 },
      "A short period sharpens the peak, and bumps appear in the distance.",
    ],
    [
      "four features",
      { kind: "column first", log_period: 4, hidden_size: 4 },
      "One clock for each axis: six columns away stands a near double.",
    ],
    [
      "1-D",
      { kind: "1-D", hidden_size: 32 },
      "Numbered in one line, a token loses its neighbours above and below.",
    ],
    [
      "the bug",
      { kind: "bug", log_period: 0.7, columns: 12, hidden_size: 32 },
      "The table of the rows handed out by columns: the similar places are scattered.",
    ],
    [
      "the bug, square",
      { kind: "bug", log_period: 0.7, columns: 8, hidden_size: 32 },
      "On a square grid the bug only exchanges rows and columns, and nobody notices.",
    ],
  ],
  sentence(state, { token, map }) {
    const { row, column } = placeOf(token, state);
    const best = nearest(map, token);
    const smallest = Math.min(...map.map((values) => Math.min(...values)));
    return `Token ${token} (row ${row}, column ${column}) resembles itself with 1.00; next comes ` +
      `row ${best.row}, column ${best.column} with ${ui.format(best.value)}. ` +
      `Smallest similarity on the grid: ${ui.format(smallest)}.`;
  },
  note: "Similarity is the dot product of two embeddings divided by D / 2: each token has 1 with " +
    "itself.",
  table: ({ columns }, { token, map }) => ({
    caption: `Similarity to token ${token}, by row and column of the grid`,
    columns: ["row", ...Array.from({ length: columns }, (_, i) => `column ${i}`)],
    rows: map.map((row, y) => [String(y), ...row]),
  }),
});
