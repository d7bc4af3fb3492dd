// Chapter 14's figure: the trained DiT paints a digit in the page, and may be overruled on the way.
import { rootMeanSquare } from "./core/arrays.mjs";
import { trainedDecoder } from "./core/decoder.mjs";
import { trainedDiT } from "./core/dit.mjs";
import { guided, TIME_SCALE, timesOf, walk } from "./core/flow.mjs";
import { rowOf } from "./core/safetensors.mjs";
import * as ui from "./ui.mjs";

const [PICTURE, CELLS, NULL_CLASS, MAX_STEPS] = [32, 4, 10, 20];
const MOSAIC = 2 * CELLS;
const LIMIT = 3; // of the latents' colours
const BLOCKS = [0, 1, 2];
const KINDS = ["shift", "scale", "gate"];
const GROUPS = BLOCKS.flatMap((block) => ["attn", "mlp"].map((branch) => [block, branch]));
const CLOSE = 0.001; // times that are equal but for rounding, as the model is told them

// Whether the gates of a branch are held at 0
const silent = ({ overrule, muted }, block, branch) =>
  overrule === "mute a branch" && muted.startsWith(branch === "attn" ? "attention" : "MLP") &&
  (muted.endsWith("all blocks") || muted.endsWith(`block ${block}`));

export function stages(state) {
  const { digit, other, guidance, steps, seed, sampler, overrule } = state;
  const times = timesOf(steps, "velocity").slice(0, steps);
  if (!state.dit || !state.decoder || !state.noise) return { times };
  const model = trainedDiT(ui.weightsOf(state), 2); // guidance asks twice
  const pictures = trainedDecoder(state.decoder, model.config.inputSize, MAX_STEPS + 1);
  const sizes = [];
  const look = (x, t, y) => {
    const told = overrule === "hold t" ? t.map(() => TIME_SCALE * state.held) : t;
    return model.forward(x, told, y, (vectors) => {
      for (const { name, kind, of } of vectors) {
        const [, block, branch] = name.split(".");
        if (kind !== "gate" || !silent(state, Number(block), branch)) continue;
        for (let sample = 0; sample < y.length; sample += 1) of(sample).fill(0);
      }
      sizes.push(
        vectors.slice(0, GROUPS.length * KINDS.length).map(({ of }) => of(0)).map(
          rootMeanSquare,
        ),
      );
    });
  };
  /** @type {[number, number] | null} */
  const interval = overrule === "guide in an interval"
    ? [TIME_SCALE * state.lowest - CLOSE, TIME_SCALE * state.highest + CLOSE]
    : null;
  const answer = (x, t) => {
    const late = overrule === "change the class" && t[0] <= TIME_SCALE * state.change_at + CLOSE;
    return guided(look, [late ? other : digit], NULL_CLASS, guidance, interval)(x, t);
  };
  const heun = sampler === "Heun";
  const noise = rowOf(state.noise.noise, seed);
  const path = [...walk(answer, noise, 1, { steps, heun })];
  const seen = [...path.map(({ x0 }) => x0), path.at(-1).x];
  const decoded = pictures.decode(seen.flatMap((latent) => [...latent]));
  const area = PICTURE * PICTURE;
  const at = (i) => decoded.subarray(i * area, (i + 1) * area);
  return {
    times,
    latents: [noise, ...path.slice(0, -1).map(({ x }) => x)],
    seen: path.map((_, i) => at(i)),
    painted: Array.from(
      { length: PICTURE },
      (_, y) => at(steps).subarray(y * PICTURE, (y + 1) * PICTURE),
    ),
    sizes: transposed(sizes.filter((_, call) => !heun || call % 2 === 0)),
  };
}

const transposed = (rows) => rows[0].map((_, i) => rows.map((row) => row[i]));

// Squares of all steps beside each other: up to 5 in one row, else 10 in each of two rows
function strip(squares, side, blank) {
  if (!squares) return undefined;
  const [down, across] = squares.length > 5 ? [2, 10] : [1, 5];
  return Array.from({ length: down * side }, (_, y) => {
    const row = new Float32Array(across * side).fill(blank);
    for (let column = 0; column < across; column += 1) {
      const square = squares[Math.floor(y / side) * across + column];
      const line = (y % side) * side;
      if (square) row.set(square.subarray(line, line + side), column * side);
    }
    return row;
  });
}

// Channels 0 to 3 of a latent as one square, two in a row
const quarters = (latent) =>
  Float32Array.from({ length: MOSAIC ** 2 }, (_, i) => {
    const [y, x] = [Math.floor(i / MOSAIC), i % MOSAIC];
    const channel = 2 * Math.floor(y / CELLS) + Math.floor(x / CELLS);
    return latent[(channel * CELLS + y % CELLS) * CELLS + x % CELLS];
  });
const between = (side) => (prepared, rows, { palette }) =>
  ui.grid(prepared, [rows.length / side, rows[0].length / side], palette.ground, 2);

// A cell for each step and vector, in the vector's colour; the fuller, the larger the vector
function drawSizes(canvas, sizes, { palette }) {
  const { context, width, height } = ui.prepare(canvas);
  const [left, low] = [52, height - 16];
  const gap = 4;
  const tall = (low - gap * GROUPS.length) / sizes.length;
  const wide = (width - left) / sizes[0].length;
  context.textAlign = "left";
  GROUPS.forEach(([block, branch], group) => {
    const top = group * (KINDS.length * tall + gap);
    context.globalAlpha = 1;
    context.fillStyle = palette.text;
    const name = `${branch === "attn" ? "attn" : "MLP"} ${block}`;
    ui.write(context, name, 0, Math.max(10, top + 2 * tall));
    KINDS.forEach((kind, i) => {
      context.fillStyle = palette[kind];
      sizes[group * KINDS.length + i].forEach((size, step) => {
        context.globalAlpha = Math.min(1, size);
        context.fillRect(left + step * wide, top + i * tall, wide, tall);
      });
    });
  });
  context.globalAlpha = 1;
  context.fillStyle = palette.text;
  ui.write(context, "noise", left, height - 3);
  context.textAlign = "right";
  ui.write(context, "data", width, height - 3);
}

const only = (choice) => ({ overrule }) => overrule === choice;
const decimals = (value) => value.toFixed(2);

export default ui.figure({
  stages,
  takes: ["own"],
  layout: {
    narrow: `"painted sizes" auto "strip strip" auto "latents latents" auto "legend legend" auto
      / minmax(0, 2fr) minmax(0, 3fr)`,
    wide: `"painted strip" auto "painted sizes" auto "legend latents" auto
      / minmax(0, 2fr) minmax(0, 5fr)`,
  },
  parts: {
    painted: ui.digit({ title: "painted", values: ({ painted }) => painted }),
    strip: ui.digit({
      title: "what the model takes it for, step by step",
      shape: "film",
      values: ({ seen }) => strip(seen, PICTURE, -1),
      decorate: between(PICTURE),
    }),
    latents: ui.map({
      title: "the latent that it is given, channels 0 to 3, from noise to data",
      shape: "film",
      limit: LIMIT,
      values: ({ latents }) => strip(latents?.map(quarters), MOSAIC, 0),
      decorate: between(MOSAIC),
      more: true,
    }),
    legend: ui.legend({ low: "−3", high: "3" }),
    sizes: ui.panel({
      title: "size of shift (blue), scale (orange), gate (green), full at 1",
      shape: "tall",
      values: ({ sizes }) => sizes,
      draw: drawSizes,
    }),
  },
  controls: {
    digit: ui.menu({ label: "digit" }),
    guidance: ui.slider({ label: "guidance", symbol: "s", step: 0.05 }),
    steps: ui.slider({ label: "steps" }),
    seed: ui.menu({ label: "noise" }),
    sampler: ui.menu({ label: "sampler" }),
    overrule: ui.menu({
      label: "overrule",
      text: (what) => what.replace(/^(guide in|change|mute) /, ""), // a phone has room for it
    }),
    weights: ui.weightsMenu,
    lowest: ui.slider({
      label: "guided from",
      symbol: "t",
      step: 0.05,
      when: only("guide in an interval"),
    }),
    highest: ui.slider({
      label: "to",
      symbol: "t",
      step: 0.05,
      when: only("guide in an interval"),
    }),
    other: ui.menu({ label: "then", when: only("change the class") }),
    change_at: ui.slider({
      label: "from",
      symbol: "t",
      step: 0.05,
      when: only("change the class"),
    }),
    muted: ui.menu({ label: "muted", role: "gate", when: only("mute a branch") }),
    held: ui.slider({ label: "told", symbol: "t", step: 0.05, when: only("hold t") }),
  },
  folded: ["seed", "sampler"],
  opening: "Twenty steps from noise to a 5, computed in this page. Drag the guidance.",
  presets: [
    [
      "no guidance",
      { guidance: 1 },
      "At 1 the model gives its own answer: pale or broken strokes.",
    ],
    ["too much", { guidance: 4 }, "At 4 the strokes are fat, whatever the noise."],
    [
      "change the class",
      { overrule: "change the class", other: 0, change_at: 0.65 },
      "A 5 until t = 0.65, a 0 from there on: move the time and see when it is too late.",
    ],
    [
      "without attention",
      { overrule: "mute a branch", muted: "attention of all blocks" },
      "No token sees another: the digit is there, and its strokes do not meet.",
    ],
    [
      "held at 0.1",
      { overrule: "hold t", held: 0.1 },
      "Told at every step that the digit is nearly done, the model never decides which it is.",
    ],
  ],
  sentence(state, { painted }) {
    const { digit, other, guidance, steps, seed, sampler, overrule, muted } = state;
    const calls = sampler === "Euler" ? steps : 2 * steps - 1;
    const told = {
      "nothing": "",
      "guide in an interval": `; guided only from t = ${decimals(state.lowest)} to ${
        decimals(state.highest)
      }`,
      "change the class": `; from t = ${decimals(state.change_at)} on a ${other} is asked for`,
      "mute a branch": `; the gates are 0 in the ${muted}`,
      "hold t": `; the model is told t = ${decimals(state.held)} at every step`,
    }[overrule];
    const inked = painted.reduce((sum, row) => sum + row.filter((value) => value > 0).length, 0);
    return `A ${digit}${ui.whose(state)} from noise ${seed} at guidance ${
      decimals(guidance)
    }: ${steps} ${sampler} ` +
      `steps, ${calls} times at which the model is asked${told}. ` +
      `${ui.percent(inked / (PICTURE * PICTURE))} of the picture is ink.`;
  },
  table(_, { times, sizes = [], painted = [] }) {
    const rowNames = GROUPS.flatMap(([block, branch]) =>
      KINDS.map((kind) => `block ${block}, ${branch === "attn" ? "attention" : "MLP"} ${kind}`)
    );
    return [
      {
        caption: "The size of each vector (root mean square) by step",
        columns: ["vector", ...times.map((t) => `t = ${decimals(t)}`)],
        rows: sizes.map((row, i) => [rowNames[i], ...row]),
      },
      {
        caption: "The painted digit",
        columns: ["row", ...Array.from({ length: PICTURE }, (_, x) => String(x))],
        rows: painted.map((row, y) => [String(y), ...row]),
      },
    ];
  },
});
