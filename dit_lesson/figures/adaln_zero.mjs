// Chapter 10's figure: the gates fade the two branches of a block in.
import { gated, layerNorm, mean, mlp, modulate, patchify, selfAttention } from "./core.mjs";
import { colours, format, group, h, heatmap, menu, numbers, presets, redraw, say, show, slider, status, table, write } from "./ui.mjs";

const PATCH_SIZE = 4;
const HIDDEN_SIZE = 16;
const NUM_HEADS = 2;
const LIMIT = 3;
const STAGES = ["tokens x", "modulated", "attention", "x + gate attention", "modulated again", "MLP", "x out"];
const SLIDERS = ["shift", "scale", "gate"].flatMap((role) => [`${role}_msa`, `${role}_mlp`]);
const SYMBOLS = { shift: "β", scale: "γ", gate: "α" };

const every = (value) => new Float64Array(HIDDEN_SIZE).fill(value);

// The seven matrices of tokens, from what enters the block to what leaves it.
export function stages(state) {
  const image = state.digits[state.digit].map((row) => row.map((value) => value / 127.5 - 1));
  const x = patchify(image, PATCH_SIZE);
  const modulated = modulate(layerNorm(x), every(state.shift_msa), every(state.scale_msa));
  const attended = selfAttention(modulated, state.block, NUM_HEADS).output;
  const between = gated(x, attended, every(state.gate_msa));
  const again = modulate(layerNorm(between), every(state.shift_mlp), every(state.scale_mlp));
  const transformed = mlp(again, state.block);
  const out = gated(between, transformed, every(state.gate_mlp));
  return [x, modulated, attended, between, again, transformed, out];
}

function distance(a, b) {
  return Math.sqrt(mean(a.map((row, n) => mean(row.map((value, i) => (value - b[n][i]) ** 2)))));
}

function render({ model, el }) {
  const branch = (suffix, name) =>
    ["shift", "scale", "gate"].map((role) =>
      slider(model, {
        name: `${role}_${suffix}`,
        label: `${role}, ${name}`,
        symbol: SYMBOLS[role],
        role,
        min: -2,
        max: 2,
        step: 0.05,
      }),
    );
  const attention = branch("msa", "attention");
  const network = branch("mlp", "MLP");
  const always = [
    menu(model, { name: "digit", label: "digit", options: Array.from({ length: 10 }, (_, i) => [i, String(i)]) }),
    slider(model, { name: "token", label: "token", symbol: "n", min: 0, max: 15, step: 1 }),
  ];
  const zero = Object.fromEntries(SLIDERS.map((name) => [name, 0]));
  const buttons = presets(model, "presets", [
    ["reset to identity", zero],
    ["attention only", { ...zero, gate_msa: 1 }],
    ["MLP only", { ...zero, gate_mlp: 1 }],
    ["both gates open", { ...zero, gate_msa: 1, gate_mlp: 1 }],
  ]);
  const panels = STAGES.map((title) => ({
    title,
    map: h("canvas", { style: "aspect-ratio: 1", "aria-hidden": "true" }),
    note: h("p", { class: "dit-note" }),
  }));
  for (const { map } of panels) {
    map.addEventListener("pointerdown", (event) => {
      const box = map.getBoundingClientRect();
      const row = Math.floor((16 * (event.clientY - box.top)) / box.height);
      write(model, { token: Math.max(0, Math.min(15, row)) });
    });
  }
  const sentence = status();
  const names = [...SLIDERS, "digit", "token", "digits", "block"];
  const read = () => Object.fromEntries(names.map((name) => [name, model.get(name)]));
  const details = numbers("The numbers of the chosen token", (box) => {
    const state = read();
    const all = stages(state);
    table(box, {
      caption: `Token ${state.token}, ${HIDDEN_SIZE} features`,
      columns: ["", ...Array.from({ length: HIDDEN_SIZE }, (_, i) => String(i))],
      rows: STAGES.map((title, i) => [title, ...all[i][state.token]]),
    });
  });
  const draw = () => {
    const state = read();
    const all = stages(state);
    const palette = colours(el);
    panels.forEach(({ map, note }, i) => {
      const rows = all[i];
      redraw(map, [rows, state.token, palette], () => heatmap(map, rows, { limit: LIMIT, palette, row: state.token }));
      say(note, `from x: ${format(distance(all[i], all[0]))}`);
    });
    const away = distance(all[6], all[0]);
    const exact = all[6].every((row, n) => row.every((value, i) => value === all[0][n][i]));
    sentence.say(
      exact
        ? "What comes out is what went in, bit for bit."
        : `What comes out differs from x by ${format(away)} (root mean square).`,
    );
    details.draw();
  };
  const row = (list) =>
    h(
      "div",
      { class: "dit-panels" },
      ...list.map(({ title, map, note }) =>
        h("div", { class: "dit-panel" }, h("div", { class: "dit-title" }, title), map, note),
      ),
    );
  return show({
    model,
    el,
    names,
    controls: [...always, ...attention, ...network],
    draw,
    parts: [
      group(...always),
      group(...attention),
      group(...network),
      buttons,
      row(panels.slice(0, 4)),
      row(panels.slice(4)),
      h("p", { class: "dit-note" }, "Rows are tokens (N = 16), columns are features (D = 16). “from x” is the root mean square distance to the tokens that came in."),
      sentence.element,
      details.element,
    ],
  });
}

export default { render };
