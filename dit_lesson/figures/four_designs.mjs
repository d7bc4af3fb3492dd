// Chapter 11's figure: where every parameter and every multiply-accumulate of a DiT goes.
import { sum } from "./core/arrays.mjs";
import { ditLedger } from "./core/counting.mjs";
import { DESIGNS } from "./core/parameters.mjs";
import * as ui from "./ui.mjs";
/** @import { Part, When } from "./ui/dom.mjs" */

// what every design has is grey, what serves the condition has a colour
const COLOURS = {
  modulation: "scale",
  "time embedding": "condition",
  "label embedding": "condition",
  "cross-attention projections": "condition",
  "cross-attention scores": "condition",
  "attention scores": "dark",
  MLP: "light",
};

export function stages({ size, sizes, designs, patch_size: patchSize, resolution }) {
  const { hidden_size: hiddenSize, depth } = sizes[size];
  const model = { inputSize: resolution / 8, patchSize, hiddenSize, depth };
  return {
    ledgers: Object.fromEntries(
      Object.keys(designs).map((conditioning) => [
        conditioning,
        ditLedger({ ...model, conditioning }),
      ]),
    ),
    tokens: (resolution / 8 / patchSize) ** 2,
  };
}

const total = (ledger, quantity) => sum(Object.values(ledger).map((cost) => cost[quantity]));
const pieces = (ledger, quantity, full) =>
  Object.entries(ledger).map((
    [part, cost],
  ) => [COLOURS[part] ?? "data", cost[quantity] / full, part]);

const modulated = ({ conditioning }) => DESIGNS[conditioning].modulation > 0;
const lookedUp = ({ conditioning }) => DESIGNS[conditioning].lookedUp > 0;
const inSequence = ({ conditioning }) => DESIGNS[conditioning].inSequence > 0;
const gated = ({ conditioning }) => DESIGNS[conditioning].zeroInit;

function heading(text) {
  return () => {
    const element = ui.h("div", { class: "dit-title" });
    return { element, draw: (state) => ui.say(element, text, state) };
  };
}

// A box on the way: a title, and the cost of each of its parts, [name here, name in the ledger],
// with a bar.  All bars of the drawing have one scale, that of the largest part.
/**
 * @type {(options: {
 *   title?: (state: any) => string, costs?: string[][], role?: string, when?: When,
 * }) => Part}
 */
function box({ title = () => "", costs = [], role = "text", when = () => true }) {
  return () => {
    const element = ui.h("div", { class: `dit-cost dit-${role}` });
    const line = (name, part, cost, { whole, largest, unit }) => {
      const number = ui.h("span", { class: "dit-number" }, ui.format(cost / unit));
      number.append(ui.h("span", { class: "dit-share" }, ` · ${ui.percent(cost / whole, 1)}`));
      const bar = ui.h("span", { class: `dit-fill-${COLOURS[part] ?? "data"}` });
      bar.style.width = ui.percent(cost / largest, 1);
      return [
        ui.h("div", { class: "dit-line" }, ui.h("span", {}, name), number),
        ui.h("div", { class: "dit-bar", "aria-hidden": "true" }, bar),
      ];
    };
    let last;
    const draw = (state, { ledgers }) => {
      ui.reveal(element, when(state));
      if (element.hidden || last === ledgers) return;
      last = ledgers;
      const { conditioning, quantity, quantities } = state;
      const ledger = ledgers[conditioning];
      const all = Object.values(ledger).map((cost) => cost[quantity]);
      const bill = { whole: sum(all), largest: Math.max(...all), unit: quantities[quantity][1] };
      element.replaceChildren(
        ...(title(state) ? [ui.h("div", {}, title(state))] : []),
        ...costs.filter(([, part]) => ledger[part]).flatMap(([name, part]) =>
          line(name, part, ledger[part][quantity], bill)
        ),
      );
    };
    return { element, draw };
  };
}

// A branch of the block: it leaves the stream, and what it finds is added, behind a gate if there
// is one.
/**
 * @type {(name: string, costs: string[][], options?: {
 *   title?: (state: any) => string, role?: string, norms?: string[][], when?: When,
 * }) => Record<string, Part>}
 */
function branch(name, costs, { title, role, norms = [], when = () => true } = {}) {
  const norm = (state) => modulated(state) ? "LN · (1 + γ) + β" : norms.length ? "" : "LN";
  return {
    [`tap_${name}`]: ui.tap({ when }),
    [`norm_${name}`]: box({ title: norm, costs: norms, when }),
    [name]: box({ title, costs, role, when }),
    [`plus_${name}`]: ui.node({ text: "+", when: (state) => when(state) && !gated(state) }),
    [`gate_${name}`]: ui.node({ text: "gate α", role: "gate", round: false, when: gated }),
    [`sum_${name}`]: ui.node({ text: "+", when: gated }),
  };
}
const branchWires = (name) => [
  [`tap_${name}`, `norm_${name}`],
  [`norm_${name}`, name],
  [name, `plus_${name}`],
  [name, `gate_${name}`],
  [`gate_${name}`, `sum_${name}`, { role: "gate" }],
  ["modulation", `norm_${name}`, { role: "scale" }],
  ["modulation", `gate_${name}`, { role: "gate" }],
];

const attention = (name) => [
  ["projections", `${name} projections`],
  ["scores", `${name} scores`],
];

const WAY = [
  "title title title",
  "start patch condition",
  "more . condition",
  "tap_attention norm_attention modulation",
  "plus_attention attention modulation",
  "sum_attention gate_attention modulation",
  "tap_cross norm_cross modulation",
  "plus_cross cross modulation",
  "tap_mlp norm_mlp modulation",
  "plus_mlp mlp modulation",
  "sum_mlp gate_mlp modulation",
  "end final modulation",
];
const template = (rows) => rows.map((row) => `"${row}" auto`).join(" ");

export default ui.figure({
  stages,
  layout: {
    narrow: `${template([...WAY, "designs designs designs"])}
      / 2.9rem minmax(0, 1fr) minmax(0, 1fr)`,
    wide: `${template(WAY.map((row, i) => `${row} ${i < 6 ? "designs" : "."}`))}
      / 4rem minmax(0, 1fr) minmax(0, 1fr) minmax(16rem, 1.1fr)`,
    gap: "0.5rem 1.4rem",
    areas: { keys: "modulation" },
  },
  parts: {
    title: heading(({ size, sizes, patch_size: p, quantity, quantities }) =>
      `DiT-${size}/${p}, ${quantities[quantity][0]}, ${sizes[size].depth} blocks as one`
    ),
    start: ui.node({ text: "N", round: false }),
    patch: box({ costs: [["patches", "patch embedding"]] }),
    condition: box({
      title: () => "embeddings",
      costs: [["time t", "time embedding"], ["label y", "label embedding"]],
      role: "condition",
    }),
    more: ui.node({ text: "N\u202f+\u202f2", role: "condition", round: false, when: inSequence }),
    ...branch("attention", attention("attention"), {
      title: () => "attention",
      norms: [["layer norms", "layer norms"]],
    }),
    ...branch("cross", attention("cross-attention"), {
      title: () => "cross-attention",
      role: "condition",
      when: lookedUp,
    }),
    ...branch("mlp", [["MLP", "MLP"]]),
    modulation: box({
      title: ({ conditioning }) => `${DESIGNS[conditioning].modulation} vectors for each block`,
      costs: [["modulation", "modulation"]],
      role: "scale",
      when: modulated,
    }),
    keys: ui.node({
      text: "t and y as\nkeys and values",
      role: "condition",
      round: false,
      when: lookedUp,
    }),
    end: ui.node({ text: "N", round: false }),
    final: box({ costs: [["final layer", "final layer"]] }),
    designs: ui.rows({
      short: true,
      title: ({ quantity, quantities }) =>
        `the four designs, one scale, ${quantities[quantity][0]}`,
      values({ ledgers }, { designs, conditioning, quantity, quantities }) {
        const [, unit] = quantities[quantity];
        const most = Math.max(...Object.values(ledgers).map((ledger) => total(ledger, quantity)));
        return Object.entries(designs).map(([design, name]) => ({
          name,
          value: ui.format(total(ledgers[design], quantity) / unit),
          pieces: pieces(ledgers[design], quantity, most),
          chosen: design === conditioning,
        }));
      },
    }),
  },
  wires: [
    ["start", "end", { role: "stream" }],
    ["patch", "start"],
    ["condition", "more", { role: "condition" }],
    ["condition", "modulation", { role: "condition" }],
    ["condition", "keys", { role: "condition" }],
    ["keys", "cross", { role: "condition" }],
    ...["attention", "cross", "mlp"].flatMap(branchWires),
    ["end", "final"],
    ["modulation", "final", { role: "scale" }],
  ],
  controls: {
    conditioning: ui.menu({
      label: "design",
      text: (design, { designs }) => designs[design],
      wide: true,
    }),
    size: ui.menu({ label: "size", text: (size) => `DiT-${size}` }),
    patch_size: ui.menu({ label: "patch size p", text: (p) => `${p} × ${p}` }),
    resolution: ui.menu({ label: "pixels", text: (r) => `${r} × ${r}` }),
    quantity: ui.menu({
      label: "count",
      text: (name) => ({ macs: "MACs", parameters: "parameters" })[name],
    }),
  },
  dense: true,
  opening: "The bill of DiT-XL/2 on the way of its tokens, and in all four designs. " +
    "What serves the condition has a colour.",
  presets: [
    [
      "parameters of XL/2",
      {
        size: "XL",
        patch_size: 2,
        resolution: 256,
        conditioning: "adaln-zero",
        quantity: "parameters",
      },
      "A third of the parameters of adaLN-Zero makes scales, shifts and gates, at no cost in MACs.",
    ],
    [
      "cross-attention",
      {
        size: "XL",
        patch_size: 2,
        resolution: 256,
        conditioning: "cross-attention",
        quantity: "macs",
      },
      "Cross-attention pays for its look-ups at every token: the longest of the four bars.",
    ],
    [
      "512 pixels, small model",
      { size: "S", patch_size: 2, resolution: 512, conditioning: "adaln-zero", quantity: "macs" },
      "Many tokens of little width: the scores cost more than all four projections of attention.",
    ],
  ],
  sentence({ size, patch_size: p, conditioning, designs }, { ledgers, tokens }) {
    const ledger = ledgers[conditioning];
    return `DiT-${size}/${p}, ${designs[conditioning]}, N = ${tokens} image tokens: ` +
      `${ui.format(total(ledger, "parameters") / 1e6)} million parameters, ` +
      `${ui.format(total(ledger, "macs") / 1e9)} GMAC for one pass.`;
  },
  note: "Orange makes scales, shifts and gates; purple are embeddings of the condition and " +
    "cross-attention; grey is what every ViT has.",
  table: ({ conditioning }, { ledgers }) => ({
    caption: "parameters in millions, multiply-accumulates in units of 10⁹",
    columns: ["part", "million parameters", "GMAC"],
    rows: Object.entries(ledgers[conditioning]).map(([part, cost]) => [
      part,
      cost.parameters / 1e6,
      cost.macs / 1e9,
    ]),
  }),
});
