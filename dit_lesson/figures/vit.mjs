// Chapter 1's figure: hide or swap patches of a digit and watch CLS.
import { add, affineNorm, linear, linearRow, mean, mlp, patchify, readWeights, selfAttention, softmax, unpatchify } from "./core.mjs";
import { colours, group, h, heatmap, menu, numbers, prepare, presets, redraw, say, show, slider, status, table, write } from "./ui.mjs";

const [PATCH_SIZE, GRID, DEPTH, NUM_HEADS] = [7, 4, 4, 4];
const PLACES = Array.from({ length: GRID * GRID }, (_, i) => i);
const CHOICES = ["digit", "block", "place", "other", "order", "hidden"];
const UNTOUCHED = { order: PLACES, hidden: PLACES.map(() => false) };

// The file is read once; the same text is the same file.
const read = { text: "", weights: {} };
function weightsOf(text) {
  if (read.text !== text) Object.assign(read, { text, weights: readWeights(text) });
  return read.weights;
}

// The digit as the model sees it: patches moved and covered.
function seenImage(state) {
  const digit = state.digits[state.digit].map((row) => row.map((value) => value / 127.5 - 1));
  const patches = patchify(digit, PATCH_SIZE);
  const moved = PLACES.map((n) =>
    state.hidden[n] ? new Float64Array(PATCH_SIZE ** 2).fill(-1) : patches[state.order[n]],
  );
  return unpatchify(moved, PATCH_SIZE, 28, 28)[0];
}

export function stages(state) {
  const weights = weightsOf(state.weights);
  const image = seenImage(state);
  const embedded = linear(patchify(image, PATCH_SIZE), weights["x_embedder.proj.weight"], weights["x_embedder.proj.bias"]);
  const width = embedded[0].length;
  const positions = PLACES.map((n) => weights.pos_embed[0].subarray(n * width, (n + 1) * width));
  let x = [weights.cls_token[0], ...add(embedded, positions)];
  let attention;
  for (let number = 0; number < DEPTH; number += 1) {
    const name = `blocks.${number}`;
    const looked = selfAttention(affineNorm(x, weights, `${name}.norm1`), weights, NUM_HEADS, `${name}.attn`);
    if (number === state.block) attention = PLACES.map((n) => mean(looked.weights.map((head) => head[0][n + 1])));
    x = add(x, looked.output);
    x = add(x, mlp(affineNorm(x, weights, `${name}.norm2`), weights, `${name}.mlp`));
  }
  const [cls] = affineNorm(x.slice(0, 1), weights, "norm");
  const probabilities = softmax(linearRow(cls, weights["head.weight"], weights["head.bias"]));
  return { image, attention, probabilities };
}

// Ten bars with their digits below.
function drawProbabilities(canvas, values, palette) {
  const { context, width, height } = prepare(canvas);
  const [step, floor] = [width / 10, height - 18];
  context.textAlign = "center";
  values.forEach((value, i) => {
    context.fillStyle = palette.data;
    context.fillRect(i * step + 2, floor - value * (floor - 4), step - 4, value * (floor - 4));
    context.fillStyle = palette.text;
    context.fillText(String(i), (i + 0.5) * step, height - 4);
  });
  context.fillRect(0, floor, width, 1);
}

function frame({ context, width }, place, colour, line) {
  const side = width / GRID;
  context.strokeStyle = colour;
  context.lineWidth = line;
  const [row, column] = [Math.floor(place / GRID), place % GRID];
  context.strokeRect(column * side + line / 2, row * side + line / 2, side - line, side - line);
}

function render({ model, el }) {
  const square = () => h("canvas", { style: "aspect-ratio: 1", "aria-hidden": "true" });
  const [picture, map] = [square(), square()];
  const bars = h("canvas", { style: "aspect-ratio: 1", "aria-hidden": "true" });
  const controls = [
    slider(model, { name: "place", label: "patch", symbol: "n", min: 0, max: 15, step: 1 }),
    slider(model, { name: "other", label: "other", symbol: "m", min: 0, max: 15, step: 1 }),
    menu(model, { name: "digit", label: "test digit", options: Array.from({ length: 10 }, (_, i) => [i, String(i)]) }),
    menu(model, { name: "block", label: "CLS in", options: Array.from({ length: DEPTH }, (_, i) => [i, `block ${i}`]) }),
  ];
  const hide = h("button", { type: "button" });
  hide.addEventListener("click", () => {
    const hidden = [...model.get("hidden")];
    hidden[model.get("place")] = !hidden[model.get("place")];
    write(model, { hidden });
  });
  const swap = h("button", { type: "button" });
  swap.addEventListener("click", () => {
    const order = [...model.get("order")];
    const [n, m] = [model.get("place"), model.get("other")];
    [order[n], order[m]] = [order[m], order[n]];
    write(model, { order });
  });
  const fixed = presets(model, "presets", [
    ["turn all patches about", { ...UNTOUCHED, order: [...PLACES].reverse() }],
    ["hide the middle", { ...UNTOUCHED, hidden: PLACES.map((n) => [5, 6, 9, 10].includes(n)) }],
    ["reset", UNTOUCHED],
  ]);
  fixed.prepend(hide, swap);
  for (const canvas of [picture, map]) {
    canvas.addEventListener("pointerdown", (event) => {
      const box = canvas.getBoundingClientRect();
      const at = (share) => Math.max(0, Math.min(GRID - 1, Math.floor(GRID * share)));
      const row = at((event.clientY - box.top) / box.height);
      write(model, { place: row * GRID + at((event.clientX - box.left) / box.width) });
    });
  }
  const sentence = status();
  const names = [...CHOICES, "digits", "weights"];
  const readState = () => Object.fromEntries(names.map((name) => [name, model.get(name)]));
  const details = numbers("The numbers", (box) => {
    const { attention, probabilities } = stages(readState());
    table(box, {
      caption: "CLS attention by patch, probability by class",
      columns: ["", ...PLACES.map(String)],
      rows: [
        ["attention", ...attention],
        ["probability", ...probabilities],
      ],
    });
  });
  // the model runs when its input changes, not when the frames move
  let last = { input: "", result: {} };
  const draw = () => {
    const state = readState();
    const input = JSON.stringify([state.digit, state.block, state.order, state.hidden]);
    if (last.input !== input) last = { input, result: stages(state) };
    const { image, attention, probabilities } = last.result;
    const palette = colours(el);
    say(hide, state.hidden[state.place] ? `show patch ${state.place}` : `hide patch ${state.place}`);
    say(swap, `swap ${state.place} and ${state.other}`);
    swap.disabled = state.place === state.other;
    const shown = heatmap(picture, image, { limit: 1, palette });
    for (const place of PLACES) frame(shown, place, palette.data, 1);
    frame(shown, state.other, palette.text, 2);
    frame(shown, state.place, palette.text, 4);
    const rows = Array.from({ length: GRID }, (_, row) => attention.slice(row * GRID, (row + 1) * GRID));
    frame(heatmap(map, rows, { limit: 0.3, palette }), state.place, palette.text, 3);
    redraw(bars, [probabilities, palette], () => drawProbabilities(bars, probabilities, palette));
    const best = probabilities.indexOf(Math.max(...probabilities));
    const percent = (share) => `${Math.round(100 * share)}%`;
    sentence.say(
      `The model says ${best} (${percent(probabilities[best])}). In block ${state.block} CLS gives ` +
      `${percent(attention[state.place])} of its attention to patch ${state.place}.`,
    );
    details.draw();
  };
  const panel = (title, canvas) =>
    h("div", { class: "dit-panel" }, h("div", { class: "dit-title" }, title), canvas);
  return show({
    model,
    el,
    names,
    controls,
    draw,
    parts: [
      group(...controls),
      fixed,
      h(
        "div",
        { class: "dit-panels" },
        panel("what the model sees", picture),
        panel("where CLS looks", map),
        panel("probability of each class", bars),
      ),
      h("p", { class: "dit-note" }, "The thick frame is patch n, the thin one patch m; click a patch to choose it. Patches count from 0, row by row; full colour in the middle is 30% of the attention or more."),
      sentence.element,
      details.element,
    ],
  });
}

export default { render };
