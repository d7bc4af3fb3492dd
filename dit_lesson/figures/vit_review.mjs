// Chapter 1's figure: hide or swap patches of a digit and watch CLS.
import { pictureOf, rowsOf } from "./core/data.mjs";
import { MEAN, sharesOf } from "./core/looking.mjs";
import { patchify, unpatchify } from "./core/patches.mjs";
import { trainedViT } from "./core/vit.mjs";
import * as ui from "./ui.mjs";

const SIDE = 28;
const GRID = 4;
const PLACES = Array.from({ length: GRID * GRID }, (_, i) => i);

// The digit as the model sees it: patches moved and covered.
function seenImage(state) {
  const patches = patchify(pictureOf(state.digits[state.digit], SIDE), state.patch_size);
  const paper = new Float64Array(state.patch_size ** 2).fill(-1);
  const moved = PLACES.map((n) => (state.hidden[n] ? paper : patches[state.order[n]]));
  return unpatchify(moved, state.patch_size, SIDE, SIDE)[0];
}

export function stages(state) {
  const { weights, depth, num_heads: numHeads, block } = state;
  const image = seenImage(state);
  if (!weights) return { image };
  const model = trainedViT(weights, { inputSize: SIDE, depth, numHeads });
  const probabilities = model.probabilities(image.flatMap((row) => [...row]));
  const looks = sharesOf(model.looks(`blocks.${block}.attn`), MEAN);
  return { image, attention: looks.slice(1, 1 + PLACES.length), probabilities }; // the row of CLS
}

const cell = (place) => [Math.floor(place / GRID), place % GRID];
const pick = (y, x) => ({ place: GRID * Math.floor(GRID * y) + Math.floor(GRID * x) });
const untouched = { order: PLACES, hidden: PLACES.map(() => false) };
const hide = (places) => ({ ...untouched, hidden: PLACES.map((n) => places.includes(n)) });

export default ui.figure({
  stages,
  reads: ["digit", "block", "order", "hidden"],
  layout: {
    narrow: `"image attention" auto "legend legend" auto "probabilities probabilities" auto
      "hide swap" auto / minmax(0, 1fr) minmax(0, 1fr)`,
    wide: `"image blocks head probabilities attention" auto "hide . . . legend" auto
      "swap . . . ." auto / 13rem auto auto 1fr 13rem`,
  },
  parts: {
    image: ui.digit({
      title: "what the model sees",
      values: (now) => now.image,
      marks: ({ place, other }) => [place, other],
      decorate(prepared, _, { state: { place, other }, palette }) {
        ui.grid(prepared, [GRID, GRID], palette.data);
        ui.frame(prepared, [GRID, GRID], cell(other), palette.condition, 2);
        ui.frame(prepared, [GRID, GRID], cell(place), palette.shift, 4);
      },
      pick,
    }),
    blocks: ui.node({ text: ({ depth }) => `${depth} blocks`, round: false }),
    attention: ui.map({
      title: "where CLS looks",
      limit: 0.3,
      values: (now) => now.attention && rowsOf(now.attention, GRID),
      marks: ({ place }) => [place],
      decorate: (prepared, _, { state: { place }, palette }) =>
        ui.frame(prepared, [GRID, GRID], cell(place), palette.shift, 4),
      pick,
    }),
    legend: ui.legend({ kind: "share", low: "0", high: "30% or more" }),
    head: ui.node({ text: "head", round: false }),
    probabilities: ui.bars({
      title: "probability of each class",
      limit: 1,
      signed: false,
      shape: "plot",
      names: [..."0123456789"],
      values: (now) => now.probabilities,
    }),
    hide: ui.button({
      text: ({ hidden, place }) => `${hidden[place] ? "show" : "hide"} patch ${place}`,
      changes: ({ hidden, place }) => ({ hidden: hidden.map((h, n) => h !== (n === place)) }),
    }),
    swap: ui.button({
      text: ({ place, other }) => `swap ${place} and ${other}`,
      changes({ order, place, other }) {
        if (place === other) return null;
        const moved = { [place]: order[other], [other]: order[place] };
        return { order: order.map((patch, n) => moved[n] ?? patch) };
      },
    }),
  },
  wires: [
    ["image", "blocks"],
    ["blocks", "head"],
    ["head", "probabilities"],
  ],
  controls: {
    place: ui.slider({ label: "patch", symbol: "n" }),
    other: ui.slider({ label: "other", symbol: "m" }),
    digit: ui.menu({ label: "test digit" }),
    block: ui.menu({ label: "CLS in", text: (block) => `block ${block}` }),
  },
  opening:
    "A trained ViT reads a test digit in sixteen patches. Click a patch, hide it, swap it, " +
    "and see where CLS looks and what the model says.",
  presets: [
    [
      "turn all patches about",
      { ...untouched, order: [...PLACES].reverse() },
      "All patches are there, in reverse order: with other positions it is another picture.",
    ],
    [
      "hide the middle",
      hide([5, 6, 9, 10]),
      "The four patches in the middle are paper now. What does the model make of the rest?",
    ],
  ],
  sentence({ block, place }, { attention, probabilities }) {
    const best = probabilities.indexOf(Math.max(...probabilities));
    return `The model says ${best} (${ui.percent(probabilities[best])}). In block ${block} CLS ` +
      `gives ${ui.percent(attention[place])} of its attention to patch ${place}.`;
  },
  note: "The thick frame is patch n, the thin one patch m. Patches count from 0, row by row.",
  table: (_, { attention = [], probabilities = [] }) => ({
    caption: "CLS attention by patch, probability by class",
    columns: ["", ...PLACES.map(String)],
    rows: [["attention", ...attention], ["probability", ...probabilities]],
  }),
});
