// Where the parameters and the multiply-accumulates of a DiT go, as in counting.py.
import { sum } from "./arrays.mjs";
import { DESIGNS } from "./parameters.mjs";
/** @typedef {{ inputSize: number, patchSize: number, hiddenSize: number, depth: number, channels?: number, conditioning?: string }} Sizes */
/** @typedef {{ parameters: number, macs: number }} Cost */

// Parameters and MACs of a DiT by part, as in the paper: r = 4, variances learned, 1000 classes
// and the null class. The parts that a design does not have are left out; see counting.py
/** @type {(sizes: Sizes) => Record<string, Cost>} */
export function ditLedger(
  { inputSize, patchSize, hiddenSize: d, depth, channels = 4, conditioning = "adaln-zero" },
) {
  const imageTokens = (inputSize / patchSize) ** 2;
  const { inSequence, lookedUp, modulation, finalModulation } = DESIGNS[conditioning];
  const cross = depth * lookedUp; // cross-attention layers
  const context = 2; // time and label
  const tokens = imageTokens + inSequence * context;
  const patch = patchSize ** 2 * channels;
  const vectors = depth * modulation + finalModulation;
  const norms = vectors ? 0 : 2 * depth + cross + 1;
  const layer = d * (d + 1);
  const ledger = {
    "patch embedding": [(patch + 1) * d, imageTokens * patch * d],
    "time embedding": [257 * d + layer, 256 * d + d ** 2],
    "label embedding": [1001 * d, 0],
    modulation: [vectors * layer, vectors * d ** 2],
    "layer norms": [norms * 2 * d, 0],
    "attention projections": [depth * 4 * layer, depth * tokens * 4 * d ** 2],
    "attention scores": [0, depth * 2 * tokens ** 2 * d],
    "cross-attention projections": [
      cross * 4 * layer,
      cross * 2 * (tokens + context) * d ** 2,
    ],
    "cross-attention scores": [0, cross * 2 * tokens * context * d],
    MLP: [depth * (8 * d ** 2 + 5 * d), depth * tokens * 8 * d ** 2],
    "final layer": [(d + 1) * 2 * patch, imageTokens * 2 * patch * d],
  };
  return Object.fromEntries(
    Object.entries(ledger)
      .filter(([, [parameters, macs]]) => parameters || macs)
      .map(([part, [parameters, macs]]) => [part, { parameters, macs }]),
  );
}

// The same in all, with the number of tokens
/** @type {(sizes: Sizes) => Cost & { tokens: number }} */
export function ditCost(sizes) {
  const costs = Object.values(ditLedger(sizes));
  const all = (quantity) => sum(costs.map((cost) => cost[quantity]));
  return {
    tokens: (sizes.inputSize / sizes.patchSize) ** 2,
    parameters: all("parameters"),
    macs: all("macs"),
  };
}
