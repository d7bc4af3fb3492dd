// Chapter 7's figure: eighteen tokens that look at each other, two of them time and class.
import { mean, sum } from "./core/arrays.mjs";
import { pictureOf, rowsOf } from "./core/data.mjs";
import { trainedDiT } from "./core/dit.mjs";
import { noised, sharesOf } from "./core/looking.mjs";
import * as ui from "./ui.mjs";

const GRID = 4;
const [TIME, CLASS] = [GRID * GRID, GRID * GRID + 1]; // the places of the condition tokens
const FULL = 0.5; // the share that gets full colour; a root, so that small shares can be seen

// How much each token (row) looks at each (column) in the chosen layer: (18, 18)
export function stages(state) {
  const { weights, picture_of: shown, noise, t, y, block, head, num_heads: numHeads } = state;
  const image = pictureOf(state.digits[shown], 16);
  if (!weights) return { image };
  const model = trainedDiT(weights, 1, { conditioning: "in-context", numHeads });
  model.forward(noised(state.latents[shown], noise, t), [t], [y]);
  const shares = sharesOf(model.looks(`blocks.${block}.attn`), head);
  return { image, shares: rowsOf(shares, model.tokens) };
}

const range = (values) =>
  `${ui.percent(Math.min(...values))} to ${ui.percent(Math.max(...values))}, ` +
  `mean ${ui.percent(mean(values))}`;
const attention = (title, read) =>
  ui.map({
    title,
    role: "condition",
    limit: 1,
    values: ({ shares }) =>
      shares && rowsOf(read(shares).map((share) => Math.sqrt(share / FULL)), GRID),
    note: (_, { shares }) => (shares ? range(read(shares)) : ""),
  });
const told = ({ y, null_class: none }) => (y === none ? "no class" : `class ${y}`);

export default ui.figure({
  stages,
  layout: {
    narrow: `"legend t y" auto "image to_time to_label" auto ". time label" auto
      ". of_time of_label" auto / minmax(0, 1fr) minmax(0, 1fr) minmax(0, 1fr)`,
    wide: `"legend t t y y" auto ". time time label label" auto
      "image to_time of_time to_label of_label" auto / 1fr 1fr 1fr 1fr 1fr`,
  },
  parts: {
    image: ui.patches(GRID),
    t: ui.slider({ label: "time", symbol: "t", role: "condition" }),
    y: ui.menu({
      label: "class",
      role: "condition",
      text: (y) => (y === 10 ? "none" : String(y)),
    }),
    time: ui.node({ text: ({ t }) => `time token, t = ${t}`, role: "condition", round: false }),
    label: ui.node({ text: (s) => `class token, ${told(s)}`, role: "condition", round: false }),
    to_time: attention("patch → time", (shares) => shares.slice(0, TIME).map((row) => row[TIME])),
    of_time: attention("time → patch", (shares) => shares[TIME].slice(0, TIME)),
    to_label: attention(
      "patch → class",
      (shares) => shares.slice(0, TIME).map((row) => row[CLASS]),
    ),
    of_label: attention("class → patch", (shares) => shares[CLASS].slice(0, TIME)),
    legend: ui.legend({ kind: "share", low: "0", high: "50%" }),
  },
  wires: [
    ["to_time", "time", { role: "condition" }],
    ["time", "of_time", { role: "condition" }],
    ["to_label", "label", { role: "condition" }],
    ["label", "of_label", { role: "condition" }],
  ],
  controls: ui.lookMenus(),
  folded: ["picture_of", "head"],
  opening: "Time and class are two more tokens. Each patch looks at them, and they look back: " +
    "a cell is a patch, at its place in the image.",
  presets: [
    ["almost clean", { t: 20 }, "At step 20 the picture can be seen, and noise is hardly left."],
    [
      "almost noise",
      { t: 950 },
      "At step 950 there is little to see but the two condition tokens.",
    ],
    ["a wrong class", { y: 3, picture_of: 7 }, "The picture is a 7, and the model is told 3."],
    ["last block", { block: 2 }, "In the last block the time gets less than half of its share."],
  ],
  sentence(_, { shares }) {
    const row = (token) =>
      `image ${ui.percent(sum(shares[token].slice(0, TIME)))}, ` +
      `time ${ui.percent(shares[token][TIME])}, class ${ui.percent(shares[token][CLASS])}`;
    return `The time token's own row: ${row(TIME)}. The class token's own row: ${row(CLASS)}.`;
  },
  note: "The shade is by the square root of the share. If a token looked at all eighteen alike, " +
    "each would get 6%. The digit is shown clean; the model sees it noised to step t.",
  table: (_, { shares = [] }) => ({
    caption: "Shares of attention, from each patch and to it",
    columns: ["token", "patch → time", "patch → class", "time → patch", "class → patch"],
    rows: shares.map((row, n) => [
      n < TIME ? String(n) : ["time", "class"][n - TIME],
      row[TIME],
      row[CLASS],
      shares[TIME][n],
      shares[CLASS][n],
    ]),
  }),
});
