// Softmax attention, with itself and with a context, as in attention.py.
import { mapRow, mean, sum } from "./arrays.mjs";
import { linear } from "./blocks.mjs";
/** @import { Row, Rows, Weights } from "./arrays.mjs" */
/** @typedef {{ weights: Rows[], output: Rows }} Attended the output and who looks at whom, a map a head */

/** @type {(row: Row) => Float64Array} */
export function softmax(row) {
  let top = row[0];
  for (let i = 1; i < row.length; i += 1) top = Math.max(top, row[i]);
  const exps = mapRow(row, (value) => Math.exp(value - top));
  const total = sum(exps);
  return mapRow(exps, (value) => value / total);
}

// softmax(Q Kᵀ / sqrt(d)) V in each of numHeads equal ranges of features; keys and values may be
// another sequence.  Returns the output and the weights, (numHeads, N, M).
/** @type {(queries: Rows, keys: Rows, values: Rows, numHeads?: number) => Attended} */
export function multiHeadAttention(queries, keys, values, numHeads = 1) {
  const size = queries[0].length / numHeads;
  const factor = 1 / Math.sqrt(size);
  const output = queries.map((query) => new Float64Array(query.length));
  const weights = Array.from({ length: numHeads }, (_, head) => {
    const [from, to] = [head * size, (head + 1) * size];
    return queries.map((query, n) => {
      const scores = new Float64Array(keys.length);
      for (let m = 0; m < keys.length; m += 1) {
        const key = keys[m];
        let total = 0;
        for (let i = from; i < to; i += 1) total += query[i] * key[i];
        scores[m] = total * factor;
      }
      const shares = softmax(scores);
      const mixed = output[n];
      for (let m = 0; m < keys.length; m += 1) {
        const value = values[m];
        for (let i = from; i < to; i += 1) mixed[i] += shares[m] * value[i];
      }
      return shares;
    });
  });
  return { weights, output };
}

export const MEAN = -1; // in the place of a head: the mean over all heads

// Who looks at whom in a head, or in the mean of all, (N, M)
/** @type {(attended: Attended, head: number) => Rows} */
export function sharesOf({ weights }, head) {
  const heads = head === MEAN ? weights : [weights[head]];
  return heads[0].map((row, n) => row.map((_, m) => mean(heads.map((map) => map[n][m]))));
}

// Multi-head self-attention with its projections; returns the output and who looks at whom.
/** @type {(rows: Rows, weights: Weights, numHeads: number, name?: string) => Attended} */
export function selfAttention(rows, weights, numHeads, name = "attn") {
  const all = linear(rows, weights[`${name}.qkv.weight`], weights[`${name}.qkv.bias`]);
  const width = rows[0].length;
  const part = (i) => all.map((row) => row.slice(i * width, (i + 1) * width));
  const heads = multiHeadAttention(part(0), part(1), part(2), numHeads);
  const output = linear(heads.output, weights[`${name}.proj.weight`], weights[`${name}.proj.bias`]);
  return { weights: heads.weights, output };
}

// Queries of the rows, keys and values of the context; output and who looks what up.
/** @type {(rows: Rows, context: Rows, weights: Weights, numHeads: number, name?: string) => Attended} */
export function crossAttention(rows, context, weights, numHeads, name = "cross_attn") {
  const layer = (x, part) =>
    linear(x, weights[`${name}.${part}.weight`], weights[`${name}.${part}.bias`]);
  const width = rows[0].length;
  const pairs = layer(context, "kv");
  const keys = pairs.map((row) => row.slice(0, width));
  const values = pairs.map((row) => row.slice(width));
  const heads = multiHeadAttention(layer(rows, "q"), keys, values, numHeads);
  return { weights: heads.weights, output: layer(heads.output, "proj") };
}
