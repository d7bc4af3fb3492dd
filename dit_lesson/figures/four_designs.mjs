// Chapter 11's figure: where every parameter and every multiply-accumulate of a DiT goes.
import { ditLedger } from "./core/counting.mjs";
import * as ui from "./ui.mjs";

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

const sum = (ledger, quantity) =>
  Object.values(ledger).reduce((total, cost) => total + cost[quantity], 0);
const pieces = (ledger, quantity, full) =>
  Object.entries(ledger).map((
    [part, cost],
  ) => [COLOURS[part] ?? "data", cost[quantity] / full, part]);

export default ui.figure({
  stages,
  layout: {
    narrow: `"parts" auto "designs" auto / minmax(0, 1fr)`,
    wide: `"parts designs" auto / minmax(0, 1fr) minmax(0, 1fr)`,
  },
  parts: {
    parts: ui.rows({
      title: ({ size, patch_size: p, conditioning, designs }) =>
        `DiT-${size}/${p}, ${designs[conditioning]}, by part`,
      values({ ledgers }, { conditioning, quantity, quantities }) {
        const [, unit] = quantities[quantity];
        const ledger = ledgers[conditioning];
        const whole = sum(ledger, quantity);
        const largest = Math.max(...Object.values(ledger).map((cost) => cost[quantity]));
        return Object.entries(ledger).filter(([, cost]) => cost[quantity]).map(([name, cost]) => ({
          name,
          value: `${ui.format(cost[quantity] / unit)} · ${ui.percent(cost[quantity] / whole, 1)}`,
          pieces: pieces({ [name]: cost }, quantity, largest),
        }));
      },
    }),
    designs: ui.rows({
      title: ({ quantity, quantities }) =>
        `the four designs, one scale, ${quantities[quantity][0]}`,
      values({ ledgers }, { designs, conditioning, quantity, quantities }) {
        const [, unit] = quantities[quantity];
        const most = Math.max(...Object.values(ledgers).map((ledger) => sum(ledger, quantity)));
        return Object.entries(designs).map(([design, name]) => ({
          name,
          value: ui.format(sum(ledgers[design], quantity) / unit),
          pieces: pieces(ledgers[design], quantity, most),
          chosen: design === conditioning,
        }));
      },
    }),
  },
  controls: {
    size: ui.menu({ label: "size", text: (size) => `DiT-${size}` }),
    patch_size: ui.menu({ label: "patch size p", text: (p) => `${p} × ${p}` }),
    conditioning: ui.menu({ label: "design", text: (design, { designs }) => designs[design] }),
    resolution: ui.menu({ label: "picture", text: (r) => `${r} × ${r} pixels` }),
    quantity: ui.menu({
      label: "count",
      text: (name) => ({ macs: "MACs", parameters: "parameters" })[name],
    }),
  },
  opening: "The bill of DiT-XL/2 by part, and the same model in all four designs. " +
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
      `${ui.format(sum(ledger, "parameters") / 1e6)} million parameters, ` +
      `${ui.format(sum(ledger, "macs") / 1e9)} GMAC for one pass.`;
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
