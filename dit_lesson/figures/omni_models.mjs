// Chapter 19's figure: one digit painted twice in the page, by masks and by noise, step by step.
import { mean, rootMeanSquare } from "./core/arrays.mjs";
import { rowsOf } from "./core/data.mjs";
import { trainedDecoder } from "./core/decoder.mjs";
import { trainedDiT } from "./core/dit.mjs";
import { guided, walk } from "./core/flow.mjs";
import { rowOf } from "./core/safetensors.mjs";
import * as ui from "./ui.mjs";

const [SIDE, PICTURE, CHANNELS, NULL_CLASS] = [4, 32, 8, 10];
const PLACES = SIDE * SIDE;
const SAYS = 5; // codes that the model holds likeliest
const MOST = 0.5; // a move of full colour

// --- masks --------------------------------------------------------------------------------------

// p of every code at a place, from logits (K + 1, 16); the mask itself is never drawn
function probabilities(logits, place, codes) {
  const p = Float64Array.from({ length: codes }, (_, k) => logits[k * PLACES + place]);
  const top = Math.max(...p);
  let sum = 0;
  for (let k = 0; k < codes; k += 1) sum += p[k] = Math.exp(p[k] - top);
  return p.map((value) => value / sum);
}

// The first code at which the sum of the probabilities passes u
function draw(p, u) {
  let sum = 0;
  for (let k = 0; k < p.length; k += 1) {
    sum += p[k];
    if (sum > u) return k;
  }
  return p.length - 1;
}

// The steps of the walk, and the one that is shown; by hand a step shows one token
const walked = ({ order, chosen, steps, at }) =>
  order === "by hand" ? [PLACES, chosen.length] : [steps, Math.min(at, steps)];

// Tokens and, for those that are hidden, p, before every step and after the last, as
// `masking.unmask` has them
function unmasked(state, model) {
  const { digit, guidance, order, chosen, seed, codes, drawn } = state;
  const [steps] = walked(state);
  const answer = guided((x, t, y) => model.forward(x, t, y), [digit], NULL_CLASS, guidance);
  const [draws, places] = [drawn.draws, drawn.places].map((numbers) => rowOf(numbers, seed));
  const byHand = new Map(chosen.map((place, i) => [place, -i]));
  const path = [];
  let tokens = new Array(PLACES).fill(codes);
  for (let step = 0; step < steps; step += 1) {
    const x = new Float32Array((codes + 1) * PLACES);
    tokens.forEach((code, place) => x[code * PLACES + place] = 1);
    const logits = answer(x, new Float32Array(1));
    const p = tokens.map((_, place) => probabilities(logits, place, codes));
    path.push({ tokens, p });
    const found = p.map((q, place) => draw(q, draws[step * PLACES + place]));
    const score = {
      random: (place) => places[step * PLACES + place],
      confidence: (place) => p[place][found[place]],
      "by hand": (place) => byHand.get(place) ?? -PLACES - place,
    }[order];
    const hidden = placesOf(tokens, (code) => code === codes).sort((a, b) => score(b) - score(a));
    const kept = new Set(hidden.slice(0, Math.ceil(hidden.length / (steps - step))));
    tokens = tokens.map((code, place) => kept.has(place) ? found[place] : code);
  }
  return [...path, { tokens, p: [] }];
}

const placesOf = (tokens, is) =>
  Array.from(tokens, (_, place) => place).filter((place) => is(tokens[place], place));

// --- both ---------------------------------------------------------------------------------------

// A latent (8, 16) of a vector for each place
function latentOf(vectors) {
  const z = new Float32Array(CHANNELS * PLACES);
  vectors.forEach((vector, place) => vector.forEach((v, c) => z[c * PLACES + place] = v));
  return z;
}

function meanCode(p, codes) {
  const sum = new Float64Array(CHANNELS);
  p.forEach((share, k) => codes[k].forEach((value, c) => sum[c] += share * value));
  return sum;
}

// The hidden token that the model is asked about, its likeliest codes, and their shares
function asking({ place, codes }, { tokens, p }) {
  const hidden = placesOf(tokens, (code) => code === codes);
  if (!hidden.length) return { asked: -1, best: [], likeliest: new Array(SAYS).fill(0) };
  const asked = hidden.find((other) => other >= place) ?? hidden[0];
  const shares = p[asked];
  const best = Array.from(shares, (_, k) => k).sort((a, b) => shares[b] - shares[a]).slice(0, SAYS);
  return { asked, best, likeliest: best.map((k) => shares[k]) };
}

export function stages(state) {
  const { codes, drawn } = state;
  const [steps, step] = walked(state);
  if (!state.masked || !state.dit || !state.decoder || !drawn) return { step };
  const [masks, noise] = [state.masked, state.dit].map((weights) => trainedDiT(weights, 2));
  const pictures = trainedDecoder(state.decoder, SIDE, 4 + SAYS);
  const path = unmasked(state, masks);
  const { tokens, p } = path[step];
  const { tokens: before } = path[Math.max(0, step - 1)];
  const blank = new Float64Array(CHANNELS);
  const vectors = rowsOf(drawn.codes.data, CHANNELS);
  const there = tokens.map((code) => vectors[code] ?? blank);
  const expected = tokens.map((code, place) =>
    code === codes ? meanCode(p[place], vectors) : vectors[code]
  );
  const { asked, best, likeliest } = asking(state, path[step]);
  const says = Array.from(
    { length: SAYS },
    (_, i) => expected.map((vector, place) => place === asked ? vectors[best[i]] : vector),
  );

  const answer = guided(
    (x, t, y) => noise.forward(x, t, y),
    [state.digit],
    NULL_CLASS,
    state.guidance,
  );
  const start = rowOf(drawn.noise, state.seed);
  const way = [...walk(answer, start, 1, { steps })];
  const latents = [start, ...way.map(({ x }) => x)];
  const x = latents[step];
  const x0 = step < steps ? way[step].x0 : x;
  const last = latents[Math.max(0, step - 1)];
  const moved = Array.from({ length: PLACES }, (_, place) => {
    const moves = Array.from({ length: CHANNELS }, (_, c) => {
      const i = c * PLACES + place;
      return x[i] - last[i];
    });
    return rootMeanSquare(moves);
  });

  const masked = [there, expected].map(latentOf);
  const all = [...masked, x, x0, ...says.map(latentOf)].flatMap((latent) => [...latent]);
  const decoded = pictures.decode(all);
  const area = PICTURE * PICTURE;
  const drawings = Array.from(
    { length: 4 + SAYS },
    (_, i) => rowsOf(decoded.subarray(i * area, (i + 1) * area), PICTURE),
  );
  const shown = path.slice(1, step + 1).flatMap(({ tokens: now }, i) =>
    placesOf(now, (code, place) => code !== path[i].tokens[place])
  );
  return {
    step,
    tokens,
    pictures: drawings.slice(0, 4),
    changed: [tokens.map((code, place) => Number(code !== before[place])), moved].map((map) =>
      rowsOf(map, SIDE)
    ),
    shown,
    asked,
    likeliest,
    says: drawings.slice(4),
  };
}

// Places that are hidden are covered: there is nothing to be seen yet
function cover(prepared, { tokens, asked }, codes, palette) {
  const { context, width, height } = prepared;
  context.fillStyle = palette.data;
  tokens.forEach((code, place) => {
    if (code !== codes) return;
    const [row, column] = [Math.floor(place / SIDE), place % SIDE];
    context.fillRect(
      (column * width) / SIDE + 1,
      (row * height) / SIDE + 1,
      width / SIDE - 2,
      height / SIDE - 2,
    );
  });
  if (asked < 0) return;
  const cell = [Math.floor(asked / SIDE), asked % SIDE];
  ui.frame(prepared, [SIDE, SIDE], cell, palette.condition, 3);
}

// Pictures beside each other
const strip = (pictures) =>
  pictures?.[0].map((_, y) =>
    Float32Array.from(
      { length: SAYS * PICTURE },
      (_, x) => pictures[Math.floor(x / PICTURE)][y][x % PICTURE],
    )
  );

// Whether what is there came one by one, so that a walk by hand can go on from it
const oneByOne = ({ order, steps }) => order === "by hand" || steps === PLACES;
const byItself = ({ order }) => order !== "by hand";
const hiddenOf = ({ tokens }, codes) => tokens.filter((code) => code === codes).length;

const picture = (i, title) => ui.digit({ title, values: ({ pictures }) => pictures?.[i] });
const change = (i, title) =>
  ui.map({
    title,
    role: "data",
    limit: MOST,
    values: ({ changed }) => changed?.[i],
    decorate: (prepared, _, { palette }) => ui.grid(prepared, [SIDE, SIDE], palette.ground, 2),
  });

export default ui.figure({
  stages,
  layout: {
    narrow: `"m_changed m_there m_model m_expected" auto
      "n_changed n_there n_model n_expected" auto "says says says says" auto
      "place show show back" auto "legend legend legend legend" auto
      / minmax(0, 1fr) minmax(0, 1fr) auto minmax(0, 1fr)`,
    wide: `"m_changed m_there m_model m_expected says says" auto
      "n_changed n_there n_model n_expected place place" auto
      "n_changed n_there n_model n_expected show back" auto
      "n_changed n_there n_model n_expected legend legend" auto
      / minmax(0, 1fr) minmax(0, 1fr) auto minmax(0, 1fr) minmax(0, 1.4fr) minmax(0, 1.4fr)`,
  },
  parts: {
    m_there: ui.digit({
      title: "masks: there",
      values: ({ pictures }) => pictures?.[0],
      marks: (_, { tokens, asked }) => [tokens, asked],
      decorate: (prepared, _, { state, now, palette }) =>
        cover(prepared, now, state.codes, palette),
      pick: (y, x) => ({ place: SIDE * Math.floor(SIDE * y) + Math.floor(SIDE * x) }),
    }),
    m_model: ui.node({ text: "DiT", round: false }),
    m_expected: picture(1, "expected"),
    m_changed: change(0, "last step"),
    n_there: picture(2, "noise: there"),
    n_model: ui.node({ text: "DiT", round: false }),
    n_expected: picture(3, "expected"),
    n_changed: change(1, "last step"),
    says: ui.digit({
      title: (_, { likeliest, asked }) =>
        asked < 0
          ? "no token is hidden"
          : `what the model would say in the frame: ${
            likeliest?.map((share) => ui.percent(share)).join(", ") ?? ""
          }`,
      shape: "film",
      values: ({ says }) => strip(says),
      decorate: (prepared, _, { palette }) => ui.grid(prepared, [1, SAYS], palette.ground, 2),
    }),
    place: ui.slider({ label: "token", role: "condition" }),
    show: ui.button({
      role: "condition",
      text: () => "draw this token",
      changes: (state, { asked, shown }) =>
        asked === undefined || asked < 0
          ? null
          : { order: "by hand", chosen: [...(oneByOne(state) ? shown : []), asked] },
    }),
    back: ui.button({
      text: () => "take it back",
      changes: ({ order, chosen }) =>
        order === "by hand" && chosen.length ? { chosen: chosen.slice(0, -1) } : null,
    }),
    legend: ui.legend({
      kind: "share",
      label: "last step: moved by",
      low: "0",
      high: String(MOST),
    }),
  },
  wires: [
    ...["m", "n"].flatMap((way) => [
      [`${way}_changed`, `${way}_there`],
      [`${way}_there`, `${way}_model`, { role: "stream", bare: true }],
      [`${way}_model`, `${way}_expected`, { role: "stream" }],
    ]),
    ["m_expected", "says", { role: "condition", only: "wide" }],
  ],
  controls: {
    at: ui.slider({ label: "step shown", most: ({ steps }) => steps, when: byItself }),
    steps: ui.menu({ label: "steps", when: byItself }),
    order: ui.menu({ label: "order" }),
    digit: ui.menu({ label: "digit" }),
    guidance: ui.slider({ label: "guidance", symbol: "s", step: 0.25 }),
    seed: ui.menu({ label: "chance" }),
  },
  folded: ["digit", "seed"],
  opening:
    "Six of sixteen steps. With masks six tokens are final and ten are not there; with noise " +
    "all are there, and none is final.",
  presets: [
    [
      "before the first step",
      { at: 0, steps: 16, order: "confidence" },
      "Both models expect nearly the same picture: the average of all digits of this class.",
    ],
    [
      "all at once",
      { at: 1, steps: 1, order: "confidence" },
      "In one step noise becomes the average, and masks become tokens that know nothing of each other.",
    ],
    [
      "one by one",
      { at: 16, steps: 16, order: "confidence" },
      "Sixteen steps: every token was drawn with all those before it in sight.",
    ],
    [
      "without guidance",
      { at: 16, steps: 16, guidance: 1, order: "random" },
      "In a random order an early token that does not fit stays, and the others have to live with it.",
    ],
  ],
  sentence(state, { step, tokens, changed }) {
    const [steps] = walked(state);
    const hidden = hiddenOf({ tokens }, state.codes);
    const moved = mean(changed[1].map((row) => mean(row)));
    const there = PLACES - hidden;
    return `A ${state.digit}, step ${step} of ${steps}. Masks, ${state.order}: ` +
      `${there} ${there === 1 ? "token is there and stays" : "tokens are there and stay"}, ` +
      `${hidden} ${hidden === 1 ? "is" : "are"} hidden. Noise: the last step ` +
      `has moved the 16 tokens by ${ui.format(moved)} on average.`;
  },
  table: (_, { changed = [[], []] }) => ({
    caption: "What the last step has changed",
    columns: ["token", "masks", "noise"],
    rows: changed[0].flatMap((row, y) =>
      [...row].map((value, x) => [`row ${y}, column ${x}`, value, changed[1][y][x]])
    ),
  }),
});
