// Chapter 16's figure: the paper's twelve models, and the line through them.
import { mean, sum } from "./core/arrays.mjs";
import { ditCost, ditLedger } from "./core/counting.mjs";
import * as ui from "./ui.mjs";

const [LOWEST, HIGHEST] = [Math.log10(12), Math.log10(250)]; // of the FIDs drawn
const SPREAD = Math.log10(2.6); // of the ratios drawn, up and down

const patchSize = (name) => Number(name.split("/")[1]);
const sizes = (models, name) => ({
  inputSize: 32,
  patchSize: patchSize(name),
  hiddenSize: models[name].hidden_size,
  depth: models[name].depth,
});

// The logarithm on the horizontal axis, one for each model
function horizontal({ models, axis, power }) {
  return Object.keys(models).map((name) => {
    const { tokens, macs, parameters } = ditCost(sizes(models, name));
    const quantities = {
      macs: macs / 1e9,
      parameters: parameters / 1e6,
      tokens,
      depth: models[name].depth,
    };
    return Math.log10(quantities[axis]) + (axis === "tokens" ? 0 : power * Math.log10(tokens));
  });
}

const isUsed = (fitted, name) =>
  !(fitted === "no XL" && name.startsWith("XL")) && !(fitted === "no p = 8" && name.endsWith("/8"));

// The line of least squares through the used points, and how far every point is from it
export function stages(state) {
  const { models, fitted, model } = state;
  const names = Object.keys(models);
  const x = horizontal(state);
  const y = names.map((name) => Math.log10(models[name].fid));
  const used = names.map((name) => Number(isUsed(fitted, name)));
  const kept = (row) => row.filter((_, i) => used[i]);
  const [atX, atY] = [mean(kept(x)), mean(kept(y))];
  const products = (a, b) => sum(kept(x.map((_, i) => a(i) * b(i))));
  const [dx, dy] = [(i) => x[i] - atX, (i) => y[i] - atY];
  const slope = products(dx, dy) / products(dx, dx);
  const intercept = atY - slope * atX;
  const left = (i) => y[i] - intercept - slope * x[i];
  return {
    x,
    y,
    used,
    slope,
    intercept,
    ratio: names.map((_, i) => 10 ** left(i)),
    r2: 1 - products(left, left) / products(dy, dy),
    ledger: Object.fromEntries(
      Object.entries(ditLedger(sizes(models, model))).map(([part, { macs }]) => [part, macs / 1e9]),
    ),
  };
}

// Where a logarithm stands in both pictures, from 0 to 1
const share = (x, value) => {
  const [low, high] = [Math.min(...x), Math.max(...x)];
  return 0.06 + (0.86 * (value - low)) / (high - low);
};

// Round numbers between the models of both ends, in the coarsest steps of which there are two
const STEPS = [[1], [1, 2, 5], [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8]];
function roundNumbers(x) {
  const [low, high] = [Math.min(...x), Math.max(...x)];
  const decades = [];
  for (let power = Math.floor(low); power <= high; power += 1) decades.push(power);
  const within = (steps) =>
    decades.flatMap((power) => steps.map((step) => step * 10 ** power))
      .filter((value) => Math.log10(value) >= low && Math.log10(value) <= high);
  return STEPS.map(within).find((values) => values.length > 1);
}
const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";
const numberText = (value) => {
  const power = Math.log10(value);
  if (!(power > 3 && Number.isInteger(power))) return String(value);
  return `10${String(power).replace(/\d/g, (digit) => SUPERSCRIPTS[Number(digit)])}`;
};
const LEFT = 34; // pixels for the numbers at the vertical axis
const across = (value, width) => LEFT + value * (width - LEFT);

// A circle for p = 8, a square for 4, a triangle for 2; hollow if the line is not fitted on it
function mark(context, x, y, p, filled) {
  context.beginPath();
  if (p === 8) context.arc(x, y, 4.5, 0, 7);
  if (p === 4) context.rect(x - 4, y - 4, 8, 8);
  if (p === 2) {
    context.moveTo(x, y - 5);
    context.lineTo(x + 5, y + 4);
    context.lineTo(x - 5, y + 4);
    context.closePath();
  }
  if (filled) context.fill();
  else context.stroke();
}

// Writes the names of points above, below, right or left of them, where they hide no point and no
// other name, and if possible not the line, whose height at x is `line(x)`
function writeNames({ context, width, height }, points, names, line) {
  const taken = points.map(([x, y]) => ({ x, y, half: 6 })); // the middle, and half the width
  points.forEach(([px, py], i) => {
    if (!names[i]) return;
    const half = context.measureText(names[i]).width / 2;
    const [beside, apart] = [half + 9, 13];
    const places = [[px, py - apart], [px, py + apart], [px + beside, py], [px - beside, py]]
      .map(([x, y]) => ({ x, y, half }));
    const free = places.filter(({ x, y }) =>
      Math.abs(x - width / 2) < width / 2 - half && y > 6 && y < height - 22 &&
      taken.every((other) =>
        Math.abs(x - other.x) >= half + other.half || Math.abs(y - other.y) > 10
      )
    );
    const isOffLine = ({ x, y }) =>
      [x - half, x + half].every((end) => Math.abs(y - line(end)) > 7);
    const found = free.find(isOffLine) ?? free[0] ?? places[0];
    taken.push(found);
    ui.write(context, names[i], found.x, found.y + 4);
  });
}

// A picture of points over the common axis: `height(now, i)` of a point and `line(now)`, the
// heights of the line at the first and the last point, from 0 to 1; with `names`, it names all
// models and the numbers of the common axis
function points({ ticks, height, line, names, ...rest }) {
  return ui.panel({
    ...rest,
    values: (now) => [now.x, now.ratio, now.used],
    marks: ({ model }) => [model],
    pick: nearest(height),
    draw(canvas, _, { state, now, palette }) {
      const prepared = ui.prepare(canvas);
      const { context, width, height: tall } = prepared;
      const down = (value) => (1 - value) * tall;
      context.textAlign = "left";
      context.lineWidth = 1;
      for (const [value, text] of ticks) {
        context.strokeStyle = palette.data;
        context.globalAlpha = 0.4;
        context.strokeRect(LEFT, down(value), width - LEFT, 0);
        context.globalAlpha = 1;
        context.fillStyle = palette.text;
        ui.write(context, text, 2, down(value) + 4);
      }
      context.textAlign = "center";
      for (const value of roundNumbers(now.x)) {
        const x = across(share(now.x, Math.log10(value)), width);
        context.globalAlpha = 0.4;
        context.strokeRect(x, 0, 0, names ? tall - 16 : tall);
        context.globalAlpha = 1;
        if (names) ui.write(context, numberText(value), x, tall - 4);
      }
      context.strokeStyle = palette.text;
      context.lineWidth = 1.5;
      const [low, high] = [Math.min(...now.x), Math.max(...now.x)].map((x) => now.x.indexOf(x));
      const place = (i, height) => [across(share(now.x, now.x[i]), width), down(height(now, i))];
      const [[x0, y0], [x1, y1]] = [place(low, line), place(high, line)];
      context.beginPath();
      context.moveTo(x0, y0);
      context.lineTo(x1, y1);
      context.stroke();
      const models = Object.keys(state.models);
      const spots = models.map((_, i) => place(i, height));
      models.forEach((name, i) => {
        context.fillStyle =
          context.strokeStyle =
            palette[name === state.model ? "condition" : "data"];
        mark(context, ...spots[i], patchSize(name), now.used[i]);
      });
      context.fillStyle = palette.text;
      const said = models.map((name) =>
        names ? name.split("/")[0] : name === state.model ? name : ""
      );
      writeNames(prepared, spots, said, (x) => y0 + ((x - x0) * (y1 - y0)) / (x1 - x0));
    },
  });
}

const heightOfFid = (value) => (value - LOWEST) / (HIGHEST - LOWEST);
const heightOfRatio = (ratio) => 0.5 + (0.5 * Math.log10(ratio)) / SPREAD;

// The model nearest to a place in a picture
const nearest = (height) => (y, x, state) => {
  const now = stages(state);
  const distance = (i) =>
    (x - 0.08 - 0.92 * share(now.x, now.x[i])) ** 2 + (1 - y - height(now, i)) ** 2;
  const names = Object.keys(state.models);
  const distances = names.map((_, i) => distance(i));
  return { model: names[distances.indexOf(Math.min(...distances))] };
};

const axisName = ({ axis, axes, power }) =>
  axes[axis] + (power && axis !== "tokens" ? ` · N^${power}` : "");

const start = { axis: "macs", power: 0, fitted: "all" };

export default ui.figure({
  stages,
  layout: {
    narrow: `"fids" auto "ratios" auto "ledger" auto / minmax(0, 1fr)`,
    wide: `"fids ledger" auto "ratios ledger" auto / minmax(0, 3fr) minmax(0, 2fr)`,
  },
  parts: {
    fids: points({
      title: (state, { r2 }) => `FID over ${axisName(state)}, R² = ${ui.format(r2, 3)}`,
      shape: "tall",
      names: true,
      ticks: [20, 50, 100].map((fid) => [heightOfFid(Math.log10(fid)), String(fid)]),
      height: (now, i) => heightOfFid(now.y[i]),
      line: (now, i) => heightOfFid(now.intercept + now.slope * now.x[i]),
    }),
    ratios: points({
      title: "FID divided by what the line says",
      shape: "plot",
      names: false,
      ticks: [0.5, 1, 2].map((ratio) => [heightOfRatio(ratio), String(ratio)]),
      height: (now, i) => heightOfRatio(Math.min(2.5, Math.max(0.4, now.ratio[i]))),
      line: () => 0.5,
    }),
    ledger: ui.rows({
      title: ({ model }, { ledger }) =>
        `DiT-${model}: ${ui.format(sum(Object.values(ledger)))} GMAC by part`,
      values({ ledger }) {
        const most = Math.max(...Object.values(ledger));
        return Object.entries(ledger).filter(([, macs]) => macs).map(([name, macs]) => ({
          name,
          value: ui.format(macs),
          pieces: [["data", macs / most, name]],
        }));
      },
    }),
  },
  controls: {
    axis: ui.menu({
      label: "horizontal axis",
      text: (axis) =>
        ({ macs: "GMAC", parameters: "parameters", tokens: "tokens", depth: "blocks" })[axis],
    }),
    power: ui.slider({
      label: "power of N",
      symbol: "w",
      step: 0.05,
      when: ({ axis }) => axis !== "tokens",
    }),
    fitted: ui.menu({
      label: "line fitted on",
      text: (name) =>
        ({ all: "all twelve", "no XL": "S, B and L", "no p = 8": "p = 4 and 2" })[name],
    }),
    model: ui.menu({ label: "marked model", text: (name) => `DiT-${name}` }),
  },
  opening:
    "Circles are p = 8, squares p = 4, triangles p = 2. Both axes are logarithmic, and the " +
    "line is the power law of least squares.",
  presets: [
    [
      "parameters",
      { ...start, axis: "parameters" },
      "Four columns: each size has three FIDs far apart. Parameters alone say little.",
    ],
    [
      "Gflops and tokens",
      { ...start, power: 0.7 },
      "With N to the power 0.7 beside the Gflops, the circles come down to the line.",
    ],
    [
      "parameters and tokens",
      { ...start, axis: "parameters", power: 1.7 },
      "The same picture from parameters and tokens: Gflops are nearly their product.",
    ],
    [
      "predict XL",
      { ...start, fitted: "no XL" },
      "The line has not seen the hollow points. XL/8 is far above it, XL/2 below.",
    ],
    [
      "without p = 8",
      { ...start, fitted: "no p = 8" },
      "On the eight models of finer patches Gflops alone are enough; the circles are not on it.",
    ],
  ],
  sentence: (state, { slope, r2, ratio }) =>
    `FID goes as (${axisName(state)}) to the power ${ui.format(slope)}; R² = ${
      ui.format(r2, 3)
    } in logarithms. DiT-${state.model} has ${
      ui.format(ratio[Object.keys(state.models).indexOf(state.model)])
    } times the FID of the line.`,
  note:
    "The letters are sizes. Hollow points are not used for the line. Click a point to mark its " +
    "model.",
  table: ({ models }, { x, ratio }) => ({
    caption: "FID of the paper, place on the axis, and FID divided by the line",
    columns: ["model", "FID", "axis", "FID / line"],
    rows: Object.entries(models).map(([name, { fid }], i) => [name, fid, 10 ** x[i], ratio[i]]),
  }),
});
