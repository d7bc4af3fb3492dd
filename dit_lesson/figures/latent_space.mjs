// Chapter 3's figure: a walk between two digits, in pixels and in latents.
import { decodeLatent, mix, readWeights } from "./core.mjs";
import { colours, group, h, heatmap, menu, numbers, presets, show, slider, status, table } from "./ui.mjs";

const [SIDE, PICTURE, LIMIT] = [8, 32, 3];
const CHOICES = ["first", "second", "position"];

let kept = {}; // the weights are read once, not at every frame
function tensors(base64) {
  if (kept.base64 !== base64) kept = { base64, weights: readWeights(base64) };
  return kept.weights;
}

// So are the pictures.
const pictures = {};
function pictureOf(base64) {
  pictures[base64] ??= Float64Array.from(atob(base64), (c) => c.charCodeAt(0) / 127.5 - 1);
  return pictures[base64];
}

const rows = (flat, side) =>
  Array.from({ length: flat.length / side }, (_, y) => flat.slice(y * side, (y + 1) * side));

// The mean of 1 - |x|: 0 for ink and paper alone, 1 for grey.
function greyness(picture) {
  let sum = 0;
  for (const value of picture) sum += 1 - Math.min(1, Math.abs(value));
  return sum / picture.length;
}

export function stages(state) {
  const { first, second, position, images, latents } = state;
  const mixed = (one, other) => mix(1 - position, [one], position, [other])[0];
  const pixels = mixed(pictureOf(images[first]), pictureOf(images[second]));
  const latent = mixed(latents[first], latents[second]);
  const decoded = decodeLatent(latent, SIDE, tensors(state.weights));
  return {
    pixels: rows(pixels, PICTURE),
    latent: rows(latent, SIDE),
    decoded: rows(decoded, PICTURE),
    grey: [greyness(pixels), greyness(decoded)],
  };
}

// The four channels, two above two.
const block = (latent) =>
  Array.from({ length: 2 * SIDE }, (_, y) => {
    const left = y < SIDE ? y : y + SIDE;
    return [...latent[left], ...latent[left + SIDE]];
  });

function render({ model, el }) {
  const canvases = [0, 1, 2].map(() => h("canvas", { style: "aspect-ratio: 1", "aria-hidden": "true" }));
  const digits = Array.from({ length: 10 }, (_, digit) => [digit, String(digit)]);
  const controls = [
    menu(model, { name: "first", label: "from", options: digits }),
    menu(model, { name: "second", label: "to", options: digits }),
    slider(model, { name: "position", label: "position", symbol: "a", min: 0, max: 1, step: 0.01 }),
  ];
  const start = { first: 4, second: 9, position: 0.5 };
  const buttons = presets(model, "presets", [
    ["reset", start],
    ["the first digit", { position: 0 }],
    ["a quarter", { position: 0.25 }],
    ["the second digit", { position: 1 }],
    ["0 and 1, halfway", { first: 0, second: 1, position: 0.5 }],
  ]);
  const read = () =>
    Object.fromEntries([...CHOICES, "images", "latents", "weights"].map((name) => [name, model.get(name)]));
  const sentence = status();
  const details = numbers("The numbers of the decoded picture and of the latent", (box) => {
    const { latent, decoded } = stages(read());
    const [one, other] = [h("div", {}), h("div", {})];
    const columns = (count) => ["row", ...Array.from({ length: count }, (_, x) => String(x))];
    const named = (list, name) => list.map((row, y) => [name(y), ...row]);
    table(one, { caption: "The mixed latent, channel below channel", columns: columns(SIDE), rows: named(latent, (y) => `channel ${Math.floor(y / SIDE)}, row ${y % SIDE}`) });
    table(other, { caption: "The picture decoded from it", columns: columns(PICTURE), rows: named(decoded, String) });
    box.replaceChildren(one, other);
  });

  const draw = () => {
    const state = read();
    const { pixels, latent, decoded, grey } = stages(state);
    const palette = colours(el);
    heatmap(canvases[0], pixels, { limit: 1, palette });
    heatmap(canvases[1], block(latent), { limit: LIMIT, palette });
    heatmap(canvases[2], decoded, { limit: 1, palette });
    const percent = (share, places = 0) => `${(100 * share).toFixed(places)}%`;
    sentence.say(
      `${percent(1 - state.position)} of a ${state.first} and ${percent(state.position)} of a ${state.second}: ` +
      `mixed as pixels the picture is ${percent(grey[0], 1)} grey, mixed as latents and decoded ${percent(grey[1], 1)}.`,
    );
    details.draw();
  };
  const notes = ["1,024 numbers mixed", "256 numbers mixed, four channels of 8 × 8", "decoded at this moment, in this page"];
  const titles = ["mixed in pixel space", "mixed in latent space", "the mixed latent, decoded"];
  const panels = canvases.map((canvas, i) =>
    h("div", { class: "dit-panel" }, h("div", { class: "dit-title" }, titles[i]), canvas, h("p", { class: "dit-note" }, notes[i])),
  );
  return show({
    model,
    el,
    names: [...CHOICES, "images", "latents", "weights"],
    controls,
    draw,
    parts: [
      group(...controls),
      buttons,
      h("div", { class: "dit-panels", style: "grid-template-columns: repeat(auto-fit, minmax(min(100%, 12rem), 1fr))" }, ...panels),
      sentence.element,
      details.element,
    ],
  });
}

export default { render };
