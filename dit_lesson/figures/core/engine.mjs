// What a figure needs of a DiT in the page: a model, the decoder of its latents, and digits drawn
// by them.  Training: `Run` of training.mjs; in a worker: trainer.mjs.

import { Arena } from "./arena.mjs";
import { LearningDiT } from "./backward.mjs";
import { Decoder } from "./decoder.mjs";
import { Judge } from "./evaluation.mjs";
import { guided, walk } from "./flow.mjs";

/** @import { Config } from "./parameters.mjs" */
/** @import { Prediction } from "./flow.mjs" */
/** @import { Tensors } from "./safetensors.mjs" */

export class Engine {
  // autoencoder: with `decoder.*`, `latent_mean` and `latent_std`; judge: its tensors; capacity: the
  // largest batch of the model (guidance asks it for twice as many answers as there are digits);
  // plain: without WebAssembly
  /** @param {{config?: Partial<Config>, autoencoder?: Tensors, judge?: Tensors, capacity?: number, plain?: boolean}} options */
  static async open({ config = {}, autoencoder, judge, capacity = 32, plain = false }) {
    const arena = await Arena.open({ plain });
    const model = new LearningDiT(arena, config, { capacity });
    const { side } = model;
    const decoder = autoencoder && new Decoder(arena, autoencoder, { side, capacity });
    return new Engine(arena, model, decoder, judge && new Judge(arena, judge, { capacity }));
  }

  /** @param {Arena} arena @param {LearningDiT} model @param {Decoder} [decoder] @param {Judge} [judge] */
  constructor(arena, model, decoder, judge) {
    this.arena = arena;
    this.model = model;
    this.decoder = decoder;
    this.judge = judge;
  }

  // The walk from noise to latents of the given labels, see `walk`
  /** @param {number[]} labels @param {ArrayLike<number>} noise @param {{guidance?: number, interval?: [number, number] | null, steps?: number, heun?: boolean, predicts?: Prediction}} options */
  sample(labels, noise, options = {}) {
    const { guidance = 2, interval = null, ...rest } = options;
    const { model } = this;
    const answer = (x, t, y) => model.forward(x, t, y);
    const nullClass = model.config.numClasses;
    return walk(guided(answer, labels, nullClass, guidance, interval), noise, labels.length, rest);
  }

  // Pixels from -1 (paper) to 1 (ink)
  /** @type {(latents: ArrayLike<number>) => Float32Array} */
  pictures(latents) {
    if (!this.decoder) throw new Error("Engine.pictures: opened without an autoencoder");
    return this.decoder.decode(latents);
  }
}
