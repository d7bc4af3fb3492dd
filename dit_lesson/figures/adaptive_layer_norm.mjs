// Chapter 9's figure: the tokens of a digit on their way through LN, scale and shift.
import { mean, std } from "./core/arrays.mjs";
import { linearRow, silu } from "./core/blocks.mjs";
import { pictureOf } from "./core/data.mjs";
import { timestepEmbedding } from "./core/embeddings.mjs";
import { layerNorm, modulate } from "./core/norms.mjs";
import { patchify } from "./core/patches.mjs";
import * as ui from "./ui.mjs";

const HIDDEN_SIZE = 16;
const GRID = 4;
const LIMIT = 3;

// The vectors shift and scale that the present state asks for.
function modulation({ mode, feature, t, label, table, weight, ...chosen }) {
  if (mode === "condition") {
    const time = timestepEmbedding(t, HIDDEN_SIZE);
    const both = linearRow(silu(time.map((value, i) => value + table[label][i])), weight);
    return { shift: both.slice(0, HIDDEN_SIZE), scale: both.slice(HIDDEN_SIZE) };
  }
  const vector = (value) =>
    Float64Array.from(table[0], (_, i) => (feature < 0 || feature === i ? value : 0));
  return { shift: vector(chosen.shift), scale: vector(chosen.scale) };
}

export function stages(state) {
  const image = pictureOf(state.digits[state.digit], 16);
  const tokens = patchify(image, state.patch_size);
  const { shift, scale } = modulation(state);
  const normalised = layerNorm(tokens);
  const scaled = modulate(normalised, new Float64Array(HIDDEN_SIZE), scale);
  const modulated = modulate(normalised, shift, scale);
  return { image, shift, scale, tokens, normalised, scaled, modulated };
}

const byHand = ({ mode }) => mode === "direct";
const byCondition = ({ mode }) => mode === "condition";

const matrix = (name, title) => ui.tokenRows(name, { title, limit: LIMIT, tokens: GRID ** 2 });
const spread = (name) =>
  ui.spread({
    limit: LIMIT + 1,
    values: (now) => now[name],
    note: ({ token }, now) =>
      `token ${token}: mean ${ui.format(mean(now[name][token]))}, ` +
      `std ${ui.format(std(now[name][token]))}`,
  });
const hand = (name, symbol) =>
  ui.slider({ label: name, symbol, role: name, step: 0.05, when: byHand });
const vector = (name) =>
  ui.bars({
    title: `${name}, by feature`,
    role: name,
    limit: LIMIT,
    shape: "strip",
    values: (now) => now[name],
    colour: () => name,
    when: byCondition,
  });

const identity = { mode: "direct", scale: 0, shift: 0, feature: -1 };

export default ui.figure({
  stages,
  layout: {
    narrow: `"image tokens ln normalised" auto
      "legend condition condition ." auto
      "scale scale scale times" auto "scaled_spread scaled_spread scaled_spread scaled" auto
      "shift shift shift plus" auto
      "modulated_spread modulated_spread modulated_spread modulated" auto
      / 5rem 5rem 1fr 5rem`,
    wide: `"condition condition . scale scale shift shift legend" auto
      "image tokens ln normalised times scaled plus modulated" auto
      ". tokens_spread . normalised_spread . scaled_spread . modulated_spread" auto
      / 1fr 1fr auto 1fr auto 1fr auto 1fr`,
    areas: { scale_vector: "scale", shift_vector: "shift" },
  },
  parts: {
    image: ui.patchOfToken(GRID),
    tokens: matrix("tokens", "tokens x"),
    tokens_spread: spread("tokens"),
    ln: ui.node({ text: "LN", round: false }),
    normalised: matrix("normalised", "LN(x)"),
    normalised_spread: spread("normalised"),
    scale: hand("scale", "γ"),
    scale_vector: vector("scale"),
    times: ui.node({ text: "× (1 + γ)", role: "scale", round: false }),
    scaled: matrix("scaled", "scaled"),
    scaled_spread: spread("scaled"),
    shift: hand("shift", "β"),
    shift_vector: vector("shift"),
    plus: ui.node({ text: "+ β", role: "shift", round: false }),
    modulated: matrix("modulated", "and shifted"),
    modulated_spread: spread("modulated"),
    condition: ui.node({
      text: ({ t, label }) => `SiLU, linear of c: t = ${t}, y = ${label}`,
      role: "condition",
      round: false,
      when: byCondition,
    }),
    legend: ui.legend({ low: "−3", high: "3" }),
  },
  wires: [
    ["image", "tokens"],
    ["tokens", "ln"],
    ["ln", "normalised"],
    ["normalised", "times"],
    ["times", "scaled"],
    ["scaled", "plus"],
    ["plus", "modulated"],
    ["scale", "times", { role: "scale" }],
    ["shift", "plus", { role: "shift" }],
    ["scale_vector", "times", { role: "scale" }],
    ["shift_vector", "plus", { role: "shift" }],
    ["condition", "scale_vector", { role: "condition" }],
  ],
  controls: {
    mode: ui.menu({
      label: "set by",
      text: (mode) => ({ direct: "your hand", condition: "a condition" })[mode],
    }),
    feature: ui.menu({
      label: "acts on",
      text: (i) => (i < 0 ? "all features" : `feature ${i} only`),
      when: byHand,
    }),
    t: ui.slider({ label: "time step", symbol: "t", role: "condition", when: byCondition }),
    label: ui.menu({ label: "class y", role: "condition", when: byCondition }),
    digit: ui.menu({ label: "digit" }),
    token: ui.slider({ label: "token", symbol: "n" }),
  },
  opening: "Sixteen tokens, one a row, on their way through layer norm. " +
    "The scale widens every row, the shift moves it: the same two numbers for all tokens.",
  presets: [
    [
      "reset to identity",
      identity,
      "At scale 0 and shift 0 nothing is steered: every row leaves with mean 0 and deviation 1.",
    ],
    [
      "scale only",
      { ...identity, scale: 1 },
      "A scale of 1 doubles each deviation and moves no mean.",
    ],
    [
      "shift only",
      { ...identity, shift: 1 },
      "A shift of 1 moves each mean to 1 and widens nothing.",
    ],
    [
      "scale = −1 erases",
      { ...identity, scale: -1 },
      "The factor 1 + scale is 0: the digit is gone, and only what the shift adds is left.",
    ],
    [
      "one feature",
      { ...identity, scale: 1.5, shift: 1, feature: 5 },
      "The scale and the shift of one feature: one column changes, in every row at once.",
    ],
    [
      "a condition",
      { mode: "condition", t: 500, label: 3 },
      "Now t and the class make both vectors, a number for each feature. Move t below.",
    ],
  ],
  sentence: ({ token }, { tokens, modulated }) =>
    `Token ${token}: mean ${ui.format(mean(tokens[token]))} and std ` +
    `${ui.format(std(tokens[token]))} before layer norm, mean ${
      ui.format(mean(modulated[token]))
    } ` +
    `and std ${ui.format(std(modulated[token]))} at the end.`,
  note: "Rows are tokens (N = 16), columns are features (D = 16). Below each map is how all 256 " +
    "values are spread from −4 to 4; heights are square roots of counts.",
  table: ({ token }, now) => ({
    caption: `Token ${token}, ${HIDDEN_SIZE} features`,
    columns: ["", ...Array.from({ length: HIDDEN_SIZE }, (_, i) => String(i))],
    rows: [
      ["tokens x", ...now.tokens[token]],
      ["LN(x)", ...now.normalised[token]],
      ["scale", ...now.scale],
      ["after scale", ...now.scaled[token]],
      ["shift", ...now.shift],
      ["after shift", ...now.modulated[token]],
    ],
  }),
});
