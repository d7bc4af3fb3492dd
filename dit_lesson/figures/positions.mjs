// Chapter 5's figure: the position embedding of a grid, and whom a token resembles by place.
import { gridEmbedding, linearRow, positionEmbedding } from "./core.mjs";
import { colours, format, group, h, heatmap, menu, numbers, prepare, presets, say, show, slider, status, table, write } from "./ui.mjs";

const ROWS = 8;
const CHOICES = ["kind", "columns", "hidden_size", "log_period", "row", "column"];

// The table of all tokens, row by row, in the present kind of embedding.
function embeddings({ kind, columns, hidden_size: dim, log_period: exponent }) {
  const maxPeriod = 10 ** exponent;
  if (kind === "1-D") {
    return Array.from({ length: ROWS * columns }, (_, n) => positionEmbedding(n, dim, maxPeriod));
  }
  const grid = gridEmbedding(ROWS, columns, dim, maxPeriod);
  if (kind === "column first") return grid;
  if (kind === "row first") {
    return grid.map((row) => Float64Array.of(...row.subarray(dim / 2), ...row.subarray(0, dim / 2)));
  }
  // the bug: the n-th token of the rows receives the n-th entry of the columns
  return grid.map((_, n) => grid[(n % ROWS) * columns + Math.floor(n / ROWS)]);
}

export function stages(state) {
  const { columns, hidden_size: dim } = state;
  const token = state.row * columns + Math.min(state.column, columns - 1);
  const all = embeddings(state);
  // every embedding has the squared length D / 2, so that this is a cosine
  const similarity = linearRow(all[token], all).map((dot) => dot / (dim / 2));
  const map = Array.from({ length: ROWS }, (_, y) => similarity.slice(y * columns, (y + 1) * columns));
  return { token, table: all, map };
}

// Which cell of the map resembles the chosen one most, itself left out.
function nearest(map, token) {
  // equal neighbours differ in the last bits; the first of them is named
  const flat = map.flatMap((row) => [...row].map((value) => Math.round(value * 1e9) / 1e9));
  flat[token] = -Infinity;
  const best = flat.indexOf(Math.max(...flat));
  return { row: Math.floor(best / map[0].length), column: best % map[0].length, value: flat[best] };
}

function frameCell({ context, width, height }, rows, columns, token, palette) {
  const [wide, high] = [width / columns, height / rows];
  context.strokeStyle = palette.text;
  context.lineWidth = 2;
  context.strokeRect((token % columns) * wide + 1, Math.floor(token / columns) * high + 1, wide - 2, high - 2);
}

// A line in the middle of a map, where the second half of the features begins.
function markHalf({ context, width, height }, palette) {
  context.strokeStyle = palette.text;
  context.lineWidth = 1;
  context.strokeRect(width / 2, -1, 0, height + 2);
}

// One bar a value, from -1 to 1 around a zero line; the chosen one is dark.
function drawBars(canvas, values, chosen, palette) {
  const { context, width, height } = prepare(canvas);
  values.forEach((value, i) => {
    context.fillStyle = i === chosen ? palette.text : palette.data;
    context.fillRect((i * width) / values.length + 1, height / 2, width / values.length - 2, -value * (height / 2 - 1));
  });
  context.fillStyle = palette.text;
  context.fillRect(0, height / 2 - 0.5, width, 1);
}

function render({ model, el }) {
  const canvas = (style) => h("canvas", { style, "aria-hidden": "true" });
  const mapCanvas = canvas("");
  const tableCanvas = canvas("height: 15rem");
  const stripCanvas = canvas("height: 2.5rem");
  const acrossCanvas = canvas("height: 3.5rem");
  const downCanvas = canvas("height: 3.5rem");
  const halves = h("p", { class: "dit-note" });

  const choose = (target, place) =>
    target.addEventListener("pointerdown", (event) => {
      const box = target.getBoundingClientRect();
      const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
      const token = place(Math.min(0.999, Math.max(0, x)), Math.min(0.999, Math.max(0, y)));
      const columns = model.get("columns");
      write(model, { row: Math.floor(token / columns), column: token % columns });
    });
  choose(mapCanvas, (x, y) => Math.floor(y * ROWS) * model.get("columns") + Math.floor(x * model.get("columns")));
  choose(tableCanvas, (_, y) => Math.floor(y * ROWS * model.get("columns")));

  const controls = [
    menu(model, {
      name: "kind",
      label: "embedding",
      options: [
        ["column first", "2-D, column first (DiT)"],
        ["row first", "2-D, row first"],
        ["1-D", "1-D, token number"],
        ["bug", "2-D, down columns (bug)"],
      ],
    }),
    slider(model, { name: "row", label: "token row", min: 0, max: ROWS - 1, step: 1 }),
    slider(model, { name: "column", label: "token column", min: 0, max: 11, step: 1 }),
    slider(model, { name: "columns", label: "columns", min: 4, max: 12, step: 1 }),
    slider(model, { name: "hidden_size", label: "width", symbol: "D", min: 4, max: 64, step: 4 }),
    slider(model, { name: "log_period", label: "log₁₀ period", min: 0.5, max: 4, step: 0.1 }),
  ];
  const start = { kind: "column first", columns: 12, hidden_size: 32, log_period: 4, row: 3, column: 4 };
  const buttons = presets(model, "presets", [
    ["reset", start],
    ["1-D", { ...start, kind: "1-D" }],
    ["short period", { ...start, log_period: 0.7 }],
    ["four features", { ...start, hidden_size: 4 }],
    ["the bug", { ...start, kind: "bug", log_period: 0.7 }],
    ["the bug, square", { ...start, kind: "bug", log_period: 0.7, columns: 8 }],
  ]);
  const sentence = status();
  const read = () => Object.fromEntries(CHOICES.map((name) => [name, model.get(name)]));
  const details = numbers("The numbers: similarity of the chosen token to every token", (box) => {
    const { columns, ...rest } = read();
    const { map, token } = stages({ columns, ...rest });
    table(box, {
      caption: `Similarity to token ${token}, by row and column of the grid`,
      columns: ["row", ...Array.from({ length: columns }, (_, i) => `column ${i}`)],
      rows: map.map((row, y) => [String(y), ...row]),
    });
  });

  const draw = () => {
    const state = read();
    const { token, table: all, map } = stages(state);
    const palette = colours(el);
    const [row, column] = [Math.floor(token / state.columns), token % state.columns];
    mapCanvas.style.aspectRatio = `${state.columns} / ${ROWS}`;
    frameCell(heatmap(mapCanvas, map, { limit: 1, palette }), ROWS, state.columns, token, palette);
    drawBars(acrossCanvas, map[row], column, palette);
    drawBars(downCanvas, map.map((values) => values[column]), row, palette);
    const embeddings = [
      heatmap(tableCanvas, all, { limit: 1, palette, row: token }),
      heatmap(stripCanvas, [all[token]], { limit: 1, palette }),
    ];
    if (state.kind !== "1-D") embeddings.forEach((drawn) => markHalf(drawn, palette));
    const inHalves = {
      "column first": "left half: the column; right half: the row",
      "row first": "left half: the row; right half: the column",
      "1-D": "left half: sines; right half: cosines, all of the token's number",
      bug: "left half: the column; right half: the row, but of another token",
    };
    say(halves, inHalves[state.kind]);
    const best = nearest(map, token);
    sentence.say(
      `Token ${token} (row ${row}, column ${column}) resembles itself with 1.00; ` +
      `next comes row ${best.row}, column ${best.column} with ${format(best.value)}. ` +
      `Smallest similarity on the grid: ${format(Math.min(...map.map((values) => Math.min(...values))))}.`,
    );
    details.draw();
  };

  const panel = (title, ...parts) =>
    h("div", { class: "dit-panel" }, h("div", { class: "dit-title" }, title), ...parts);
  const note = (text) => h("p", { class: "dit-note" }, text);
  return show({
    model,
    el,
    names: CHOICES,
    controls,
    draw,
    parts: [
      group(...controls),
      buttons,
      h(
        "div",
        { class: "dit-panels", style: "grid-template-columns: repeat(auto-fit, minmax(min(100%, 17rem), 1fr))" },
        panel(
          "similarity to the chosen token, on the grid",
          mapCanvas,
          note("along its row"),
          acrossCanvas,
          note("along its column"),
          downCanvas,
        ),
        panel("the table: one row for each token, D features", tableCanvas, halves, note("the chosen token's embedding"), stripCanvas),
      ),
      note("Similarity is the dot product of two embeddings divided by D / 2, so that each token has 1 with itself. Click a cell of the grid or a row of the table to choose a token."),
      sentence.element,
      details.element,
    ],
  });
}

export default { render };
