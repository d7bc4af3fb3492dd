// Chapter 14's figure: the trained DiT paints a digit in the page, and may be overruled on the way.
import { rootMeanSquare } from "./core/arrays.mjs";
import { rowsOf } from "./core/data.mjs";
import { trainedDecoder } from "./core/decoder.mjs";
import { trainedDiT } from "./core/dit.mjs";
import { guided, TIME_SCALE, timesOf, walk } from "./core/flow.mjs";
import { rowOf } from "./core/safetensors.mjs";
import * as ui from "./ui.mjs";

const [PICTURE, CELLS, NULL_CLASS, MAX_STEPS] = [32, 4, 10, 20];
const STATES = MAX_STEPS + 1; // the noise, and what is there after each step
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

// What the model is told at a time of the walk, and in which times it is guided
const toldTime = ({ overrule, held }, t) => overrule === "hold t" ? TIME_SCALE * held : t;
const toldDigit = ({ overrule, digit, other, change_at: changeAt }, t) =>
  overrule === "change the class" && t <= TIME_SCALE * changeAt + CLOSE ? other : digit;
/** @type {(state: any) => [number, number] | null} */
const intervalOf = ({ overrule, lowest, highest }) =>
  overrule === "guide in an interval"
    ? [TIME_SCALE * lowest - CLOSE, TIME_SCALE * highest + CLOSE]
    : null;

// A walk from noise to data: every latent, what it is taken for, the sizes of the vectors
function walkOf(state, pictures) {
  const { dit, guidance, steps, seed, sampler } = state;
  const model = trainedDiT(dit, 2); // guidance asks twice
  const sizes = [];
  const look = (x, t, y) =>
    model.forward(x, t.map((time) => toldTime(state, time)), y, (vectors) => {
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
  const answer = (x, t) =>
    guided(look, [toldDigit(state, t[0])], NULL_CLASS, guidance, intervalOf(state))(x, t);
  const heun = sampler === "Heun";
  const noise = rowOf(state.noise.noise, seed);
  const path = [...walk(answer, noise, 1, { steps, heun })];
  const latents = [noise, ...path.map(({ x }) => x)];
  // the last latent is taken for what it is
  const taken = [...path.map(({ x0 }) => x0), latents[steps]];
  const decoded = pictures.decode(taken.flatMap((latent) => [...latent]));
  const area = PICTURE * PICTURE;
  return {
    latents,
    seen: taken.map((_, i) => decoded.subarray(i * area, (i + 1) * area)),
    sizes: transposed(sizes.filter((_, call) => !heun || call % 2 === 0)),
  };
}

// The last walk: while another of its steps is shown, nobody walks again
let kept = {};
function keptWalkOf(state, pictures) {
  const { state: last = {} } = kept;
  const isSame = Object.keys(state).every((name) => name === "step" || state[name] === last[name]);
  if (!isSame) kept = { state, walk: walkOf(state, pictures) };
  return kept.walk;
}

export function stages(state) {
  const times = timesOf(state.steps, "velocity");
  const step = Math.min(state.step, state.steps);
  if (!state.dit || !state.decoder || !state.noise) return { times, step };
  const pictures = trainedDecoder(state.decoder, CELLS, STATES);
  const walked = keptWalkOf({ ...state, dit: ui.weightsOf(state) }, pictures);
  return {
    times,
    step,
    ...walked,
    taken: rowsOf(walked.seen[step], PICTURE),
    painted: rowsOf(pictures.decode(walked.latents[step]), PICTURE),
  };
}

const transposed = (rows) => rows[0].map((_, i) => rows.map((row) => row[i]));

// A film of squares, each in the middle of its column; as wide as one of most squares
function film(squares, side, blank) {
  if (!squares) return undefined;
  const wide = Math.floor((STATES * side) / squares.length);
  const margin = Math.floor((wide - side) / 2);
  return Array.from({ length: side }, (_, y) => {
    const row = new Float32Array(squares.length * wide).fill(blank);
    squares.forEach((square, i) =>
      row.set(square.subarray(y * side, (y + 1) * side), i * wide + margin)
    );
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

// The columns of all states, the chosen one in a frame, and chosen by a click
const columns = {
  marks: (_, { step }) => [step],
  pick: (_, x, { steps }) => ({ step: Math.floor(x * (steps + 1)) }),
};
function between(prepared, _, { now, palette }) {
  const size = [1, now.times.length];
  ui.grid(prepared, size, palette.ground);
  ui.frame(prepared, size, [0, now.step], palette.condition);
}

// A cell for each step and vector, in the vector's colour; the fuller, the larger the vector.  At
// the end of the walk nobody is asked.
function drawSizes(canvas, sizes, { now, palette }) {
  const prepared = ui.prepare(canvas);
  const { context, width, height } = prepared;
  const gap = 3;
  const tall = (height - gap * (GROUPS.length - 1)) / sizes.length;
  const wide = width / now.times.length;
  sizes.forEach((row, i) => {
    context.fillStyle = palette[KINDS[i % KINDS.length]];
    row.forEach((size, step) => {
      context.globalAlpha = Math.min(1, size);
      context.fillRect(step * wide, i * tall + gap * Math.floor(i / KINDS.length), wide, tall);
    });
  });
  context.globalAlpha = 1;
  ui.frame(prepared, [1, now.times.length], [0, now.step], palette.condition);
}

// A part that stands elsewhere in its area than in the middle
const placed = (part, place) => (view) => {
  const made = part(view);
  Object.assign(made.element.style, place);
  return made;
};
const large = (title, values) => placed(ui.digit({ title, values }), { alignSelf: "start" });

// What the rows of the sizes are, beside them
const sizeNames = () => {
  const words = GROUPS.map(([block, branch]) => `${branch === "attn" ? "attn" : "MLP"} ${block}`);
  const lines = words.map((text) => ui.h("span", {}, text));
  return { element: ui.h("div", { class: "dit-names dit-tall" }, ...lines), draw() {} };
};

// What the model is told at the chosen step
function told(state, { times, step }) {
  const t = TIME_SCALE * times[step];
  const head = `DiT, t = ${decimals(toldTime(state, t) / TIME_SCALE)}`;
  if (step === state.steps) return `${head}\nno step left`;
  const interval = intervalOf(state);
  const inForce = !interval || (interval[0] <= t && t <= interval[1]);
  return `${head}\na ${toldDigit(state, t)}, s = ${decimals(inForce ? state.guidance : 1)}`;
}

const only = (choice) => ({ overrule }) => overrule === choice;
const decimals = (value) => value.toFixed(2);

export default ui.figure({
  stages,
  takes: ["own"],
  layout: {
    narrow: `"painted painted digit taken" auto "painted painted dit taken" auto
      "painted painted guidance taken" auto
      "noise latents latents latents" auto ". strip strip strip" auto
      "names sizes sizes sizes" auto ". step step step" auto
      / 2.75rem 2.25rem minmax(0, 1fr) 5.5rem`,
    wide: `"noise latents latents latents painted" auto ". digit dit guidance painted" auto
      ". strip strip strip taken" auto "names sizes sizes sizes taken" auto
      ". step step step taken" auto
      / 4rem minmax(0, 1fr) minmax(0, 1fr) minmax(0, 1fr) 9.5rem`,
    areas: { legend: "latents" },
  },
  parts: {
    noise: ui.node({ text: "noise", round: false }),
    latents: ui.map({
      title: "latent, channels 0–3",
      shape: "twenty",
      limit: LIMIT,
      values: ({ latents }) => film(latents?.map(quarters), MOSAIC, 0),
      decorate: between,
      ...columns,
      more: true,
    }),
    digit: ui.menu({ label: "digit", role: "condition" }),
    dit: ui.node({ text: told, round: false }),
    guidance: ui.slider({ label: "guidance", symbol: "s", role: "condition", step: 0.05 }),
    strip: ui.digit({
      title: "what the model takes it for",
      shape: "twenty",
      values: ({ seen }) => film(seen, PICTURE, -1),
      decorate: between,
      ...columns,
    }),
    painted: large("painted", ({ painted }) => painted),
    taken: large("taken for", ({ taken }) => taken),
    names: sizeNames,
    sizes: ui.panel({
      title: "size of shift (blue), scale (orange), gate (green), full at 1",
      shape: "tall",
      values: ({ sizes }) => sizes,
      draw: drawSizes,
      ...columns,
    }),
    step: ui.slider({
      label: "step, from noise to data",
      role: "condition",
      most: ({ steps }) => steps,
      axis: true,
    }),
    legend: placed(ui.legend({ low: "−3", high: "3" }), {
      alignSelf: "start",
      justifySelf: "end",
      margin: 0,
    }),
  },
  wires: [
    ["noise", "latents", { role: "stream" }],
    ["latents", "painted", { role: "stream", only: "wide" }],
    ["latents", "dit", { only: "wide" }],
    ["digit", "dit", { role: "condition" }],
    ["guidance", "dit", { role: "condition" }],
    ["dit", "strip", { only: "wide" }],
    ["strip", "taken", { only: "wide" }],
    ["painted", "dit", { only: "narrow" }],
    ["dit", "taken", { only: "narrow" }],
  ],
  controls: {
    steps: ui.slider({ label: "steps" }),
    seed: ui.menu({ label: "noise" }),
    sampler: ui.menu({ label: "sampler" }),
    overrule: ui.menu({
      label: "overrule",
      text: (what) => what.replace(/^(guide in|change|mute) /, ""), // a phone has room for it
    }),
    weights: ui.weightsMenu,
    lowest: ui.slider({
      label: "from",
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
  dense: true,
  opening:
    "Twenty steps from noise to a 5, computed in this page. Drag the step back to the noise.",
  presets: [
    [
      "no guidance",
      { guidance: 1, step: MAX_STEPS }, // whoever shows an earlier step sees the digit again
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
  sentence(state, { painted, times, step }) {
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
    const many = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;
    return `A ${digit}${ui.whose(state)} from noise ${seed} at guidance ${decimals(guidance)}: ` +
      `${many(steps, `${sampler} step`)}, ${many(calls, "time")} at which the model is asked` +
      `${told}. ` +
      `After step ${step}, at t = ${decimals(times[step])}, ${
        ui.percent(inked / (PICTURE * PICTURE))
      } of the picture is ink.`;
  },
  table(_, { times, sizes = [], painted = [] }) {
    const rowNames = GROUPS.flatMap(([block, branch]) =>
      KINDS.map((kind) => `block ${block}, ${branch === "attn" ? "attention" : "MLP"} ${kind}`)
    );
    return [
      {
        caption: "The size of each vector (root mean square) by step",
        columns: ["vector", ...times.slice(0, -1).map((t) => `t = ${decimals(t)}`)],
        rows: sizes.map((row, i) => [rowNames[i], ...row]),
      },
      {
        caption: "What is painted at the chosen step",
        columns: ["row", ...Array.from({ length: PICTURE }, (_, x) => String(x))],
        rows: painted.map((row, y) => [String(y), ...row]),
      },
    ];
  },
});
