// What tests/test_engine.py asks of the engine: each function takes and gives plain lists.

import { Arena } from "../dit_lesson/figures/core/arena.mjs";
import { DiT } from "../dit_lesson/figures/core/dit.mjs";
import { Decoder } from "../dit_lesson/figures/core/decoder.mjs";
import { LearningDiT } from "../dit_lesson/figures/core/backward.mjs";
import { Judge } from "../dit_lesson/figures/core/evaluation.mjs";
import { Engine } from "../dit_lesson/figures/core/engine.mjs";
import { Random } from "../dit_lesson/figures/core/random.mjs";
import { readTensors, writeTensors } from "../dit_lesson/figures/core/safetensors.mjs";
import { Run } from "../dit_lesson/figures/core/training.mjs";
import { mixStraight, target, TIME_SCALE } from "../dit_lesson/figures/core/flow.mjs";

const arenas = { wasm: await Arena.open(), plain: await Arena.open({ plain: true }) };

export const kinds = () => Object.entries(arenas).map(([name, arena]) => [name, arena.plain]);

const tensorsOf = (weights) =>
  Object.fromEntries(
    Object.entries(weights).map(([name, data]) => [name, { shape: [data.length], data }]),
  );

function modelOf(kind, config, weights, options) {
  const model = new LearningDiT(arenas[kind], config, options);
  model.load(tensorsOf(weights));
  return model;
}

// c = start + a b with both factors stored as they are or transposed
export function product(kind, { M, N, K, a, b, start, aTransposed, bTransposed, bias }) {
  const arena = arenas[kind];
  const put = (values) => {
    const at = arena.take(values.length);
    arena.view(at, values.length).set(values);
    return at;
  };
  const [left, right, first] = [put(a), put(b), start ? put(start) : 0];
  const c = arena.take(M * N);
  arena.reserve(N);
  const [aRow, aColumn] = aTransposed ? [1, M] : [K, 1];
  const [bRow, bColumn] = bTransposed ? [1, K] : [N, 1];
  arena.matmul(c, N, left, aRow, aColumn, right, bRow, bColumn, first, bias ? 0 : N, M, N, K);
  return arena.view(c, M * N).slice();
}

// Numbers that one more block takes, without its parameters
export function roomOfABlock(config) {
  const [one, two] = [1, 2].map((depth) => {
    const arena = Arena.now();
    const { parameterCount } = new DiT(arena, { ...config, depth }, { capacity: 1 });
    return arena.next / 4 - parameterCount;
  });
  return two - one;
}

// Answer, loss and gradients of the velocity loss
export function gradients(kind, config, weights, { x0, noise, u, y }) {
  const model = modelOf(kind, config, weights, { capacity: u.length });
  const answer = model.forward(mixStraight(x0, noise, u), u.map((share) => TIME_SCALE * share), y);
  const wanted = target(x0, noise, "velocity");
  const errors = answer.map((value, i) => value - wanted[i]);
  model.backward(errors.map((error) => (2 * error) / errors.length));
  const named = Object.keys(model.shapes).map((
    name,
  ) => [name, model.tensor(name, model.gradients).slice()]);
  return {
    answer,
    loss: errors.reduce((sum, error) => sum + error * error, 0) / errors.length,
    gradients: Object.fromEntries(named),
  };
}

// Losses, and the averaged weights at the end
export function trained(kind, config, weights, batches, recipe) {
  const model = modelOf(kind, config, weights, { capacity: recipe.batchSize });
  const data = { latents: new Float32Array(), labels: new Array(recipe.batchSize) };
  const run = new Run(model, data, recipe);
  const losses = batches.map((batch) => run.step({ ...batch, u: Float32Array.from(batch.u) }));
  const named = Object.keys(model.shapes).map((
    name,
  ) => [name, model.tensor(name, run.average).slice()]);
  return { losses, average: Object.fromEntries(named) };
}

// Losses of a run that draws its own batches, with the seeds of trainer.mjs
export function seededRun(kind, config, data, recipe, seed) {
  const model = new LearningDiT(arenas[kind], config, { capacity: recipe.batchSize });
  model.initialize(new Random(seed));
  const run = new Run(
    model,
    { latents: Float32Array.from(data.latents), labels: data.labels },
    recipe,
    seed + 1,
  );
  return Array.from({ length: recipe.steps }, () => run.step());
}

// x after every step of a walk
export function walked(kind, config, weights, labels, noise, options) {
  const engine = new Engine(
    arenas[kind],
    modelOf(kind, config, weights, { capacity: 2 * labels.length }),
  );
  return [...engine.sample(labels, noise, options)].map(({ x }) => x);
}

export function decoded(kind, tensors, latents, side) {
  return new Decoder(arenas[kind], tensors, { side, capacity: 3 }).decode(latents);
}

// What a packed judge answers and reads, ten pictures at a time
export function judged(kind, file, pictures) {
  const judge = new Judge(arenas[kind], readTensors(bytesOf(file)));
  const tens = Array.from(
    { length: Math.ceil(pictures.length / 10240) },
    (_, i) => pictures.slice(10240 * i, 10240 * (i + 1)),
  );
  return {
    logits: tens.flatMap((ten) => [...judge.logits(ten)]),
    read: tens.flatMap((ten) => judge.read(ten)),
  };
}

const bytesOf = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

export const unpacked = (text) => readTensors(bytesOf(text));

// A new model's file, in base64
export function file(config, seed) {
  const model = new LearningDiT(arenas.wasm, config);
  model.initialize(new Random(seed), { zeroInit: false });
  const bytes = writeTensors(model.stateDict(), { step: "0" });
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}

export function initial(config, seed, options) {
  const model = new LearningDiT(arenas.wasm, config);
  model.initialize(new Random(seed), options);
  return model.stateDict();
}

export const refusal = (kind, ...arguments_) => {
  try {
    gradients(kind, ...arguments_);
  } catch (error) {
    return error.message;
  }
  return "";
};

export const normals = (seed, count) => new Random(seed).normals(count);
export const permutation = (seed, count) => new Random(seed).permutation(count);
