// Chapter 8's figure: image tokens that look up the time and the words of a caption.
import { add, affineNorm, crossAttention, embedNoised, mean, mlp, selfAttention } from "./core.mjs";
import { colours, group, h, heatmap, menu, numbers, presets, redraw, say, show, slider, status, table } from "./ui.mjs";

const WORDS = ["a", "thin", "bold", "upright", "tilted", "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
const [DEPTH, NUM_HEADS, GRID, MEAN] = [3, 4, 4, -1];
const CHOICES = ["t", "weight", "slant", "name", "block", "head", "picture_of"];
const START = { t: 0.3, weight: "bold", slant: "tilted", name: "seven", block: 2, head: MEAN, picture_of: 7 };

export function keyNames(state) {
  return ["time", "a", state.weight, state.slant, state.name];
}

// A tensor comes as [rows, step, base64 of 8-bit numbers], rows 0 for a vector; read once.
const read = { from: null, weights: {} };
function weightsOf(compact) {
  if (read.from === compact) return read.weights;
  const tensors = Object.entries(compact).map(([name, [rows, step, text]]) => {
    const bytes = Int8Array.from(atob(text), (character) => character.charCodeAt(0));
    const numbers = Float64Array.from(bytes, (level) => level * step);
    const width = numbers.length / rows;
    const row = (_, i) => numbers.subarray(i * width, (i + 1) * width);
    return [name, rows ? Array.from({ length: rows }, row) : numbers];
  });
  Object.assign(read, { from: compact, weights: Object.fromEntries(tensors) });
  return read.weights;
}

// How much each token looks each key up in the chosen layer: (5, 16)
export function stages(state) {
  const weights = weightsOf(state.weights);
  const { tokens, time } = embedNoised(state.latents[state.picture_of], state.noise, state.t, weights);
  const rowOf = (word) => weights["y_embedder.embedding_table.weight"][WORDS.indexOf(word) + 1];
  const context = [time, ...keyNames(state).slice(1).map(rowOf)];
  let x = tokens;
  for (let number = 0; ; number += 1) {
    const name = `blocks.${number}`;
    x = add(x, selfAttention(affineNorm(x, weights, `${name}.norm1`), weights, NUM_HEADS, `${name}.attn`).output);
    const looked = crossAttention(affineNorm(x, weights, `${name}.norm_cross`), context, weights, NUM_HEADS, `${name}.cross_attn`);
    if (number === state.block) {
      const heads = state.head === MEAN ? looked.weights : [looked.weights[state.head]];
      return context.map((_, key) => x.map((_, token) => mean(heads.map((head) => head[token][key]))));
    }
    x = add(x, looked.output);
    x = add(x, mlp(affineNorm(x, weights, `${name}.norm2`), weights, `${name}.mlp`));
  }
}

const grid = (values) => Array.from({ length: GRID }, (_, row) => Array.from(values.slice(row * GRID, (row + 1) * GRID)));
const percent = (share) => `${Math.round(100 * share)}%`;

function render({ model, el }) {
  const choice = (name, label, options, role = "data") => menu(model, { name, label, role, options });
  const same = (list) => list.map((value) => [value, String(value)]);
  const said = [
    slider(model, { name: "t", label: "time", symbol: "t", role: "condition", min: 0, max: 1, step: 0.01 }),
    choice("weight", "weight", same(WORDS.slice(1, 3)), "condition"),
    choice("slant", "slant", same(WORDS.slice(3, 5)), "condition"),
    choice("name", "digit's name", same(WORDS.slice(5)), "condition"),
  ];
  const where = [
    choice("picture_of", "digit shown", Array.from({ length: 10 }, (_, i) => [i, String(i)])),
    choice("block", "block", same(Array.from({ length: DEPTH }, (_, i) => i))),
    choice("head", "head", [[MEAN, "mean of all"], ...same(Array.from({ length: NUM_HEADS }, (_, i) => i))]),
  ];
  const buttons = presets(model, "presets", [
    ["reset", START],
    ["almost clean", { t: 0.05 }],
    ["almost noise", { t: 0.95 }],
    ["a wrong name", { name: "three", picture_of: 7 }],
  ]);
  const square = () => h("canvas", { style: "aspect-ratio: 1", "aria-hidden": "true" });
  const digit = square();
  const maps = Array.from({ length: 5 }, () => ({
    title: h("div", { class: "dit-title dit-condition" }),
    map: square(),
    note: h("p", { class: "dit-note" }),
  }));
  const sentence = status();
  const names = [...CHOICES, "digits", "latents", "noise", "weights"];
  const readState = () => Object.fromEntries(names.map((name) => [name, model.get(name)]));
  const details = numbers("The numbers of every token", (box) => {
    const state = readState();
    const all = stages(state);
    table(box, {
      caption: "How much each token looks each key up",
      columns: ["token", ...keyNames(state)],
      rows: Array.from({ length: GRID * GRID }, (_, n) => [String(n), ...all.map((row) => row[n])]),
    });
  });
  const draw = () => {
    const state = readState();
    const keys = keyNames(state);
    const all = stages(state);
    const palette = colours(el);
    redraw(digit, [state.picture_of, palette], () => {
      heatmap(digit, state.digits[state.picture_of].map((row) => row.map((value) => value / 255)), { limit: 1, palette });
    });
    const shares = all.map((row) => mean(row));
    maps.forEach(({ title, map, note }, i) => {
      say(title, keys[i]);
      heatmap(map, grid(all[i]), { limit: 0.6, palette });
      say(note, `${percent(Math.min(...all[i]))} to ${percent(Math.max(...all[i]))}, mean ${percent(shares[i])}`);
    });
    const most = shares.indexOf(Math.max(...shares));
    sentence.say(`Caption: “${keys.slice(1).join(" ")}”. Looked up most: ${keys[most]}, ${percent(shares[most])} over all tokens.`);
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
        { class: "dit-panels", style: "grid-template-columns: repeat(auto-fit, minmax(6rem, 1fr))" },
        h("div", { class: "dit-panel" }, h("div", { class: "dit-title" }, "the digit"), digit),
        ...maps.map(({ title, map, note }) => h("div", { class: "dit-panel" }, title, map, note)),
      ),
      h("p", { class: "dit-note" }, "A cell is one of the sixteen tokens, at its place in the image; full colour is 60% or more. At every place the five maps add up to 1. The digit is shown clean; the model sees it noised, (1 − t) of the digit and t of noise."),
      sentence.element,
      details.element,
    ],
  });
}

export default { render };
