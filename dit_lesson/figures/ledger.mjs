// Chapter 11's figure: where every parameter and every multiply-accumulate of a DiT goes.
import { ditLedger } from "./core.mjs";
import { group, h, menu, numbers, presets, show, status, table } from "./ui.mjs";

const SIZES = {
  S: { hiddenSize: 384, depth: 12 },
  B: { hiddenSize: 768, depth: 12 },
  L: { hiddenSize: 1024, depth: 24 },
  XL: { hiddenSize: 1152, depth: 28 },
};
const DESIGNS = ["in-context", "cross-attention", "adaln", "adaln-zero"];
const QUANTITIES = { macs: ["GMAC", 1e9], parameters: ["million parameters", 1e6] };
const CHOICES = ["size", "patch_size", "conditioning", "resolution", "quantity"];
// what every design has is grey, what serves the condition has a colour
const grey = (share) => `color-mix(in srgb, var(--dit-data) ${share}%, var(--dit-ground))`;
const COLOURS = {
  modulation: "var(--dit-scale)",
  "time embedding": "var(--dit-condition)",
  "label embedding": "var(--dit-condition)",
  "cross-attention projections": "var(--dit-condition)",
  "cross-attention scores": "var(--dit-condition)",
  "attention projections": grey(65),
  "attention scores": "var(--dit-text)",
  MLP: grey(35),
};

export function stages({ size, patch_size: patchSize, resolution }) {
  const sizes = { inputSize: resolution / 8, patchSize, ...SIZES[size] };
  return Object.fromEntries(
    DESIGNS.map((conditioning) => [conditioning, ditLedger({ ...sizes, conditioning })]),
  );
}

const sum = (ledger, quantity) =>
  Object.values(ledger).reduce((total, cost) => total + cost[quantity], 0);

function piece(part, share) {
  const colour = COLOURS[part] ?? "var(--dit-data)";
  const style = `width: ${100 * share}%; height: 100%; background: ${colour}; box-shadow: inset -1px 0 var(--dit-ground)`;
  return h("div", { style, title: part });
}

// A line of text with a bar below it; the pieces are [part, share of the full width]
function bar(name, value, pieces, chosen = false) {
  const text = h(
    "div",
    { style: "display: flex; justify-content: space-between; gap: 0.5rem" },
    h("span", {}, name),
    h("span", {}, value),
  );
  const stack = h("div", { style: "display: flex; height: 0.9rem" }, ...pieces.map(([part, share]) => piece(part, share)));
  const frame = chosen ? "outline: 2px solid var(--dit-text); outline-offset: 2px" : "";
  return h("div", { style: `margin: 0.45rem 0.2rem; ${frame}` }, text, stack);
}

function render({ model, el }) {
  const controls = [
    menu(model, { name: "size", label: "size", options: Object.keys(SIZES).map((size) => [size, `DiT-${size}`]) }),
    menu(model, { name: "patch_size", label: "patch size p", options: [2, 4, 8].map((p) => [p, `${p} × ${p}`]) }),
    menu(model, { name: "conditioning", label: "design", options: DESIGNS.map((design) => [design, design]) }),
    menu(model, { name: "resolution", label: "picture", options: [256, 512].map((r) => [r, `${r} × ${r} pixels`]) }),
    menu(model, { name: "quantity", label: "count", options: [["macs", "MACs"], ["parameters", "parameters"]] }),
  ];
  const start = { size: "XL", patch_size: 2, conditioning: "adaln-zero", resolution: 256, quantity: "macs" };
  const buttons = presets(model, "presets", [
    ["parameters of XL/2", { ...start, quantity: "parameters" }],
    ["cross-attention", { ...start, conditioning: "cross-attention" }],
    ["512 pixels, small model", { ...start, size: "S", resolution: 512 }],
    ["reset", start],
  ]);
  const [parts, designs] = [h("div", {}), h("div", {})];
  const sentence = status();
  const read = () => Object.fromEntries(CHOICES.map((name) => [name, model.get(name)]));
  const details = numbers("The numbers of the chosen model", (box) => {
    const state = read();
    const ledger = stages(state)[state.conditioning];
    table(box, {
      caption: "parameters in millions, multiply-accumulates in units of 10⁹",
      columns: ["part", "million parameters", "GMAC"],
      rows: Object.entries(ledger).map(([part, cost]) => [part, cost.parameters / 1e6, cost.macs / 1e9]),
    });
  });

  const draw = () => {
    const state = read();
    const { conditioning, quantity } = state;
    const ledgers = stages(state);
    const [unit, one] = QUANTITIES[quantity];
    const chosen = Object.entries(ledgers[conditioning]).filter(([, cost]) => cost[quantity]);
    const whole = sum(ledgers[conditioning], quantity);
    const largest = Math.max(...chosen.map(([, cost]) => cost[quantity]));
    parts.replaceChildren(
      ...chosen.map(([part, cost]) =>
        bar(part, `${(cost[quantity] / one).toFixed(2)} · ${((100 * cost[quantity]) / whole).toFixed(1)}%`, [[part, cost[quantity] / largest]]),
      ),
    );
    const most = Math.max(...DESIGNS.map((design) => sum(ledgers[design], quantity)));
    designs.replaceChildren(
      ...DESIGNS.map((design) =>
        bar(
          design,
          `${(sum(ledgers[design], quantity) / one).toFixed(2)} ${unit}`,
          Object.entries(ledgers[design]).map(([part, cost]) => [part, cost[quantity] / most]),
          design === conditioning,
        ),
      ),
    );
    const tokens = (state.resolution / 8 / state.patch_size) ** 2;
    const ledger = ledgers[conditioning];
    sentence.say(
      `DiT-${state.size}/${state.patch_size}, ${conditioning}, N = ${tokens} image tokens: ` +
      `${(sum(ledger, "parameters") / 1e6).toFixed(2)} million parameters, ${(sum(ledger, "macs") / 1e9).toFixed(2)} GMAC for one pass.`,
    );
    details.draw();
  };

  const panel = (title, ...children) =>
    h("div", { class: "dit-panel" }, h("div", { class: "dit-title" }, title), ...children);
  return show({
    model,
    el,
    names: CHOICES,
    controls,
    draw,
    parts: [
      group(...controls),
      buttons,
      sentence.element,
      h(
        "div",
        { class: "dit-panels", style: "grid-template-columns: repeat(auto-fit, minmax(min(100%, 17rem), 1fr))" },
        panel("the chosen model, by part", parts),
        panel("the four designs, one scale", designs),
      ),
      h("p", { class: "dit-note" }, "Orange makes scales, shifts and gates; pink are embeddings of the condition and cross-attention; the rest every ViT has."),
      details.element,
    ],
  });
}

export default { render };
