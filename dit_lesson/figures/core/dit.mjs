// A DiT of any of the four designs: numpy_dit.py on flat arrays, over the kernels.

import { frequencies as ratesOf, timestepEmbedding } from "./embeddings.mjs";
import {
  chunksOf,
  CONFIG,
  DESIGNS,
  FREQUENCY_SIZE,
  initialParameter,
  parameterShapes,
  requireConfig,
  TABLE,
} from "./parameters.mjs";
import { gridEmbedding } from "./positions.mjs";
import { trained } from "./trained.mjs";
import { BYTES, Transformer } from "./transformer.mjs";
/** @import { Arena } from "./arena.mjs" */
/** @import { Config } from "./parameters.mjs" */
/** @import { Random } from "./random.mjs" */
/** @import { Tensors } from "./safetensors.mjs" */

export class DiT extends Transformer {
  /** @param {Arena} arena @param {Partial<Config>} config @param {{capacity?: number}} options capacity: the largest batch */
  constructor(arena, config, { capacity = 32 } = {}) {
    const whole = { ...CONFIG, ...config };
    requireConfig(whole);
    const { inChannels, hiddenSize: d, conditioning, maxWords } = whole;
    const context = chunksOf(whole) ? 1 : 1 + maxWords; // one sum, or time and labels
    super(arena, whole, parameterShapes(whole), {
      after: DESIGNS[conditioning].inSequence * context,
      context,
      norm: "final_layer.norm_final",
      capacity,
    });
    this.rates = ratesOf(FREQUENCY_SIZE / 2);
    const grid = gridEmbedding(this.side, this.side, d);
    this.positions = Float32Array.from(grid.flatMap((row) => [...row]));
    // where each number of an image comes from: features (p, p, C)
    this.outward = this.order((channel, pixel) => pixel * inChannels + channel);
    if (this.chunks) {
      const first = this.layers["blocks.0.adaLN_modulation.1"];
      this.layers.modulation = { ...first, outputs: this.steeringWidth, inputs: d };
      arena.reserve(this.steeringWidth);
    }
    const take = (count) => arena.take(capacity * count);
    this.frequencies = take(FREQUENCY_SIZE);
    this.timeHidden = take(d);
    this.timeActive = take(d);
    this.time = take(d);
    this.conditionActive = take(d);
    this.answers = take(this.tokens * this.patchFeatures);
  }

  /** @type {(random: Random, options?: {embeddingInit?: string, zeroInit?: boolean}) => void} */
  initialize(random, options = {}) {
    for (const [name, shape] of Object.entries(this.shapes)) {
      this.tensor(name).set(initialParameter(name, shape, this.config, random, options));
    }
  }

  // All tensors of a checkpoint, {name: {shape, data}}
  /** @type {(block?: number) => Record<string, {shape: number[], data: Float32Array}>} */
  stateDict(block = this.parameters) {
    const entries = Object.entries(this.shapes).map(([name, shape]) => [
      name,
      { shape, data: this.tensor(name, block).slice() },
    ]);
    const shape = [1, this.imageTokens, this.config.hiddenSize];
    return Object.fromEntries([...entries, ["pos_embed", { shape, data: this.positions }]]);
  }

  // The model's answer, as x.
  // x: batch * C * H * W numbers; t, y: a time step and `maxWords` labels for each sample.  steer,
  // if given, may overrule what adaLN reads off c: it is called with `vectors()` before the blocks
  // run.
  /** @type {(x: ArrayLike<number>, t: ArrayLike<number>, y: ArrayLike<number>, steer?: ((vectors: ReturnType<DiT["vectors"]>) => void) | null) => Float32Array} */
  forward(x, t, y, steer = null) {
    const { arena } = this;
    const { hiddenSize: d } = this.config;
    this.batch = t.length;
    if (this.batch > this.capacity || x.length !== this.batch * this.sampleSize) {
      throw new Error(
        `DiT.forward: x has ${x.length} numbers for ${this.batch} time steps, expected ` +
          `${this.sampleSize} for each of at most ${this.capacity} samples`,
      );
    }
    this.labels = Int32Array.from(y);
    this.embed(x, t);
    if (this.chunks) {
      arena.kernels.silu(this.conditionActive, this.condition, this.batch * d);
      this.linear(this.steering, this.conditionActive, "modulation", this.batch);
      steer?.(this.vectors());
    }
    this.mix();
    const { modulated } = this.final;
    this.linear(this.answers, modulated, "final_layer.linear", this.batch * this.tokens);
    return this.joinPatches();
  }

  // The first tokens and the condition
  embed(x, t) {
    const { arena, batch, context } = this;
    const { hiddenSize: d, maxWords } = this.config;
    const frequencies = arena.view(this.frequencies, batch * FREQUENCY_SIZE);
    for (let b = 0; b < batch; b += 1) {
      const embedding = timestepEmbedding(t[b], FREQUENCY_SIZE, 10000, this.rates);
      frequencies.set(embedding, b * FREQUENCY_SIZE);
    }
    this.linear(this.timeHidden, this.frequencies, "t_embedder.mlp.0", batch);
    arena.kernels.silu(this.timeActive, this.timeHidden, batch * d);
    this.linear(this.time, this.timeActive, "t_embedder.mlp.2", batch);
    this.embedImages(x);

    const time = arena.view(this.time, batch * d);
    const table = this.tensor(TABLE, this.weights);
    const condition = arena.view(this.condition, batch * context * d);
    const tokens = arena.view(this.firstTokens, batch * this.tokens * d);
    for (let b = 0; b < batch; b += 1) {
      const own = condition.subarray(b * context * d, (b + 1) * context * d);
      own.set(time.subarray(b * d, (b + 1) * d));
      for (let word = 0; word < maxWords; word += 1) {
        const label = this.labels[b * maxWords + word] * d;
        const row = table.subarray(label, label + d);
        if (!this.chunks) own.set(row, (1 + word) * d);
        else for (let i = 0; i < d; i += 1) own[i] += row[i] / maxWords;
      }
      if (this.tokens > this.imageTokens) { // in-context: once, before the first block
        tokens.set(own, (b * this.tokens + this.imageTokens) * d);
      }
    }
  }

  // What adaLN has read off c, to look at or to overrule: for each branch and kind the numbers of
  // a sample
  vectors() {
    const d = this.config.hiddenSize;
    const kinds = ["shift", "scale", "gate"];
    return [...this.branches, this.final].flatMap((part) =>
      kinds.filter((kind) => this.chunks && this.steers(part)[kind]).map((kind) => ({
        name: part.name ?? "final_layer",
        kind,
        of: (sample) =>
          this.arena.view(this.steers(part)[kind] + sample * this.steeringWidth * BYTES, d),
      }))
    );
  }

  // (batch, tokens, p * p * C) -> (batch, C, H, W)
  joinPatches() {
    const { batch, sampleSize } = this;
    const answers = this.arena.view(this.answers, batch * this.tokens * this.patchFeatures);
    const result = new Float32Array(batch * sampleSize);
    for (let b = 0; b < batch; b += 1) {
      const from = b * this.tokens * this.patchFeatures;
      for (let i = 0; i < sampleSize; i += 1) {
        result[b * sampleSize + i] = answers[from + this.outward[i]];
      }
    }
    return result;
  }
}

// The model among a figure's assets, for batches of `samples`.  Its width and its channels are those
// of the weights.  A figure that looks no further has weights up to the last attention: the rest
// stays 0.
/** @type {(tensors: Tensors, samples: number, config?: Partial<Config>) => DiT} */
export const trainedDiT = trained((arena, tensors, samples, config = {}) => {
  const [hiddenSize, inChannels] = tensors["x_embedder.proj.weight"].shape;
  const model = new DiT(arena, { hiddenSize, inChannels, ...config }, { capacity: samples });
  const whole = "final_layer.linear.weight" in tensors;
  model.load(whole ? tensors : { ...model.stateDict(), ...tensors });
  return model;
});
