// The trained DiT and the decoder among a figure's assets, ready to be asked.
import { Arena } from "./arena.mjs";
import { tensors } from "./checkpoints.mjs";
import { Decoder } from "./decoder.mjs";
import { DiT } from "./dit.mjs";
/** @import { Weights } from "./arrays.mjs" */

const opened = new WeakMap();

// Opened once; for batches of `samples` and of `pictures`
/** @type {(assets: {dit: Weights, decoder: Weights}, samples: number, pictures: number) => {model: DiT, pictures: Decoder}} */
export function trained({ dit, decoder }, samples, pictures) {
  if (!opened.has(dit)) {
    const arena = Arena.now();
    const hiddenSize = dit["x_embedder.proj.bias"].length;
    const model = new DiT(arena, { hiddenSize }, { capacity: samples });
    model.load(tensors(dit));
    const side = model.config.inputSize;
    const made = new Decoder(arena, tensors(decoder), { side, capacity: pictures });
    opened.set(dit, { model, pictures: made });
  }
  return opened.get(dit);
}
