// Chapter 4's figure: a latent cut into patches, flattened, read back, and what that costs.
import { ditCost, featureIndex, featurePlace, patchifyChannels, unpatchify } from "./core.mjs";
import { colours, format, group, h, heatmap, menu, numbers, presets, redraw, say, show, slider, status, table, write } from "./ui.mjs";

const DIGITS = [2, 3, 5, 8];
const PATCH_SIZES = [1, 2, 4, 8];
const ORDERS = ["p,p,C", "C,p,p"];
const [SIDE, CHANNELS, COST_SIDE, PICTURE] = [8, 4, 32, 32];
const LIMIT = 3;
const MODELS = {
  S: { hiddenSize: 384, depth: 12 },
  B: { hiddenSize: 768, depth: 12 },
  L: { hiddenSize: 1024, depth: 24 },
  XL: { hiddenSize: 1152, depth: 28 },
};
const CHOICES = ["patch_size", "cut_order", "read_order", "row", "column", "channel", "digit", "size"];

// How many of the numbers return to their place, and where the chosen one goes.
function follow({ patch_size: p, cut_order: cut, read_order: read, row, column, channel }) {
  const features = Array.from({ length: p * p * CHANNELS }, (_, f) => f);
  const stay = features.filter(
    (f) => featureIndex(featurePlace(f, p, CHANNELS, cut), p, CHANNELS, read) === f,
  );
  const [top, left] = [Math.floor(row / p), Math.floor(column / p)];
  const feature = featureIndex({ channel, row: row % p, column: column % p }, p, CHANNELS, cut);
  const back = featurePlace(feature, p, CHANNELS, read);
  return {
    kept: (stay.length * CHANNELS * SIDE * SIDE) / features.length,
    token: (top * SIDE) / p + left,
    feature,
    back: { channel: back.channel, row: top * p + back.row, column: left * p + back.column },
  };
}

export function stages(state) {
  const { patch_size: p, cut_order: cut, read_order: read } = state;
  const latent = state.latents[DIGITS.indexOf(state.digit)];
  const tokens = patchifyChannels(latent, p, cut);
  return {
    latent,
    tokens,
    output: unpatchify(tokens, p, SIDE, SIDE, read),
    ...follow(state),
    costs: PATCH_SIZES.map((patchSize) =>
      ditCost({ inputSize: COST_SIDE, patchSize, ...MODELS[state.size] }),
    ),
  };
}

// The picture (32, 32), from 0 (paper) to 1 (ink), that the decoder makes of what is read back.
function decodedPicture({ decoded, digit, patch_size: p, cut_order: cut, read_order: read }) {
  const name = cut === read || p === 1 ? "right" : `${p} ${cut} ${read}`;
  const bytes = Uint8Array.from(atob(decoded[DIGITS.indexOf(digit)][name]), (c) => c.charCodeAt(0));
  return Array.from({ length: PICTURE }, (_, y) =>
    Array.from(bytes.subarray(y * PICTURE, (y + 1) * PICTURE), (byte) => byte / 255),
  );
}

// The four channels of a latent, two above two, with the patches' grid; one number is framed.
function drawChannels(canvas, channels, patchSize, chosen, palette) {
  const rows = Array.from({ length: 2 * SIDE }, (_, y) => {
    const [left, right] = channels.slice(y < SIDE ? 0 : 2).map((channel) => channel[y % SIDE]);
    return [...left, ...right];
  });
  const { context, width } = heatmap(canvas, rows, { limit: LIMIT, palette });
  const cell = width / (2 * SIDE);
  const lines = (step, colour, thick) => {
    context.fillStyle = colour;
    for (let at = step; at < 2 * SIDE; at += step) {
      context.fillRect(at * cell - thick / 2, 0, thick, width);
      context.fillRect(0, at * cell - thick / 2, width, thick);
    }
  };
  lines(patchSize, palette.data, 1);
  lines(SIDE, palette.text, 3);
  const x = chosen.column + SIDE * (chosen.channel % 2);
  const y = chosen.row + SIDE * Math.floor(chosen.channel / 2);
  frame(context, (x - (x % patchSize)) * cell, (y - (y % patchSize)) * cell, patchSize * cell, patchSize * cell, palette.text, 1.5);
  frame(context, x * cell, y * cell, cell, cell, palette.text, 3);
}

function frame(context, x, y, width, height, colour, thick) {
  context.strokeStyle = colour;
  context.lineWidth = thick;
  context.strokeRect(x + thick / 2, y + thick / 2, width - thick, height - thick);
}

// The token matrix; lines divide a token's features into its pixels, or into its channels.
function drawTokens(canvas, tokens, patchSize, order, chosen, palette) {
  const { context, width, height } = heatmap(canvas, tokens, { limit: LIMIT, palette });
  const [wide, high] = [width / tokens[0].length, height / tokens.length];
  const inner = order === "C,p,p" ? patchSize ** 2 : CHANNELS;
  context.fillStyle = palette.data;
  for (let at = inner; at < tokens[0].length; at += inner) context.fillRect(at * wide - 0.5, 0, 1, height);
  frame(context, 0, chosen.token * high, width, high, palette.text, 1.5);
  // at p = 8 a feature is narrower than a frame, so the frame is at least 6 px wide
  const box = [Math.max(6, wide), Math.max(6, high)];
  const x = Math.min(width - box[0], (chosen.feature + 0.5) * wide - box[0] / 2);
  const y = Math.min(height - box[1], (chosen.token + 0.5) * high - box[1] / 2);
  frame(context, Math.max(0, x), Math.max(0, y), ...box, palette.text, 3);
}

// Ink is the text's colour, paper the page's ground.
function drawPicture(canvas, picture, palette) {
  const ink = palette.text.match(/[\da-f]{2}/gi).map((byte) => parseInt(byte, 16));
  const paper = palette.ends[1];
  heatmap(canvas, picture, { limit: 1, palette: { ...palette, ends: [paper, paper, ink] } });
}

// Tokens, parameters and MACs for every patch size, as numbers and as bars of one scale a column.
function costTable(box, costs, size, patchSize) {
  const columns = [
    ["tokens N", 25, (cost) => cost.tokens, (value) => String(value)],
    ["parameters", 35, (cost) => cost.parameters / 1e6, (value) => `${value.toFixed(2)} M`],
    ["GMAC", 25, (cost) => cost.macs / 1e9, (value) => value.toFixed(2)],
  ];
  const cell = (text, share) =>
    h(
      "td",
      { style: "text-align: left; padding: 0.15rem 0.2rem" },
      h("div", {}, text),
      h("div", { style: `height: 0.5rem; width: ${Math.max(0.5, 100 * share)}%; background: var(--dit-data)` }),
    );
  const rows = costs.map((cost, i) =>
    h(
      "tr",
      PATCH_SIZES[i] === patchSize ? { style: "outline: 2px solid var(--dit-text)" } : {},
      h("th", { scope: "row", style: "padding: 0.1rem" }, `p = ${PATCH_SIZES[i]}`),
      ...columns.map(([, , value, text]) =>
        cell(text(value(cost)), value(cost) / Math.max(...costs.map(value))),
      ),
    ),
  );
  box.replaceChildren(
    h(
      "table",
      { style: "width: 100%; table-layout: fixed" },
      h("caption", {}, `What DiT-${size} costs for one 256×256 picture (a latent of 32×32×4)`),
      h("thead", {}, h("tr", {}, ...[["", 15], ...columns].map(([text, width]) => h("th", { scope: "col", style: `text-align: left; padding: 0.1rem 0.1rem; width: ${width}%` }, text)))),
      h("tbody", {}, ...rows),
    ),
  );
}

function render({ model, el }) {
  const canvas = (style) => h("canvas", { style, "aria-hidden": "true" });
  const square = "aspect-ratio: 1";
  const [latentCanvas, tokenCanvas, outputCanvas, pictureCanvas] = [square, square, square, square].map(canvas);
  const choose = (target, changes) =>
    target.addEventListener("pointerdown", (event) => {
      const box = target.getBoundingClientRect();
      const inside = (value) => Math.min(0.999, Math.max(0, value));
      write(model, changes(inside((event.clientX - box.left) / box.width), inside((event.clientY - box.top) / box.height)));
    });
  choose(latentCanvas, (x, y) => ({
    column: Math.floor(2 * SIDE * x) % SIDE,
    row: Math.floor(2 * SIDE * y) % SIDE,
    channel: Math.floor(2 * x) + 2 * Math.floor(2 * y),
  }));
  choose(tokenCanvas, (x, y) => {
    const p = model.get("patch_size");
    const across = SIDE / p;
    const token = Math.floor(y * across ** 2);
    const place = featurePlace(Math.floor(x * p * p * CHANNELS), p, CHANNELS, model.get("cut_order"));
    return {
      channel: place.channel,
      row: Math.floor(token / across) * p + place.row,
      column: (token % across) * p + place.column,
    };
  });

  const named = { "p,p,C": "p, p, C (tokens)", "C,p,p": "C, p, p (conv)" };
  const orders = ORDERS.map((order) => [order, named[order]]);
  const place = (name, symbol, max) => slider(model, { name, label: name, symbol, min: 0, max, step: 1 });
  const controls = [
    menu(model, { name: "patch_size", label: "patch size p", options: PATCH_SIZES.map((p) => [p, `${p} × ${p}`]) }),
    menu(model, { name: "cut_order", label: "cut as", options: orders }),
    menu(model, { name: "read_order", label: "read as", options: orders }),
    place("row", "y", SIDE - 1),
    place("column", "x", SIDE - 1),
    place("channel", "c", CHANNELS - 1),
    menu(model, { name: "digit", label: "digit", options: DIGITS.map((digit) => [digit, String(digit)]) }),
    menu(model, { name: "size", label: "cost of", options: Object.keys(MODELS).map((size) => [size, `DiT-${size}`]) }),
  ];
  const start = { patch_size: 2, cut_order: "p,p,C", read_order: "p,p,C", row: 2, column: 5, channel: 2, digit: 3, size: "XL" };
  const wrong = { ...start, cut_order: "C,p,p" };
  const buttons = presets(model, "presets", [
    ["reset", start],
    ["one token", { ...start, patch_size: 8 }],
    ["a token for each position", { ...start, patch_size: 1 }],
    ["wrong order", wrong],
    ["wrong order, p = 4", { ...wrong, patch_size: 4 }],
    ["wrong order, p = 1", { ...wrong, patch_size: 1 }],
  ]);
  const read = () => Object.fromEntries([...CHOICES, "latents", "decoded"].map((name) => [name, model.get(name)]));
  const shape = h("p", { class: "dit-note" });
  const kept = h("p", { class: "dit-note" });
  const sentence = status();
  const costs = h("div", { class: "dit-table" });
  const details = numbers("The numbers of the token matrix", (box) => {
    const state = read();
    const { tokens } = stages(state);
    table(box, {
      caption: `N = ${tokens.length} tokens; above each feature f the (channel, row, column) of its patch that it holds`,
      columns: [
        "token",
        ...Array.from(tokens[0], (_, f) => {
          const { channel, row, column } = featurePlace(f, state.patch_size, CHANNELS, state.cut_order);
          return `${f} (${channel}, ${row}, ${column})`;
        }),
      ],
      rows: tokens.map((token, n) => [String(n), ...token]),
    });
  });

  const draw = () => {
    const state = read();
    const { patch_size: p, channel, row, column } = state;
    const result = stages(state);
    const palette = colours(el);
    drawChannels(latentCanvas, result.latent, p, { channel, row, column }, palette);
    drawTokens(tokenCanvas, result.tokens, p, state.cut_order, result, palette);
    drawChannels(outputCanvas, result.output, p, result.back, palette);
    redraw(pictureCanvas, [state.digit, p, state.cut_order, state.read_order, palette], () => {
      drawPicture(pictureCanvas, decodedPicture(state), palette);
    });
    redraw(costs, [state.size, p], () => costTable(costs, result.costs, state.size, p));
    say(
      shape,
      `tokens N = ${result.tokens.length} (rows), features p·p·C = ${result.tokens[0].length} (columns); ` +
      `the lines separate ${state.cut_order === "C,p,p" ? "channels" : "positions in the patch"}`,
    );
    say(kept, `${result.kept} of ${CHANNELS * SIDE * SIDE} numbers are in their place`);
    const { back } = result;
    sentence.say(
      `Channel ${channel}, row ${row}, column ${column} holds ${format(result.latent[channel][row][column])}. ` +
      `Cut as (${state.cut_order}) it is feature ${result.feature} of token ${result.token}; read as (${state.read_order}) ` +
      `it lands in channel ${back.channel}, row ${back.row}, column ${back.column}.`,
    );
    details.draw();
  };

  const panel = (title, ...parts) =>
    h("div", { class: "dit-panel" }, h("div", { class: "dit-title" }, title), ...parts);
  const note = (text) => h("p", { class: "dit-note" }, text);
  return show({
    model,
    el,
    names: [...CHOICES, "latents", "decoded"],
    controls,
    draw,
    parts: [
      group(...controls),
      buttons,
      h(
        "div",
        { class: "dit-panels", style: "grid-template-columns: repeat(auto-fit, minmax(min(100%, 15rem), 1fr))" },
        panel("1. the latent and its patches", latentCanvas, note("channels 0 and 1 above 2 and 3, each 8 × 8")),
        panel("2. patchify: the token matrix", tokenCanvas, shape),
        panel("3. unpatchify: read back", outputCanvas, kept),
        panel("4. the decoder's picture of 3", pictureCanvas, note("32 × 32 pixels")),
      ),
      sentence.element,
      note("Click a number in panel 1 or 2 to follow it. The thin frame is its patch, or its token; all panels hold the same 256 numbers."),
      costs,
      details.element,
    ],
  });
}

export default { render };
