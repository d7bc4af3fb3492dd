// Softmax self-attention, as in attention.py.
import { mapRow, sum } from "./arrays.mjs";
import { linear } from "./blocks.mjs";
/** @import { Row, Rows, Weights } from "./arrays.mjs" */

/** @type {(row: Row) => Float64Array} */
export function softmax(row) {
  let top = row[0];
  for (let i = 1; i < row.length; i += 1) top = Math.max(top, row[i]);
  const exps = mapRow(row, (value) => Math.exp(value - top));
  const total = sum(exps);
  return mapRow(exps, (value) => value / total);
}

// softmax(Q Kᵀ / sqrt(d)) V in each of numHeads equal ranges of features
/** @type {(queries: Rows, keys: Rows, values: Rows, numHeads?: number) => Rows} */
export function multiHeadAttention(queries, keys, values, numHeads = 1) {
  const size = queries[0].length / numHeads;
  const factor = 1 / Math.sqrt(size);
  const dot = (a, b, from) => {
    let total = 0;
    for (let i = from; i < from + size; i += 1) total += a[i] * b[i];
    return total;
  };
  return queries.map((query) => {
    const mixed = new Float64Array(query.length);
    for (let from = 0; from < query.length; from += size) {
      const shares = softmax(keys.map((key) => factor * dot(query, key, from)));
      for (let m = 0; m < keys.length; m += 1) {
        for (let i = from; i < from + size; i += 1) mixed[i] += shares[m] * values[m][i];
      }
    }
    return mixed;
  });
}

// Multi-head self-attention with its projections
/** @type {(rows: Rows, weights: Weights, numHeads: number) => Rows} */
export function selfAttention(rows, weights, numHeads) {
  const all = linear(rows, weights["attn.qkv.weight"], weights["attn.qkv.bias"]);
  const width = rows[0].length;
  const part = (i) => all.map((row) => row.slice(i * width, (i + 1) * width));
  const heads = multiHeadAttention(part(0), part(1), part(2), numHeads);
  return linear(heads, weights["attn.proj.weight"], weights["attn.proj.bias"]);
}
