// The trained DiT and the decoder among a figure's assets, ready to be asked.
import { Arena } from "./arena.mjs";
import { tensors } from "./checkpoints.mjs";
import { Decoder } from "./decoder.mjs";
import { DiT } from "./dit.mjs";
/** @import { Weights } from "./arrays.mjs" */

// What was made of some weights, once
function once(make) {
  const made = new WeakMap();
  return (weights, ...sizes) => {
    if (!made.has(weights)) made.set(weights, make(weights, ...sizes));
    return made.get(weights);
  };
}

// Of latents of `side` x `side` places, `pictures` at a time
/** @type {(weights: Weights, side: number, pictures?: number) => Decoder} */
export const trainedDecoder = once((weights, side, pictures = 1) =>
  new Decoder(Arena.now(), tensors(weights), { side, capacity: pictures })
);

// For batches of `samples`; a patch is one place of the latent, width and channels are the weights'
/** @type {(weights: Weights, samples: number) => DiT} */
export const trainedDiT = once((weights, samples) => {
  const { length: hiddenSize, 0: { length: inChannels } } = /** @type {any} */ (
    weights["x_embedder.proj.weight"]
  );
  const model = new DiT(Arena.now(), { hiddenSize, inChannels }, { capacity: samples });
  model.load(tensors(weights));
  return model;
});
