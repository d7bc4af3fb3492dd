// Chapter 7's figure: eighteen tokens that look at each other, two of them time and class.
import { add, affineNorm, embedNoised, mean, mlp, readWeights, selfAttention } from "./core.mjs";
import { colours, group, h, heatmap, menu, numbers, presets, redraw, say, show, slider, status, table } from "./ui.mjs";

const [DEPTH, NUM_HEADS, GRID, MEAN, NULL_CLASS] = [3, 4, 4, -1, 10];
const CHOICES = ["t", "y", "picture_of", "block", "head"];
const START = { t: 0.3, y: 7, picture_of: 7, block: 0, head: MEAN };
const FULL = 0.5; // the share that gets full colour; a root, so that small shares can be seen
const shade = (share) => Math.sqrt(share / FULL);
const [TIME, CLASS] = [GRID * GRID, GRID * GRID + 1]; // the places of the condition tokens

// The file is read once; the same text is the same file.
const read = { text: "", weights: {} };
function weightsOf(text) {
  if (read.text !== text) Object.assign(read, { text, weights: readWeights(text) });
  return read.weights;
}

// How much each token (row) looks at each (column) in the chosen layer: (18, 18)
export function stages(state) {
  const weights = weightsOf(state.weights);
  const { tokens, time } = embedNoised(state.latents[state.picture_of], state.noise, state.t, weights);
  let x = [...tokens, time, weights["y_embedder.embedding_table.weight"][state.y]]; // once
  for (let number = 0; ; number += 1) {
    const name = `blocks.${number}`;
    const looked = selfAttention(affineNorm(x, weights, `${name}.norm1`), weights, NUM_HEADS, `${name}.attn`);
    if (number === state.block) {
      const heads = state.head === MEAN ? looked.weights : [looked.weights[state.head]];
      return x.map((_, row) => x.map((_, column) => mean(heads.map((head) => head[row][column]))));
    }
    x = add(x, looked.output);
    x = add(x, mlp(affineNorm(x, weights, `${name}.norm2`), weights, `${name}.mlp`));
  }
}

const grid = (values) => Array.from({ length: GRID }, (_, row) => Array.from(values.slice(row * GRID, (row + 1) * GRID)));
const percent = (share) => `${Math.round(100 * share)}%`;
const range = (values) => `${percent(Math.min(...values))} to ${percent(Math.max(...values))}`;

function render({ model, el }) {
  const choice = (name, label, options, role = "data") => menu(model, { name, label, role, options });
  const upTo = (length) => Array.from({ length }, (_, i) => [i, String(i)]);
  const said = [
    slider(model, { name: "t", label: "time", symbol: "t", role: "condition", min: 0, max: 1, step: 0.01 }),
    choice("y", "class told", [...upTo(NULL_CLASS), [NULL_CLASS, "none"]], "condition"),
  ];
  const where = [
    choice("picture_of", "digit shown", upTo(10)),
    choice("block", "block", upTo(DEPTH)),
    choice("head", "head", [[MEAN, "mean of all"], ...upTo(NUM_HEADS)]),
  ];
  const buttons = presets(model, "presets", [
    ["reset", START],
    ["almost clean", { t: 0.05 }],
    ["almost noise", { t: 0.95 }],
    ["a wrong class", { y: 3, picture_of: 7 }],
    ["last block", { block: DEPTH - 1 }],
  ]);
  const square = () => h("canvas", { style: "aspect-ratio: 1", "aria-hidden": "true" });
  const digit = square();
  const views = ["patch → time", "patch → class", "time → patch", "class → patch"].map((title) => ({
    title: h("div", { class: "dit-title dit-condition" }, title),
    map: square(),
    note: h("p", { class: "dit-note" }),
  }));
  const sentence = status();
  const names = [...CHOICES, "digits", "latents", "noise", "weights"];
  const readState = () => Object.fromEntries(names.map((name) => [name, model.get(name)]));
  const details = numbers("The numbers of every token", (box) => {
    const shares = stages(readState());
    const label = (n) => (n === TIME ? "time" : n === CLASS ? "class" : String(n));
    table(box, {
      caption: "How much each token looks at time and class, and is looked at by them",
      columns: ["token", "to time", "to class", "from time", "from class"],
      rows: shares.map((row, n) => [label(n), row[TIME], row[CLASS], shares[TIME][n], shares[CLASS][n]]),
    });
  });
  const draw = () => {
    const state = readState();
    const shares = stages(state);
    const palette = colours(el);
    redraw(digit, [state.picture_of, palette], () => {
      heatmap(digit, state.digits[state.picture_of].map((row) => row.map((value) => value / 255)), { limit: 1, palette });
    });
    const patches = shares.slice(0, TIME);
    const maps = [
      patches.map((row) => row[TIME]),
      patches.map((row) => row[CLASS]),
      shares[TIME].slice(0, TIME),
      shares[CLASS].slice(0, TIME),
    ];
    views.forEach(({ map, note }, i) => {
      heatmap(map, grid(maps[i].map(shade)), { limit: 1, palette });
      say(note, `${range(maps[i])}, mean ${percent(mean(maps[i]))}`);
    });
    const row = (token) => `image ${percent(shares[token].slice(0, TIME).reduce((sum, share) => sum + share, 0))}, time ${percent(shares[token][TIME])}, class ${percent(shares[token][CLASS])}`;
    sentence.say(`The time token's own row: ${row(TIME)}. The class token's own row: ${row(CLASS)}.`);
    details.draw();
  };
  return show({
    model,
    el,
    names,
    controls: [...said, ...where],
    draw,
    parts: [
      group(...said),
      group(...where),
      buttons,
      h(
        "div",
        { class: "dit-panels" },
        h("div", { class: "dit-panel" }, h("div", { class: "dit-title" }, "the digit"), digit),
        ...views.map(({ title, map, note }) => h("div", { class: "dit-panel" }, title, map, note)),
      ),
      h("p", { class: "dit-note" }, "A cell is one of the sixteen image tokens, at its place in the image; full colour is half of all attention, or more, and the shade is by the square root. If a token looked at all eighteen alike, each would get 6%. The digit is shown clean; the model sees it noised, (1 − t) of the digit and t of noise."),
      sentence.element,
      details.element,
    ],
  });
}

export default { render };
