// Chapter 6's figure: how a time step and a class become one vector.
import { linearRow, mean, std, timestepEmbedding } from "./core.mjs";
import { colours, format, group, h, heatmap, menu, numbers, prepare, presets, redraw, say, show, slider, status, table } from "./ui.mjs";

const FREQUENCY_SIZE = 256;
const HIDDEN_SIZE = 16;
const NULL_CLASS = 10;
const TIMES = Array.from({ length: 100 }, (_, i) => 10 * i);
const ALIVE = 0.05;
const NAMES = ["t", "unit", "dimension", "label", "weights"];

const embed = (t, unit) => timestepEmbedding(unit === "thousand" ? t : t / 1000, FREQUENCY_SIZE);

// The embeddings of all times, and how many dimensions vary with t, depend on the unit only:
// computed once for each.
const tables = {};
function allTimes(unit) {
  if (!tables[unit]) {
    const rows = TIMES.map((t) => embed(t, unit));
    const spread = Array.from(rows[0], (_, i) => std(rows.map((row) => row[i])));
    tables[unit] = { rows, alive: spread.filter((value) => value > ALIVE).length };
  }
  return tables[unit];
}

export function stages(state) {
  const { rows, alive } = allTimes(state.unit);
  const embedding = embed(state.t, state.unit);
  const time = linearRow(embedding, state.weights.linear);
  const label = Float64Array.from(state.weights.table[state.label]);
  return {
    embedding,
    alive,
    curve: rows.map((row) => row[state.dimension]),
    time,
    label,
    c: time.map((value, i) => value + label[i]),
  };
}

// A curve over all times from -1 to 1, the present time marked.
function drawCurve(canvas, values, share, palette) {
  const { context, width, height } = prepare(canvas);
  const y = (value) => ((1 - value) / 2) * (height - 4) + 2;
  context.strokeStyle = palette.data;
  context.lineWidth = 2;
  context.beginPath();
  values.forEach((value, i) => context.lineTo((i * width) / (values.length - 1), y(value)));
  context.stroke();
  context.fillStyle = palette.text;
  context.fillRect(0, height / 2 - 0.5, width, 1);
  context.fillStyle = palette.condition;
  context.fillRect(share * width - 1, 0, 3, height);
}

function drawBars(canvas, values, colour, palette) {
  const { context, width, height } = prepare(canvas);
  const limit = 3;
  context.fillStyle = colour;
  values.forEach((value, i) => {
    const tall = (Math.max(-limit, Math.min(limit, value)) / limit) * (height / 2 - 1);
    context.fillRect((i * width) / values.length + 1, height / 2, width / values.length - 2, -tall);
  });
  context.fillStyle = palette.text;
  context.fillRect(0, height / 2 - 0.5, width, 1);
}

function render({ model, el }) {
  const canvas = (style) => h("canvas", { style, "aria-hidden": "true" });
  const [map, line] = [canvas("height: 12rem"), canvas("height: 5rem")];
  const vectors = ["time t", "class y", "their sum c"].map((title) => ({ title, bars: canvas("height: 5rem") }));
  const controls = [
    slider(model, { name: "t", label: "time step", symbol: "t", role: "condition", min: 0, max: 999, step: 1 }),
    slider(model, { name: "dimension", label: "dimension", symbol: "i", min: 0, max: FREQUENCY_SIZE - 1, step: 1 }),
    menu(model, {
      name: "unit",
      label: "t is fed in",
      options: [
        ["thousand", "from 0 to 1000"],
        ["one", "from 0 to 1"],
      ],
    }),
    menu(model, {
      name: "label",
      label: "class y",
      role: "condition",
      options: Array.from({ length: NULL_CLASS + 1 }, (_, i) => [i, i === NULL_CLASS ? "10: no class" : String(i)]),
    }),
  ];
  const buttons = presets(model, "presets", [
    ["t = 0", { t: 0 }],
    ["t from 0 to 1", { unit: "one", dimension: 40 }],
    ["a slow dimension", { unit: "thousand", dimension: 100 }],
    ["reset", { t: 300, unit: "thousand", dimension: 40, label: 7 }],
  ]);
  const sentence = status();
  const curveTitle = h("div", { class: "dit-title" });
  const read = () => Object.fromEntries(NAMES.map((name) => [name, model.get(name)]));
  const details = numbers("The numbers of the vectors", (box) => {
    const { time, label, c } = stages(read());
    table(box, {
      caption: "Width 16, untrained weights",
      columns: ["", ...Array.from({ length: HIDDEN_SIZE }, (_, i) => String(i))],
      rows: [["time", ...time], ["class", ...label], ["sum c", ...c]],
    });
  });
  const draw = () => {
    const state = read();
    const { alive, curve, time, label, c, embedding } = stages(state);
    const palette = colours(el);
    const { rows } = allTimes(state.unit);
    const [row, column] = [Math.floor(state.dimension / 4), Math.round(state.t / 10.1)];
    redraw(map, [state.unit, row, column, palette], () => {
      const every4th = Array.from({ length: FREQUENCY_SIZE / 4 }, (_, i) => rows.map((all) => all[4 * i]));
      heatmap(map, every4th, { limit: 1, palette, row, column });
    });
    drawCurve(line, curve, state.t / 999, palette);
    const kind = state.dimension < FREQUENCY_SIZE / 2 ? "cosine" : "sine";
    say(curveTitle, `dimension ${state.dimension}, a ${kind}, now ${format(embedding[state.dimension])}`);
    [time, label, c].forEach((values, i) => {
      const { bars } = vectors[i];
      redraw(bars, [values, palette], () => drawBars(bars, values, i ? palette.condition : palette.data, palette));
    });
    sentence.say(
      `${alive} of 256 dimensions vary with t (deviation above ${ALIVE}); ` +
      `c has root mean square ${format(Math.sqrt(mean(c.map((v) => v * v))))}.`,
    );
    details.draw();
  };
  return show({
    model,
    el,
    names: NAMES,
    controls,
    draw,
    parts: [
      group(...controls),
      buttons,
      h("div", { class: "dit-title" }, "every fourth of 256 dimensions (down) over t (right)"),
      map,
      curveTitle,
      line,
      h(
        "div",
        { class: "dit-panels" },
        ...vectors.map(({ title, bars }) => h("div", { class: "dit-panel" }, h("div", { class: "dit-title" }, title), bars)),
      ),
      sentence.element,
      details.element,
    ],
  });
}

export default { render };
