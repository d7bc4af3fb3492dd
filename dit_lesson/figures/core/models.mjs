// The way of a shipped DiT up to its first block.
import { add, mix } from "./arrays.mjs";
import { linear, linearRow, silu } from "./blocks.mjs";
import { timestepEmbedding } from "./embeddings.mjs";
import { patchifyChannels } from "./patches.mjs";
/** @import { Row, Rows, Weights } from "./arrays.mjs" */

// What the blocks of a shipped DiT get, besides its label: a latent mixed with t / 1000 of noise on
// the straight path, as tokens with positions, one for each place, and t as a vector
/** @type {(latent: Rows[], noise: Rows[], t: number, weights: Weights) => { tokens: Rows, time: Row }} */
export function embedNoised(latent, noise, t, weights) {
  const layer = (row, name) => linearRow(row, weights[`${name}.weight`], weights[`${name}.bias`]);
  const noised = latent.map((channel, c) => mix(1 - t / 1000, channel, t / 1000, noise[c]));
  const patches = patchifyChannels(noised, 1);
  const embedded = linear(
    patches,
    weights["x_embedder.proj.weight"],
    weights["x_embedder.proj.bias"],
  );
  const width = embedded[0].length; // the file has the table of positions as one row
  const positions = embedded.map((_, n) =>
    weights.pos_embed[0].subarray(n * width, (n + 1) * width)
  );
  const time = layer(
    silu(layer(timestepEmbedding(t, 256), "t_embedder.mlp.0")),
    "t_embedder.mlp.2",
  );
  return { tokens: add(embedded, positions), time };
}
