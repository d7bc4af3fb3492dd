// Chapter 9's figure: the tokens of a digit before and after LN, scale and shift.
import { layerNorm, linearRow, mean, modulate, patchify, silu, std, timestepEmbedding } from "./core.mjs";
import { colours, format, group, h, heatmap, histogram, menu, numbers, prepare, presets, redraw, say, show, slider, status, table, write } from "./ui.mjs";

const PATCH_SIZE = 4;
const HIDDEN_SIZE = 16;
const LIMIT = 3;
const STAGES = ["tokens x", "LN(x)", "LN(x) (1 + scale)", "LN(x) (1 + scale) + shift"];
const CHOICES = ["mode", "scale", "shift", "feature", "t", "label", "digit", "token"];

// The vectors shift and scale that the present state asks for.
export function modulation(state) {
  if (state.mode === "condition") {
    const { table: labels, weight, bias } = state.layer;
    const condition = timestepEmbedding(state.t, HIDDEN_SIZE).map((v, i) => v + labels[state.label][i]);
    const both = linearRow(silu(condition), weight, bias);
    return { shift: both.slice(0, HIDDEN_SIZE), scale: both.slice(HIDDEN_SIZE) };
  }
  const chosen = (value) =>
    Float64Array.from({ length: HIDDEN_SIZE }, (_, i) =>
      state.feature < 0 || state.feature === i ? value : 0,
    );
  return { shift: chosen(state.shift), scale: chosen(state.scale) };
}

export function stages(state) {
  const image = state.digits[state.digit].map((row) => row.map((value) => value / 127.5 - 1));
  const tokens = patchify(image, PATCH_SIZE);
  const { shift, scale } = modulation(state);
  const normalised = layerNorm(tokens);
  const zero = new Float64Array(HIDDEN_SIZE);
  return {
    image,
    shift,
    scale,
    all: [tokens, normalised, modulate(normalised, zero, scale), modulate(normalised, shift, scale)],
  };
}

// The digit with its grid of patches; the chosen patch is framed.
function drawDigit(canvas, image, token, palette) {
  const { context, width } = heatmap(canvas, image, { limit: 1, palette });
  const patch = (width * PATCH_SIZE) / image.length;
  context.strokeStyle = palette.data;
  context.lineWidth = 1;
  for (let line = patch; line < width - 1; line += patch) {
    context.strokeRect(line, -1, 0, width + 2);
    context.strokeRect(-1, line, width + 2, 0);
  }
  const across = image.length / PATCH_SIZE;
  context.strokeStyle = palette.text;
  context.lineWidth = 3;
  context.strokeRect((token % across) * patch + 1.5, Math.floor(token / across) * patch + 1.5, patch - 3, patch - 3);
}

// One bar a feature, from -LIMIT to LIMIT around a zero line.
function drawBars(canvas, values, colour, palette) {
  const { context, width, height } = prepare(canvas);
  context.fillStyle = colour;
  values.forEach((value, i) => {
    const tall = (Math.max(-LIMIT, Math.min(LIMIT, value)) / LIMIT) * (height / 2 - 1);
    context.fillRect((i * width) / values.length + 1, height / 2, width / values.length - 2, -tall);
  });
  context.fillStyle = palette.text;
  context.fillRect(0, height / 2 - 0.5, width, 1);
}

// Shows an element or hides it; to hide what is hidden would cost the page a look at its styles.
function reveal(element, wanted) {
  if (element.hidden === wanted) element.hidden = !wanted;
}

function render({ model, el }) {
  const digitCanvas = h("canvas", { style: "aspect-ratio: 1", "aria-hidden": "true" });
  const bars = ["shift", "scale"].map((name) => ({
    name,
    canvas: h("canvas", { style: "height: 3rem", "aria-hidden": "true" }),
  }));
  const panels = STAGES.map((title) => ({
    title,
    map: h("canvas", { style: "aspect-ratio: 1", "aria-hidden": "true" }),
    spread: h("canvas", { style: "height: 3.5rem", "aria-hidden": "true" }),
    note: h("p", { class: "dit-note" }),
  }));
  const choose = (canvas, place) =>
    canvas.addEventListener("pointerdown", (event) => {
      const box = canvas.getBoundingClientRect();
      const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
      write(model, { token: Math.max(0, Math.min(15, place(x, y))) });
    });
  choose(digitCanvas, (x, y) => 4 * Math.floor(4 * y) + Math.floor(4 * x));
  for (const { map } of panels) choose(map, (x, y) => Math.floor(16 * y));

  const direct = [
    slider(model, { name: "scale", label: "scale", symbol: "γ", role: "scale", min: -2, max: 2, step: 0.05 }),
    slider(model, { name: "shift", label: "shift", symbol: "β", role: "shift", min: -2, max: 2, step: 0.05 }),
    menu(model, {
      name: "feature",
      label: "acts on",
      options: [[-1, "all features"], ...Array.from({ length: HIDDEN_SIZE }, (_, i) => [i, `feature ${i} only`])],
    }),
  ];
  const condition = [
    slider(model, { name: "t", label: "time step", symbol: "t", role: "condition", min: 0, max: 999, step: 1 }),
    menu(model, {
      name: "label",
      label: "class y",
      role: "condition",
      options: Array.from({ length: 10 }, (_, i) => [i, String(i)]),
    }),
  ];
  const always = [
    menu(model, {
      name: "mode",
      label: "set by",
      options: [
        ["direct", "your hand"],
        ["condition", "a condition: t, class"],
      ],
    }),
    menu(model, { name: "digit", label: "digit", options: Array.from({ length: 10 }, (_, i) => [i, String(i)]) }),
    slider(model, { name: "token", label: "token", symbol: "n", min: 0, max: 15, step: 1 }),
  ];
  const identity = { mode: "direct", scale: 0, shift: 0, feature: -1 };
  const buttons = presets(model, "presets", [
    ["reset to identity", identity],
    ["scale = −1 erases", { ...identity, scale: -1 }],
    ["shift only", { ...identity, shift: 1 }],
    ["scale only", { ...identity, scale: 1 }],
    ["one feature", { ...identity, scale: 1.5, shift: 1, feature: 5 }],
  ]);
  const directBox = group(...direct);
  const conditionBox = group(...condition);
  const sentence = status();
  const details = numbers("The numbers of the chosen token", (box) => {
    const state = read();
    const { all, shift, scale } = stages(state);
    table(box, {
      caption: `Token ${state.token}, ${HIDDEN_SIZE} features`,
      columns: ["", ...Array.from({ length: HIDDEN_SIZE }, (_, i) => String(i))],
      rows: [
        ["tokens x", ...all[0][state.token]],
        ["LN(x)", ...all[1][state.token]],
        ["scale", ...scale],
        ["after scale", ...all[2][state.token]],
        ["shift", ...shift],
        ["after shift", ...all[3][state.token]],
      ],
    });
  });
  const read = () =>
    Object.fromEntries([...CHOICES, "digits", "layer"].map((name) => [name, model.get(name)]));

  const draw = () => {
    const state = read();
    const { image, shift, scale, all } = stages(state);
    const palette = colours(el);
    reveal(directBox, state.mode === "direct");
    reveal(conditionBox, state.mode === "condition");
    const { token } = state;
    redraw(digitCanvas, [image, token, palette], () => drawDigit(digitCanvas, image, token, palette));
    for (const { name, canvas } of bars) {
      const values = name === "shift" ? shift : scale;
      redraw(canvas, [values, palette], () => drawBars(canvas, values, palette[name], palette));
    }
    panels.forEach(({ map, spread, note }, i) => {
      redraw(map, [all[i], token, palette], () => heatmap(map, all[i], { limit: LIMIT, palette, row: token }));
      redraw(spread, [all[i], palette], () => histogram(spread, all[i], { limit: LIMIT + 1, palette }));
      const row = all[i][token];
      say(note, `token ${token}\nmean ${format(mean(row))}\nstd ${format(std(row))}`);
    });
    const last = all[3][state.token];
    sentence.say(
      `Token ${state.token}: mean ${format(mean(all[0][state.token]))} and std ${format(std(all[0][state.token]))} ` +
      `before layer norm, mean ${format(mean(last))} and std ${format(std(last))} at the end.`,
    );
    details.draw();
  };

  const digitPanel = h(
    "div",
    { class: "dit-panel dit-wide" },
    h("div", { class: "dit-title" }, "the digit and its 16 patches"),
    digitCanvas,
    h(
      "div",
      {},
      ...bars.flatMap(({ name, canvas }) => [
        h("p", { class: `dit-note dit-${name}` }, `${name}, by feature`),
        canvas,
      ]),
    ),
  );
  const stagePanels = panels.map(({ title, map, spread, note }) =>
    h("div", { class: "dit-panel" }, h("div", { class: "dit-title" }, title), map, spread, note),
  );
  return show({
    model,
    el,
    names: [...CHOICES, "digits", "layer"],
    controls: [...always, ...direct, ...condition],
    draw,
    parts: [
      group(...always),
      directBox,
      conditionBox,
      buttons,
      h("div", { class: "dit-panels" }, digitPanel, ...stagePanels),
      h("p", { class: "dit-note" }, "Rows are tokens (N = 16), columns are features (D = 16). Maps and bars go from −3 to 3, the digit from −1 to 1. Below each map is how all 256 values are spread from −4 to 4 (what lies beyond counts at the ends); heights are square roots of counts, or the blank patches would flatten the rest."),
      sentence.element,
      details.element,
    ],
  });
}

export default { render };
