// Chapter 8's figure: image tokens that look up the time and the words of a caption.
import { add, mean } from "./core/arrays.mjs";
import { crossAttention, selfAttention, sharesOf } from "./core/attention.mjs";
import { mlp } from "./core/blocks.mjs";
import { pictureOf, rowsOf } from "./core/data.mjs";
import { embedNoised } from "./core/models.mjs";
import { affineNorm } from "./core/norms.mjs";
import * as ui from "./ui.mjs";

const GRID = 4;
const FULL = 0.6; // the share that gets full colour

const keyNames = (state) => ["time", "a", state.weight, state.slant, state.name];

// How much each token looks each key up in the chosen layer: (5, 16)
export function stages(state) {
  const { weights, num_heads: numHeads } = state;
  const image = pictureOf(state.digits[state.picture_of], 16);
  if (!weights) return { image };
  const latent = state.latents[state.picture_of];
  const { tokens, time } = embedNoised(latent, state.noise, state.t, weights);
  const table = weights["y_embedder.embedding_table.weight"];
  const rowOf = (word) => table[state.words.indexOf(word) + 1];
  const context = [time, ...keyNames(state).slice(1).map(rowOf)];
  let x = tokens;
  for (let number = 0;; number += 1) {
    const name = `blocks.${number}`;
    const normalised = affineNorm(x, weights, `${name}.norm1`);
    x = add(x, selfAttention(normalised, weights, numHeads, `${name}.attn`).output);
    const queries = affineNorm(x, weights, `${name}.norm_cross`);
    const looked = crossAttention(queries, context, weights, numHeads, `${name}.cross_attn`);
    if (number === state.block) {
      const shares = sharesOf(looked, state.head);
      return { image, maps: context.map((_, key) => shares.map((row) => row[key])) };
    }
    x = add(x, looked.output);
    x = add(x, mlp(affineNorm(x, weights, `${name}.norm2`), weights, `${name}.mlp`));
  }
}

const keys = Object.fromEntries(
  ["time", "a", "weight", "slant", "name"].map((name, i) => [
    `key_${name}`,
    ui.map({
      title: (state) => keyNames(state)[i],
      role: "condition",
      limit: FULL,
      values: ({ maps }) => maps && rowsOf(maps[i], GRID),
      note: (_, { maps }) =>
        maps
          ? `${ui.percent(Math.min(...maps[i]))} to ${ui.percent(Math.max(...maps[i]))}, ` +
            `mean ${ui.percent(mean(maps[i]))}`
          : "",
    }),
  ]),
);
const word = (label) => ui.menu({ label, role: "condition" });

export default ui.figure({
  stages,
  layout: {
    narrow: `". t words" auto "image key_time key_a" auto "weight slant name" auto
      "key_weight key_slant key_name" auto / minmax(0, 1fr) minmax(0, 1fr) minmax(0, 1fr)`,
    wide: `"words t . weight slant name" auto
      "image key_time key_a key_weight key_slant key_name" auto / 1fr 1fr 1fr 1fr 1fr 1fr`,
    areas: { legend: "words" },
  },
  parts: {
    image: ui.patches(GRID),
    t: ui.slider({ label: "time", symbol: "t", role: "condition" }),
    weight: word("weight"),
    slant: word("slant"),
    name: word("name"),
    ...keys,
    legend: ui.legend({ kind: "share", low: "0", high: "60%" }),
  },
  wires: [
    ["t", "key_time", { role: "condition" }],
    ["weight", "key_weight", { role: "condition" }],
    ["slant", "key_slant", { role: "condition" }],
    ["name", "key_name", { role: "condition" }],
  ],
  controls: ui.lookMenus(),
  opening: "Each of the sixteen patches looks five keys up: the time and four words. " +
    "A cell is a patch; at every patch the five maps add up to 1.",
  presets: [
    ["almost clean", { t: 20 }, "At step 20 the picture can be seen, and noise is hardly left."],
    ["almost noise", { t: 950 }, "At step 950 the caption is nearly all that the model has."],
    [
      "a wrong name",
      { name: "three", picture_of: 7 },
      "The picture is a 7, the caption says three.",
    ],
  ],
  sentence(state, { maps }) {
    const shares = maps.map((row) => mean(row));
    const most = shares.indexOf(Math.max(...shares));
    const names = keyNames(state);
    return `Caption: “${names.slice(1).join(" ")}”. Looked up most: ${names[most]}, ` +
      `${ui.percent(shares[most])} over all tokens.`;
  },
  note: "The digit is shown clean; the model sees it noised to step t.",
  table: (state, { maps = [] }) => ({
    caption: "How much each token looks each key up",
    columns: ["token", ...keyNames(state)],
    rows: Array.from(maps[0] ?? [], (_, n) => [String(n), ...maps.map((row) => row[n])]),
  }),
});
