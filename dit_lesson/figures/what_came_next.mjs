// Chapter 17's figure: two blocks side by side, and what each pays to hear its condition.
import * as ui from "./ui.mjs";

const RANK = 256;

// The parameters of all blocks of one kind, by part
function counts(kind, d, depth) {
  const streams = kind === "two streams" ? 2 : 1;
  const modulation = {
    own: depth * 6 * d * (d + 1),
    shared: 6 * d * (d + 1) + depth * 6 * d,
    "low rank": RANK * (d + 1) + depth * 6 * d * (RANK + 1),
    "two streams": 2 * depth * 6 * d * (d + 1),
    parallel: depth * 3 * d * (d + 1),
    none: 0,
  };
  return {
    modulation: modulation[kind],
    attention: streams * depth * 4 * d * (d + 1),
    MLP: streams * depth * (8 * d ** 2 + 5 * d),
    constants: kind === "none" ? depth * 4 * d : 0,
  };
}

export function stages({ left, right, hidden_size: d, depth }) {
  return { left: counts(left, d, depth), right: counts(right, d, depth) };
}

const whole = (count) => Object.values(count).reduce((total, value) => total + value, 0);
const share = (count) => ui.percent(count.modulation / whole(count), 1);
const millions = (count) => ui.format(count / 1e6);

// One block: the way of the tokens from top to bottom, beside it what its vectors do
function block(side) {
  const is = (...kinds) => (state) => kinds.includes(state[side]);
  const not = (...kinds) => (state) => !kinds.includes(state[side]);
  const box = (text, role, when) => ui.node({ text, role, round: false, when });
  return {
    [`${side}_in`]: box("tokens x", "data"),
    [`${side}_norm`]: box("norm", "text"),
    [`${side}_attention`]: box(
      (state) => state[side] === "two streams" ? "attention\nwith text" : "attention",
      "text",
      not("parallel"),
    ),
    [`${side}_both`]: box("attention\n+ MLP", "text", is("parallel")),
    [`${side}_second`]: box("norm", "text", not("parallel")),
    [`${side}_mlp`]: box("MLP", "text", not("parallel")),
    [`${side}_out`]: box("+ x", "data"),
    [`${side}_vectors`]: box(({ names, ...state }) => names[state[side]][1], "scale", not("none")),
    [`${side}_tokens`]: box("t and y\nas tokens", "condition", is("none")),
    [`${side}_affine`]: box("shift, scale", "scale", not("none")),
    [`${side}_gate`]: box("gate", "gate", not("none")),
    [`${side}_again`]: box("shift, scale", "scale", not("none", "parallel")),
    [`${side}_last`]: box("gate", "gate", not("none", "parallel")),
    [`${side}_text`]: box("text has\nits own", "condition", is("two streams")),
  };
}

function wires(side) {
  const line = (from, to, role = "data") => [`${side}_${from}`, `${side}_${to}`, { role }];
  return [
    line("in", "norm"),
    line("norm", "attention"),
    line("attention", "second"),
    line("second", "mlp"),
    line("mlp", "out"),
    line("norm", "both"),
    line("both", "out"),
    line("tokens", "in", "condition"),
    line("vectors", "affine", "scale"),
    line("affine", "norm", "scale"),
    line("gate", "attention", "gate"),
    line("gate", "both", "gate"),
    line("again", "second", "scale"),
    line("last", "mlp", "gate"),
  ];
}

const width = ({ hidden_size: d, depth }) => `million parameters, ${depth} blocks of width ${d}`;
const preset = (left, right) => ({ left, right, hidden_size: 1152, depth: 28 });

const LAYOUT = `"costs costs costs costs" auto
      "left_in left_vectors right_in right_vectors" auto
      "left_norm left_affine right_norm right_affine" auto
      "left_attention left_gate right_attention right_gate" auto
      "left_second left_again right_second right_again" auto
      "left_mlp left_last right_mlp right_last" auto
      "left_out left_text right_out right_text" auto
      / minmax(0, 1fr) minmax(0, 1fr) minmax(0, 1fr) minmax(0, 1fr)`;

export default ui.figure({
  stages,
  layout: {
    narrow: LAYOUT,
    wide: LAYOUT,
    areas: {
      left_both: "left_attention",
      right_both: "right_attention",
      left_tokens: "left_vectors",
      right_tokens: "right_vectors",
    },
  },
  parts: {
    ...block("left"),
    ...block("right"),
    costs: ui.rows({
      title: width,
      values(now, { left, right, names, colours }) {
        const most = Math.max(whole(now.left), whole(now.right));
        return [["left", left], ["right", right]].map(([side, kind]) => ({
          name: names[kind][0],
          value: share(now[side]),
          pieces: Object.entries(colours).map(([part, colour]) => [
            colour,
            now[side][part] / most,
            part,
          ]),
        }));
      },
    }),
  },
  wires: [...wires("left"), ...wires("right")],
  controls: {
    left: ui.menu({ label: "left block" }),
    right: ui.menu({ label: "right block" }),
    hidden_size: ui.slider({ label: "width", symbol: "D", step: 64 }),
    depth: ui.slider({ label: "blocks", symbol: "L" }),
  },
  opening: "Two blocks: the way of the tokens from top to bottom, and who makes the vectors.",
  presets: [
    [
      "one layer for all",
      preset("own", "shared"),
      "The big layer exists once; each block keeps six rows of its own.",
    ],
    [
      "two streams",
      preset("own", "two streams"),
      "Twice the parameters, the same share: every stream pays the same tax.",
    ],
    [
      "parallel",
      preset("two streams", "parallel"),
      "One norm for attention and MLP, and so three vectors in place of six.",
    ],
    [
      "nothing at all",
      preset("low rank", "none"),
      "Without modulation the condition is a few more tokens, and the gates are constants.",
    ],
  ],
  sentence: ({ left, right, names }, now) =>
    `${names[left][0]}: ${millions(now.left.modulation)} of ${
      millions(whole(now.left))
    } million parameters are modulation, ${share(now.left)}; ` +
    `${names[right][0]}: ${millions(now.right.modulation)} of ${
      millions(whole(now.right))
    } million, ${share(now.right)}.`,
  note:
    "A bar, from the left: what makes shifts, scales and gates, in orange, then attention, then the " +
    "MLP; in iMF the constants come last. Purple is the condition.",
  table: ({ left, right }, now) => ({
    caption: "parameters in millions",
    columns: ["part", `left: ${left}`, `right: ${right}`],
    rows: Object.keys(now.left).map((part) => [part, now.left[part] / 1e6, now.right[part] / 1e6]),
  }),
});
