// The layers of a block that work on each token by itself, and the gate.
import { mapRow } from "./arrays.mjs";
/** @import { Row, Rows, Weights } from "./arrays.mjs" */

/** @type {(row: Row) => Float64Array} */
export function silu(row) {
  return mapRow(row, (value) => value / (1 + Math.exp(-value)));
}

// The tanh form of GELU that ViT's and DiT's MLPs use: v (1 + tanh u) / 2 = v / (1 + exp(-2u))
/** @type {(row: Row) => Float64Array} */
export function gelu(row) {
  const c = 2 * Math.sqrt(2 / Math.PI);
  return mapRow(row, (v) => v / (1 + Math.exp(-c * (v + 0.044715 * v * v * v))));
}

// x Wᵀ + b for one row; four sums side by side, since in one each addition waits for the last
/** @type {(row: Row, weight: Rows, bias?: Row | null) => Float64Array} */
export function linearRow(row, weight, bias = null) {
  const result = new Float64Array(weight.length);
  const even = row.length - (row.length % 4);
  for (let o = 0; o < weight.length; o += 1) {
    const w = weight[o];
    let total = bias ? bias[o] : 0;
    let second = 0;
    let third = 0;
    let fourth = 0;
    for (let i = 0; i < even; i += 4) {
      total += w[i] * row[i];
      second += w[i + 1] * row[i + 1];
      third += w[i + 2] * row[i + 2];
      fourth += w[i + 3] * row[i + 3];
    }
    for (let i = even; i < row.length; i += 1) total += w[i] * row[i];
    result[o] = total + second + third + fourth;
  }
  return result;
}

/** @type {(rows: Rows, weight: Rows, bias?: Row | null) => Rows} */
export function linear(rows, weight, bias = null) {
  return rows.map((row) => linearRow(row, weight, bias));
}

// W2 GELU(W1 x + b1) + b2 for every token
/** @type {(rows: Rows, weights: Weights) => Rows} */
export function mlp(rows, weights) {
  const hidden = linear(rows, weights["mlp.fc1.weight"], weights["mlp.fc1.bias"]).map(gelu);
  return linear(hidden, weights["mlp.fc2.weight"], weights["mlp.fc2.bias"]);
}

// x + gate * branch, the same gate for every token
/** @type {(rows: Rows, branch: Rows, gate: Row) => Rows} */
export function gated(rows, branch, gate) {
  return rows.map((row, n) => mapRow(row, (value, i) => value + gate[i] * branch[n][i]));
}
