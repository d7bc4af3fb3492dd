// Chapter 6's figure: how a time step and a class become one vector.
import { rootMeanSquare, std } from "./core/arrays.mjs";
import { linearRow } from "./core/blocks.mjs";
import { timestepEmbedding } from "./core/embeddings.mjs";
import * as ui from "./ui.mjs";

const FREQUENCY_SIZE = 256;
const HIDDEN_SIZE = 16;
const TIMES = Array.from({ length: 100 }, (_, i) => 10 * i);

const embed = (t, unit) => timestepEmbedding(unit === "thousand" ? t : t / 1000, FREQUENCY_SIZE);

// The embeddings of all times depend on the unit only: computed once for each.
const tables = {};
function allTimes(unit, threshold) {
  if (!tables[unit]) {
    const rows = TIMES.map((t) => embed(t, unit));
    const spread = Array.from(rows[0], (_, i) => std(rows.map((row) => row[i])));
    tables[unit] = { rows, alive: spread.filter((value) => value > threshold).length };
  }
  return tables[unit];
}

export function stages(state) {
  const { rows, alive } = allTimes(state.unit, state.threshold);
  const embedding = embed(state.t, state.unit);
  const time = linearRow(embedding, state.linear);
  const label = state.table[state.label];
  return {
    all: rows,
    embedding,
    curve: rows.map((row) => row[state.dimension]),
    alive,
    time,
    class: label,
    c: time.map((value, i) => value + label[i]),
  };
}

const vector = (name, title, colour) =>
  ui.bars({ title, role: colour, limit: 3, values: (now) => now[name], colour: () => colour });

export default ui.figure({
  stages,
  layout: {
    narrow: `"clocks clocks clocks clocks clocks" auto "t t t t t" auto
      "curve curve curve curve curve" auto "dimension dimension dimension dimension dimension" auto
      "time plus plus_class equals c" auto "legend . label label label" auto
      / 1fr auto 1fr auto 1fr`,
    wide: `"clocks clocks curve curve curve" auto "t t dimension dimension dimension" auto
      "time plus plus_class equals c" auto "legend . label . ." auto / 1fr auto 1fr auto 1fr`,
    areas: { class: "plus_class" },
  },
  parts: {
    clocks: ui.map({
      title: "every fourth of 256 dimensions (down) over t (right)",
      shape: "tall",
      limit: 1,
      values: (now) =>
        Array.from({ length: FREQUENCY_SIZE / 4 }, (_, i) => now.all.map((row) => row[4 * i])),
      marks: ({ t, dimension }) => [t, dimension],
      decorate(prepared, rows, { state: { t, dimension }, palette }) {
        const size = [rows.length, rows[0].length];
        ui.frame(prepared, size, [Math.floor(dimension / 4), 0, 1, size[1]], palette.text);
        ui.frame(prepared, size, [0, Math.round(t / 10.1), size[0], 1], palette.condition);
      },
      pick: (y, x) => ({ t: Math.floor(1000 * x), dimension: 4 * Math.floor(64 * y) }),
    }),
    t: ui.slider({ label: "time step", symbol: "t", role: "condition" }),
    curve: ui.plot({
      title: ({ dimension }, { embedding }) =>
        `dimension ${dimension}, a ${dimension < FREQUENCY_SIZE / 2 ? "cosine" : "sine"}, ` +
        `now ${ui.format(embedding[dimension])}`,
      bottom: -1.1,
      top: 1.1,
      values: (now) => [{ line: now.curve }],
      at: (now, { t, dimension }) => [t / 999, now.embedding[dimension]],
    }),
    dimension: ui.slider({ label: "dimension", symbol: "i" }),
    time: vector("time", "time t", "data"),
    plus: ui.node({ text: "+" }),
    class: vector("class", "class y", "condition"),
    label: ui.menu({
      label: "class y",
      role: "condition",
      text: (label) => (label === 10 ? "10: no class" : String(label)),
    }),
    equals: ui.node({ text: "=" }),
    c: vector("c", "their sum c", "condition"),
    legend: ui.legend({ label: "sinusoid", low: "−1", high: "1" }),
  },
  controls: {
    unit: ui.menu({
      label: "t is fed in",
      text: (unit) => ({ thousand: "from 0 to 1000", one: "from 0 to 1" })[unit],
    }),
  },
  opening: "A row is a clock hand, fast ones on top of each half. The marked column is the time " +
    "step as the network gets it.",
  presets: [
    ["t = 0", { t: 0 }, "At t = 0 every cosine is 1 and every sine 0."],
    [
      "t from 0 to 1",
      { unit: "one", dimension: 40 },
      "Fed in from 0 to 1, most hands stand still: the map turns into bands that know no time.",
    ],
    [
      "a slow dimension",
      { unit: "thousand", dimension: 100 },
      "A slow hand does not finish one round in a thousand steps.",
    ],
  ],
  sentence: ({ threshold }, { alive, c }) =>
    `${alive} of 256 dimensions vary with t (deviation above ${threshold}); ` +
    `c has root mean square ${ui.format(rootMeanSquare(c))}.`,
  note: "Time and class are vectors of width 16 with untrained weights; bars go from −3 to 3.",
  table: (_, now) => ({
    caption: "Width 16, untrained weights",
    columns: ["", ...Array.from({ length: HIDDEN_SIZE }, (_, i) => String(i))],
    rows: [["time", ...now.time], ["class", ...now.class], ["sum c", ...now.c]],
  }),
});
