// Chapter 10's figure: two branches on the stream of the tokens, each behind its gate.
import { mean } from "./core/arrays.mjs";
import { selfAttention } from "./core/attention.mjs";
import { gated, mlp } from "./core/blocks.mjs";
import { pictureOf } from "./core/data.mjs";
import { layerNorm, modulate } from "./core/norms.mjs";
import { patchify } from "./core/patches.mjs";
import * as ui from "./ui.mjs";

const HIDDEN_SIZE = 16;
const GRID = 4;
const NORM = "LN ·\u00a0(1\u00a0+\u00a0γ) +\u00a0β"; // in one line or in three

const every = (value) => new Float64Array(HIDDEN_SIZE).fill(value);

// The seven matrices of tokens, from what enters the block to what leaves it.
export function stages(state) {
  const image = pictureOf(state.digits[state.digit], 16);
  const x = patchify(image, state.patch_size);
  const modulated_msa = modulate(layerNorm(x), every(state.shift_msa), every(state.scale_msa));
  const attention = selfAttention(modulated_msa, state.block, state.num_heads);
  const between = gated(x, attention, every(state.gate_msa));
  const normalised = layerNorm(between);
  const modulated_mlp = modulate(normalised, every(state.shift_mlp), every(state.scale_mlp));
  const transformed = mlp(modulated_mlp, state.block);
  const out = gated(between, transformed, every(state.gate_mlp));
  return { image, x, modulated_msa, attention, between, modulated_mlp, mlp: transformed, out };
}

const distance = (a, b) =>
  Math.sqrt(mean(a.map((row, n) => mean(row.map((value, i) => (value - b[n][i]) ** 2)))));

const matrix = (name, title) => ui.tokenRows(name, { title, limit: 3, tokens: GRID ** 2 });

// One branch: norm, scale and shift, what it computes, the valve, and the plus on the stream.
const branch = (suffix, inner, title) => ({
  [`norm_${suffix}`]: ui.node({ text: NORM, round: false, wide: true }),
  [`scale_${suffix}`]: ui.slider({ label: "scale", symbol: "γ", role: "scale", step: 0.05 }),
  [`shift_${suffix}`]: ui.slider({ label: "shift", symbol: "β", role: "shift", step: 0.05 }),
  [`modulated_${suffix}`]: matrix(`modulated_${suffix}`, "modulated"),
  [inner]: matrix(inner, title),
  [`gate_${suffix}`]: ui.slider({ label: "gate", symbol: "α", role: "gate", step: 0.05 }),
  [`valve_${suffix}`]: ui.valve({ share: (state) => state[`gate_${suffix}`] }),
  [`plus_${suffix}`]: ui.node({ text: "+" }),
});
const branchWires = (suffix, from, inner, to) => [
  [from, `plus_${suffix}`, { role: "stream", bare: true }],
  [`plus_${suffix}`, to, { role: "stream" }],
  [from, `norm_${suffix}`],
  [`norm_${suffix}`, `modulated_${suffix}`],
  [`scale_${suffix}`, `norm_${suffix}`, { role: "scale" }],
  [`shift_${suffix}`, `norm_${suffix}`, { role: "shift" }],
  [`modulated_${suffix}`, inner],
  [inner, `valve_${suffix}`],
  [`valve_${suffix}`, `plus_${suffix}`, {
    role: "gate",
    flow: (state) => state[`gate_${suffix}`] / 2,
  }],
];

const zero = { shift_msa: 0, scale_msa: 0, gate_msa: 0, shift_mlp: 0, scale_mlp: 0, gate_mlp: 0 };

export default ui.figure({
  stages,
  layout: {
    narrow: `"x scale_msa norm_msa modulated_msa" auto "x shift_msa norm_msa modulated_msa" auto
      ". gate_msa . attention" auto "plus_msa . valve_msa attention" auto
      "between scale_mlp norm_mlp modulated_mlp" auto "between shift_mlp norm_mlp modulated_mlp" auto
      ". gate_mlp . mlp" auto "plus_mlp . valve_mlp mlp" auto "out legend . image" auto
      / minmax(3.5rem, 4.7rem) minmax(3.2rem, 1fr) 3.9rem minmax(4.5rem, 4.7rem)`,
    wide: `"x . plus_msa between . plus_mlp out" auto
      ". gate_msa valve_msa . gate_mlp valve_mlp legend" auto
      ". modulated_msa attention . modulated_mlp mlp image" auto
      "norm_msa norm_msa . norm_mlp norm_mlp . image" auto
      "scale_msa shift_msa . scale_mlp shift_mlp . image" auto / 1fr 1fr 1fr 1fr 1fr 1fr 1fr`,
  },
  parts: {
    x: matrix("x", "tokens x"),
    ...branch("msa", "attention", "attention"),
    between: matrix("between", "x + α attention"),
    ...branch("mlp", "mlp", "MLP"),
    out: matrix("out", "x out"),
    image: ui.patchOfToken(GRID),
    legend: ui.legend({ low: "−3", high: "3" }),
  },
  wires: [
    ...branchWires("msa", "x", "attention", "between"),
    ...branchWires("mlp", "between", "mlp", "out"),
  ],
  controls: {
    digit: ui.menu({ label: "digit" }),
    token: ui.slider({ label: "token", symbol: "n" }),
  },
  opening: "The tokens flow along the stream. Each branch reads it, computes something, and adds " +
    "as much of it as its valve, the gate, lets through.",
  presets: [
    [
      "reset to identity",
      zero,
      "The first step of training: both valves are shut. What leaves is what came in, bit for bit.",
    ],
    [
      "a deaf branch",
      { ...zero, scale_msa: 1, shift_msa: 1.5 },
      "Shift and scale change what attention computes, but behind a shut valve nobody hears it.",
    ],
    [
      "attention only",
      { ...zero, gate_msa: 1 },
      "The first valve is open: attention mixes the rows, so that blank patches change, too.",
    ],
    [
      "MLP only",
      { ...zero, gate_mlp: 1 },
      "The MLP treats each row by itself: equal rows, such as blank patches, stay equal.",
    ],
    [
      "both gates open",
      { ...zero, gate_msa: 1, gate_mlp: 1 },
      "Gates of 1: the block of an ordinary transformer.",
    ],
    ["a gate of −1", { ...zero, gate_msa: -1 }, "A negative gate subtracts what the branch found."],
  ],
  sentence(_, { x, out }) {
    const exact = out.every((row, n) => row.every((value, i) => value === x[n][i]));
    return exact
      ? "What comes out is what went in, bit for bit."
      : `What comes out differs from x by ${ui.format(distance(out, x))} (root mean square).`;
  },
  note: "Rows are tokens (N = 16), columns are features (D = 16). The weights are random.",
  table: (state, now) => ({
    caption: `Token ${state.token}, ${HIDDEN_SIZE} features`,
    columns: ["", ...Array.from({ length: HIDDEN_SIZE }, (_, i) => String(i))],
    rows: Object.entries(state.names).map(([name, title]) => [title, ...now[name][state.token]]),
  }),
});
