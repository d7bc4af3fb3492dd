// Chapter 8's figure: image tokens that look up the time and the words of a caption.
import { mean } from "./core/arrays.mjs";
import { pictureOf, rowsOf } from "./core/data.mjs";
import { trainedDiT } from "./core/dit.mjs";
import { noised, sharesOf } from "./core/looking.mjs";
import * as ui from "./ui.mjs";

const GRID = 4;
const FULL = 0.6; // the share that gets full colour

const keyNames = (state) => ["time", "a", state.weight, state.slant, state.name];

// How much each token looks each key up in the chosen layer: (5, 16)
export function stages(state) {
  const { weights, words, picture_of: shown, noise, t, block, head, num_heads: numHeads } = state;
  const image = pictureOf(state.digits[shown], 16);
  if (!weights) return { image };
  const [, ...caption] = keyNames(state);
  const model = trainedDiT(weights, 1, {
    conditioning: "cross-attention",
    numHeads,
    numClasses: words.length,
    maxWords: caption.length,
  });
  const labels = caption.map((word) => words.indexOf(word) + 1);
  model.forward(noised(state.latents[shown], noise, t), [t], labels);
  const shares = sharesOf(model.looks(`blocks.${block}.cross_attn`), head);
  const rows = rowsOf(shares, 1 + caption.length);
  return { image, maps: Array.from(rows[0], (_, key) => rows.map((row) => row[key])) };
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
