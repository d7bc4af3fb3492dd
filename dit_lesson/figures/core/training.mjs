// Training as in training.py: AdamW with a warm-up and a cosine, clipped gradients, a moving average
// of the weights; the batches, the noise and the times of flow matching.

import { mixStraight, target, TIME_SCALE } from "./flow.mjs";
import { Random } from "./random.mjs";
/** @import { LearningDiT } from "./backward.mjs" */
/** @import { Prediction } from "./flow.mjs" */

/**
 * @typedef {{
 *   steps: number, batchSize: number, learningRate: number, emaDecay: number,
 *   weightDecay?: number, predicts?: Prediction,
 * }} Recipe
 */

// The same in all runs of the book
const [BETA1, BETA2, MAX_NORM, LABEL_DROPOUT] = [0.9, 0.99, 1, 0.1];

// The learning rate at a step as a share of its maximum: a linear rise, then a cosine to 1%
/** @type {(step: number, steps: number) => number} */
export function rate(step, steps) {
  const rise = Math.min(1, (step + 1) / Math.max(1, Math.floor(steps / 10)));
  const fall = 0.5 * (1 + Math.cos(Math.PI * Math.min(1, step / steps)));
  return rise * (0.01 + 0.99 * fall);
}

export class Run {
  // data: {latents, labels}, the latents one after the other
  /** @param {LearningDiT} model @param {{latents: Float32Array, labels: ArrayLike<number>}} data @param {Recipe} recipe @param {number} seed */
  constructor(model, data, recipe, seed = 0) {
    this.recipe = { weightDecay: 0, predicts: /** @type {Prediction} */ ("velocity"), ...recipe };
    if (this.recipe.batchSize > data.labels.length) {
      throw new Error(
        `Run: batchSize is ${this.recipe.batchSize}, expected at most ${data.labels.length}`,
      );
    }
    this.model = model;
    this.data = data;
    this.random = new Random(seed);
    this.stepsDone = 0;
    /** @type {number[]} */
    this.order = [];
    const block = () => model.arena.take(model.parameterCount);
    this.firstMoment = block();
    this.secondMoment = block();
    this.average = block();
    this.restartAverage();
  }

  // The average begins as the weights are now
  restartAverage() {
    const { model } = this;
    const weights = model.arena.view(model.parameters, model.parameterCount);
    model.arena.view(this.average, model.parameterCount).set(weights);
  }

  // Rows of the data in random order, pass after pass, with their noise, their times
  // u = sigmoid(N(0, 1)), and labels of which some became the null class
  draw() {
    const { batchSize } = this.recipe;
    const { sampleSize, config } = this.model;
    if (this.order.length < batchSize) {
      this.order = [...this.random.permutation(this.data.labels.length)];
    }
    const rows = this.order.splice(0, batchSize);
    const x0 = new Float32Array(batchSize * sampleSize);
    rows.forEach((row, b) =>
      x0.set(this.data.latents.subarray(row * sampleSize, (row + 1) * sampleSize), b * sampleSize)
    );
    const u = Float32Array.from(rows, () => 1 / (1 + Math.exp(-this.random.normal())));
    const y = rows.map((row) =>
      this.random.uniform() < LABEL_DROPOUT ? config.numClasses : this.data.labels[row]
    );
    return { x0, noise: this.random.normals(x0.length), u, y };
  }

  // One step of gradient descent on a batch; returns its loss
  step({ x0, noise, u, y } = this.draw()) {
    const { model, recipe } = this;
    const { arena, parameters, gradients, parameterCount: count } = model;
    const answer = model.forward(
      mixStraight(x0, noise, u),
      u.map((share) => TIME_SCALE * share),
      y,
    );
    const wanted = target(x0, noise, recipe.predicts);
    let loss = 0;
    const grad = answer.map((value, i) => {
      const error = value - wanted[i];
      loss += error * error / answer.length;
      return 2 * error / answer.length;
    });
    model.backward(grad);

    const n = this.stepsDone + 1;
    const norm = Math.sqrt(arena.kernels.sumSquares(gradients, count));
    const clip = Math.min(1, MAX_NORM / (norm + 1e-6));
    const learningRate = recipe.learningRate * rate(this.stepsDone, recipe.steps);
    arena.kernels.adamw(
      parameters,
      gradients,
      this.firstMoment,
      this.secondMoment,
      count,
      clip,
      BETA1,
      BETA2,
      learningRate / (1 - BETA1 ** n),
      1 / Math.sqrt(1 - BETA2 ** n),
      1 - learningRate * recipe.weightDecay,
    );
    const decay = Math.min(recipe.emaDecay, n / (9 + n));
    arena.kernels.lerp(this.average, parameters, count, 1 - decay);
    this.stepsDone = n;
    return loss;
  }

  // What `use` computes with the averaged weights
  /** @template T @param {() => T} use @returns {T} */
  withAverage(use) {
    const { model } = this;
    model.weights = this.average;
    try {
      return use();
    } finally {
      model.weights = model.parameters;
    }
  }
}
