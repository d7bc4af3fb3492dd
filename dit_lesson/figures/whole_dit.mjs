// Chapter 12's figure: a map of the whole model; a part that is chosen says what it does and costs.
import { ditLedger } from "./core/counting.mjs";
import * as ui from "./ui.mjs";

const INPUT_SIZE = 32;
const CHANNELS = 4;

// What each part takes and gives for one picture; parts that a design does not have are left out.
function shapes({ sizes, size, patch_size: p, conditioning }) {
  const { hidden_size: width, depth } = sizes[size];
  const count = (INPUT_SIZE / p) ** 2;
  const latent = [CHANNELS, INPUT_SIZE, INPUT_SIZE];
  const imageTokens = [count, width];
  const tokens = [count + (conditioning === "in-context" ? 2 : 0), width];
  const patches = [count, p * p * 2 * CHANNELS];
  const chunks = { adaln: 4, "adaln-zero": 6 }[conditioning];
  return {
    latent: [latent, latent],
    patches: [latent, imageTokens],
    positions: [imageTokens, imageTokens],
    time: [[1], [width]],
    label: [[1], [width]],
    ...(chunks && { modulation: [[width], [depth * chunks + 2, width]] }),
    norms: [tokens, tokens],
    attention: [tokens, tokens],
    ...(conditioning === "cross-attention" && { cross: [tokens, tokens] }),
    MLP: [tokens, tokens],
    final: [imageTokens, patches],
    answer: [patches, [2 * CHANNELS, INPUT_SIZE, INPUT_SIZE]],
  };
}

export function stages(state) {
  const { sizes, size, patch_size: patchSize, conditioning, ledger_of: ledgerOf } = state;
  const { hidden_size: hiddenSize, depth } = sizes[size];
  const ledger = ditLedger({ inputSize: INPUT_SIZE, patchSize, hiddenSize, depth, conditioning });
  const sum = (entries, quantity) =>
    entries.reduce((total, entry) => total + (ledger[entry]?.[quantity] ?? 0), 0);
  const cost = (entries) => ({
    parameters: sum(entries, "parameters"),
    macs: sum(entries, "macs"),
  });
  const parts = Object.fromEntries(
    Object.entries(shapes(state)).map(([part, [takes, gives]]) => [
      part,
      { takes, gives, ...cost(ledgerOf[part] ?? []) },
    ]),
  );
  return { parts, ...cost(Object.keys(ledger)) };
}

const MENU = {
  whole: "the whole model",
  norms: "layer norms",
  cross: "cross-attention",
  final: "final layer",
};
// only adaLN-Zero has gates
const gated = ({ conditioning }) => conditioning === "adaln-zero" ? 0.1 : 0;
const times = (shape) => shape.join(" × ");
const chosen = ({ part }, now) => part === "whole" ? now : now.parts[part];

// A part of the map: its name above the shape of what it gives
const place = (part, role = "text") =>
  ui.button({
    role,
    text: ({ texts }, now) => `${texts[part][0]}\n${times(now.parts[part].gives)}`,
    changes: (state) => ({ part: state.part === part ? "whole" : part }),
    pressed: (state) => state.part === part,
    when: (state) => part in shapes(state),
  });

// How the condition comes in where no layer modulates, at the top or in the middle of its place
const entry = (text, design, side) => (view) => {
  const when = ({ conditioning }) => conditioning === design;
  const part = ui.node({ text, role: "condition", round: false, when })(view);
  part.element.style.alignSelf = side;
  return part;
};

function told(text) {
  return () => {
    const element = ui.h("p", { class: "dit-note" });
    const draw = (state, now) => {
      if (element.textContent !== text(state, now)) element.textContent = text(state, now);
    };
    return { element, draw };
  };
}

function detail({ part, texts, conditioning, designs, size, sizes }, now) {
  if (part === "whole") {
    const { hidden_size: width, depth, heads } = sizes[size];
    return `The whole model\n${depth} blocks, ${heads} heads of width ${width / heads}\n` +
      "Press a part of the map.";
  }
  const [name, words, chapters] = texts[part];
  if (!now.parts[part]) return `${name}\nThe design ${designs[conditioning]} has none.`;
  const { takes, gives } = now.parts[part];
  const many = ["norms", "attention", "cross", "MLP"].includes(part)
    ? `, in each of ${sizes[size].depth} blocks`
    : "";
  return `${name}, ${chapters}\n${words}\n${times(takes)} → ${times(gives)}${many}`;
}

export default ui.figure({
  stages,
  layout: {
    narrow: `"detail detail detail" auto "costs costs costs" auto "latent time label" auto
      "patches . ." auto "positions . ." auto "norms modulation modulation" auto
      "attention modulation modulation" auto "cross modulation modulation" auto
      "MLP modulation modulation" auto "final modulation modulation" auto "answer . ." auto
      / minmax(0, 2fr) minmax(0, 1fr) minmax(0, 1fr)`,
    wide: `"latent time label detail" auto "patches . . detail" auto
      "positions . . detail" auto "norms modulation modulation detail" auto
      "attention modulation modulation costs" auto "cross modulation modulation costs" auto
      "MLP modulation modulation costs" auto "final modulation modulation costs" auto
      "answer . . costs" auto
      / minmax(0, 2fr) minmax(0, 1fr) minmax(0, 1fr) minmax(0, 3.2fr)`,
    areas: { appended: "modulation", looked_up: "modulation" },
  },
  parts: {
    latent: place("latent"),
    patches: place("patches"),
    positions: place("positions"),
    norms: place("norms"),
    attention: place("attention"),
    cross: place("cross", "condition"),
    MLP: place("MLP"),
    final: place("final"),
    answer: place("answer"),
    time: place("time", "condition"),
    label: place("label", "condition"),
    modulation: place("modulation", "scale"),
    appended: entry("two more\ntokens", "in-context", "start"),
    looked_up: entry("two rows to\nlook up", "cross-attention", "center"),
    detail: told(detail),
    costs: ui.rows({
      title: ({ size, patch_size: p, conditioning, designs }) =>
        `of DiT-${size}/${p}, ${designs[conditioning]}`,
      values(now, state) {
        const cost = chosen(state, now) ?? { parameters: 0, macs: 0 };
        const row = (name, quantity, unit, letter) => ({
          name,
          value: `${ui.format(cost[quantity] / unit)} ${letter}`,
          pieces: [["data", cost[quantity] / now[quantity], name]],
        });
        return [row("parameters", "parameters", 1e6, "M"), row("MACs", "macs", 1e9, "G")];
      },
    }),
  },
  wires: [
    ["latent", "patches"],
    ["patches", "positions"],
    ["positions", "norms"],
    ["norms", "attention"],
    ["attention", "MLP"], // behind cross-attention, where there is one
    ["MLP", "final"],
    ["final", "answer"],
    ...["time", "label"].flatMap((part) =>
      ["modulation", "appended", "looked_up"].map((entry) => [part, entry, { role: "condition" }])
    ),
    ["appended", "norms", { role: "condition" }],
    ["looked_up", "cross", { role: "condition" }],
    ["modulation", "norms", { role: "scale" }],
    ["modulation", "attention", { role: "gate", flow: gated }],
    ["modulation", "MLP", { role: "gate", flow: gated }],
    ["modulation", "final", { role: "scale" }],
  ],
  controls: {
    part: ui.menu({
      label: "part",
      text: (part) => MENU[part] ?? part,
    }),
    size: ui.menu({ label: "size", text: (size) => `DiT-${size}` }),
    patch_size: ui.menu({ label: "patch size p", text: (p) => `${p} × ${p}` }),
    conditioning: ui.menu({ label: "design", text: (design, { designs }) => designs[design] }),
  },
  opening: "One vector of time and class steers every block. In adaLN-Zero a third of all " +
    "parameters makes its shifts, scales and gates.",
  presets: [
    [
      "where the work is",
      { part: "MLP", size: "XL", patch_size: 2, conditioning: "adaln-zero" },
      "The MLPs do most of the multiplications, since they work once for every token.",
    ],
    [
      "large patches",
      { part: "final", size: "S", patch_size: 8, conditioning: "adaln-zero" },
      "At p = 8 the final layer of S makes 512 numbers of the 384 in a token.",
    ],
    [
      "in context",
      { part: "attention", size: "XL", patch_size: 2, conditioning: "in-context" },
      "Two more tokens, 258 in all, and no modulation: a third of the parameters is gone.",
    ],
  ],
  sentence({ size, patch_size: p, conditioning, designs, part, texts }, now) {
    const cost = part !== "whole" && now.parts[part];
    const share = (quantity) => ui.percent(cost[quantity] / now[quantity], 1);
    return `DiT-${size}/${p}, ${designs[conditioning]}: ${
      ui.format(now.parameters / 1e6)
    } million ` +
      `parameters, ${ui.format(now.macs / 1e9)} GMAC for one picture` +
      (cost
        ? `; ${texts[part][0]}: ${share("parameters")} of the parameters, ${
          share("macs")
        } of the MACs.`
        : ".");
  },
  note:
    "Orange sets scale and shift, green the gates, purple belongs to the condition; the parts " +
    "between the positions and the final layer stand in every block.",
  table: ({ texts }, now) => ({
    caption: "parameters in millions, multiply-accumulates in units of 10⁹",
    columns: ["part", "million parameters", "GMAC"],
    rows: Object.entries(now.parts).map(([part, { parameters, macs }]) => [
      texts[part][0],
      parameters / 1e6,
      macs / 1e9,
    ]),
  }),
});
