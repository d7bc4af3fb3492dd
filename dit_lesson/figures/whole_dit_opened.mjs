// Chapter 12's second figure: the trained DiT opened, at one time, at one token.
import { rootMeanSquare } from "./core/arrays.mjs";
import { rowsOf } from "./core/data.mjs";
import { trainedDecoder } from "./core/decoder.mjs";
import { trainedDiT } from "./core/dit.mjs";
import { guided, TIME_SCALE, walk } from "./core/flow.mjs";
import { rowOf } from "./core/safetensors.mjs";
import * as ui from "./ui.mjs";

const [SIDE, PICTURE, STEPS, HEADS, NULL_CLASS] = [4, 32, 20, 4, 10];
const TOKENS = SIDE * SIDE;
const BRANCHES = [0, 1, 2].flatMap((block) => [`attention ${block}`, `MLP ${block}`]);
const SAMPLES = BRANCHES.length + 2; // as it is, each gate shut, all shut behind the chosen

const length = (values) => Math.sqrt(values.length) * rootMeanSquare(values);
const numbers = (count, value) => Float32Array.from({ length: count }, (_, i) => value(i));

// The latents before every step of a walk without guidance, kept while only the rest changes
let last = {};
function latents({ digit, seed, noise }, model) {
  if (last.digit !== digit || last.seed !== seed || last.noise !== noise || last.model !== model) {
    const start = rowOf(noise.noise, seed);
    const answer = guided((x, t, y) => model.forward(x, t, y), [digit], NULL_CLASS, 1);
    const path = [...walk(answer, start, 1, { steps: STEPS })].map(({ x }) => x);
    last = { digit, seed, noise, model, path: [start, ...path] };
  }
  return last.path;
}

// Where each head of a block looks from a token, and how far it moves it; of sample 0
function heads(model, block, token) {
  const branch = model.branches[2 * block];
  const d = model.config.hiddenSize;
  const width = d / HEADS;
  const row = (start, count) => model.arena.view(start + 4 * token * count, count);
  const at = block === 0 ? model.firstTokens : model.branches[2 * block - 1].tokens;
  const before = length(row(at, d));
  const active = row(branch.active, d);
  const weights = model.tensor(`blocks.${block}.attn.proj.weight`);
  const gate = model.vectors().find(({ name, kind }) =>
    name === `blocks.${block}.attn` && kind === "gate"
  ).of(0);
  const looks = model.looks(branch.name).map((map) =>
    map.slice(token * TOKENS, (token + 1) * TOKENS)
  );
  const moves = [];
  for (let head = 0; head < HEADS; head += 1) {
    const added = numbers(d, (i) => {
      let sum = 0;
      for (let k = head * width; k < (head + 1) * width; k += 1) {
        sum += weights[i * d + k] * active[k];
      }
      return gate[i] * sum;
    });
    moves.push(length(added) / before);
  }
  return { looks, moves };
}

export function stages(state) {
  const t = 1 - state.step / STEPS;
  if (!state.dit || !state.decoder || !state.noise) return { t };
  const model = trainedDiT(ui.weightsOf(state), SAMPLES);
  const pictures = trainedDecoder(state.decoder, SIDE, 2);
  const x = latents(state, model)[state.step];
  const chosen = BRANCHES.indexOf(state.branch);
  const isShut = (sample, number) =>
    sample <= BRANCHES.length ? sample === number + 1 : number > chosen;
  let gates = [];
  const answers = model.forward(
    numbers(SAMPLES * x.length, (i) => x[i % x.length]),
    new Float32Array(SAMPLES).fill(TIME_SCALE * t),
    new Array(SAMPLES).fill(state.digit),
    (vectors) => {
      const found = vectors.filter(({ kind }) => kind === "gate");
      gates = found.map(({ of }) => rootMeanSquare(of(0)));
      for (let sample = 1; sample < SAMPLES; sample += 1) {
        found.forEach(({ of }, number) => isShut(sample, number) && of(sample).fill(0));
      }
    },
  );
  const own = Array.from(
    { length: SAMPLES },
    (_, sample) =>
      numbers(x.length / TOKENS, (c) => answers[sample * x.length + c * TOKENS + state.token]),
  );
  const size = length(own[0]) || 1; // an untrained model answers 0 whatever is shut
  const effects = BRANCHES.map((_, number) =>
    length(own[number + 1].map((value, c) => value - own[0][c])) / size
  );
  const seen = [0, SAMPLES - 1].flatMap((sample) =>
    [...x].map((value, i) => value - t * answers[sample * x.length + i])
  );
  const [taken, ended] = rowsOf(pictures.decode(seen), PICTURE * PICTURE);
  return {
    t,
    taken: rowsOf(taken, PICTURE),
    ended: rowsOf(ended, PICTURE),
    effects,
    gates,
    ...heads(model, chosen >> 1, state.token),
  };
}

// The heads' maps beside each other, each 4 x 4 tokens
const beside = ({ looks }) =>
  looks && Array.from(
    { length: SIDE },
    (_, y) => numbers(HEADS * SIDE, (x) => looks[Math.floor(x / SIDE)][SIDE * y + x % SIDE]),
  );
const cell = (token) => [Math.floor(token / SIDE), token % SIDE];
const area = (name) => name.replace(" ", "_");

const place = (name, i) =>
  ui.button({
    text: (_, { effects }) =>
      `${name.replace("attention", "attn")}\n${effects ? ui.percent(effects[i]) : "…"}`,
    changes: () => ({ branch: name }),
    pressed: ({ branch }) => branch === name,
  });

export default ui.figure({
  stages,
  takes: ["own"],
  layout: {
    narrow: `"taken taken taken ended ended ended" auto
      "attention_0 attention_0 attention_1 attention_1 attention_2 attention_2" auto
      "MLP_0 MLP_0 MLP_1 MLP_1 MLP_2 MLP_2" auto
      "looks looks looks looks looks looks" auto "moves moves moves legend legend legend" auto
      / ${"minmax(0, 1fr) ".repeat(6)}`,
    wide: `"taken ${BRANCHES.map(area).join(" ")} ended" auto
      "moves looks looks looks looks looks looks legend" auto
      / minmax(0, 3fr) ${"minmax(0, 1fr) ".repeat(6)} minmax(0, 3fr)`,
  },
  parts: {
    taken: ui.digit({
      title: "taken for",
      values: ({ taken }) => taken,
      marks: ({ token }) => [token],
      decorate(prepared, _, { state: { token }, palette }) {
        ui.grid(prepared, [SIDE, SIDE], palette.data);
        ui.frame(prepared, [SIDE, SIDE], cell(token), palette.shift, 3);
      },
      pick: (y, x) => ({ token: SIDE * Math.floor(SIDE * y) + Math.floor(SIDE * x) }),
    }),
    ended: ui.digit({
      title: ({ branch }) => `if ${branch} were last`,
      values: ({ ended }) => ended,
    }),
    ...Object.fromEntries(BRANCHES.map((name, i) => [area(name), place(name, i)])),
    looks: ui.map({
      title: ({ branch }) => `attention ${branch.at(-1)}: where heads 0 to 3 look from here`,
      shape: "film",
      limit: 0.5,
      values: beside,
      marks: ({ token }) => [token],
      decorate(prepared, _, { state: { token }, palette }) {
        const [row, column] = cell(token);
        ui.grid(prepared, [1, HEADS], palette.data, 2);
        for (let head = 0; head < HEADS; head += 1) {
          ui.frame(prepared, [SIDE, HEADS * SIDE], [row, head * SIDE + column], palette.shift, 2);
        }
      },
    }),
    moves: ui.bars({
      title: "moved by head",
      limit: 0.5,
      signed: false,
      names: ["0", "1", "2", "3"],
      values: ({ moves }) => moves,
    }),
    legend: ui.legend({ kind: "share", low: "0", high: "50% or more" }),
  },
  wires: [
    ...BRANCHES.map((name, i) => [
      i ? area(BRANCHES[i - 1]) : "taken",
      area(name),
      { role: "gate", only: "wide", flow: (_, { gates }) => gates ? gates[i] : 0.1 },
    ]),
    ["MLP_2", "ended", { only: "wide" }],
  ],
  controls: {
    step: ui.slider({ label: "step" }),
    token: ui.slider({ label: "token", role: "shift" }),
    branch: ui.menu({ label: "branch" }),
    weights: ui.weightsMenu,
    digit: ui.menu({ label: "digit" }),
    seed: ui.menu({ label: "noise" }),
  },
  folded: ["digit", "seed"],
  opening:
    "The trained model, half way to a 5. Under each branch: how much the framed token's answer " +
    "changes when its gate is shut.",
  presets: [
    [
      "all noise",
      { step: 0, token: 5, branch: "attention 0" },
      "The other tokens are noise, and there is nothing to look at: the attentions hardly count.",
    ],
    [
      "nearly done",
      { step: 18, token: 5, branch: "attention 1" },
      "What is left to decide depends on the neighbours: now the attentions count as well.",
    ],
    [
      "one block alone",
      { step: 12, token: 5, branch: "MLP 0" },
      "Ended after its first block the model draws strokes that lie over each other and make no digit.",
    ],
    [
      "an empty corner",
      { step: 12, token: 0, branch: "MLP 2" },
      "A patch of paper: who decides that it stays empty?",
    ],
  ],
  sentence(state, { t, effects, moves }) {
    const { digit, token, branch } = state;
    const chosen = BRANCHES.indexOf(branch);
    const head = moves.indexOf(Math.max(...moves));
    return `A ${digit} at t = ${t.toFixed(2)}, token ${token}${
      ui.whose(state)
    }: with the gate of ${branch} shut ` +
      `its answer changes by ${ui.percent(effects[chosen])}. In attention ${chosen >> 1} head ` +
      `${head} moves it farthest, by ${ui.percent(moves[head])} of its length.`;
  },
  note:
    "Press a branch to end the model there, click a patch to ask its token. Where there is room " +
    "for lines, one is as wide as the gate of the branch that it leads to is large.",
  table: (_, { effects = [], gates = [] }) => ({
    caption: "Effect of every branch on the token's answer, and the size of its gate",
    columns: ["branch", "effect", "gate"],
    rows: effects.map((effect, i) => [BRANCHES[i], effect, gates[i]]),
  }),
});
