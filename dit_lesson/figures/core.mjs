// The mathematics of all figures: pure functions, no page, no state.
// A matrix is an array of rows, a row is an array of numbers (typed or plain);
// a weight has torch's layout, one row for each output.  tests/test_figures_core.py
// runs every function here against NumPy and torch.

export function mean(row) {
  let sum = 0;
  for (const value of row) sum += value;
  return sum / row.length;
}

// Standard deviation with 1/n, as layer norm uses it.
export function std(row) {
  const centre = mean(row);
  let sum = 0;
  for (const value of row) sum += (value - centre) ** 2;
  return Math.sqrt(sum / row.length);
}

// (x - mean) / sqrt(var + eps), each row by itself
export function layerNorm(rows, eps = 1e-6) {
  return rows.map((row) => {
    const centre = mean(row);
    const scale = 1 / Math.sqrt(std(row) ** 2 + eps);
    return Float64Array.from(row, (value) => (value - centre) * scale);
  });
}

// x * (1 + scale) + shift, the same vectors for every row
export function modulate(rows, shift, scale) {
  return rows.map((row) => Float64Array.from(row, (value, i) => value * (1 + scale[i]) + shift[i]));
}

export function silu(row) {
  return Float64Array.from(row, (value) => value / (1 + Math.exp(-value)));
}

// The tanh form of GELU that ViT's and DiT's MLPs use.
export function gelu(row) {
  const c = Math.sqrt(2 / Math.PI);
  return Float64Array.from(row, (v) => 0.5 * v * (1 + Math.tanh(c * (v + 0.044715 * v ** 3))));
}

// x Wᵀ + b for one row
export function linearRow(row, weight, bias = null) {
  const result = new Float64Array(weight.length);
  for (let o = 0; o < weight.length; o += 1) {
    const w = weight[o];
    let sum = bias ? bias[o] : 0;
    for (let i = 0; i < row.length; i += 1) sum += w[i] * row[i];
    result[o] = sum;
  }
  return result;
}

export function linear(rows, weight, bias = null) {
  return rows.map((row) => linearRow(row, weight, bias));
}

export function add(a, b) {
  return a.map((row, n) => Float64Array.from(row, (value, i) => value + b[n][i]));
}

export function softmax(row) {
  const top = Math.max(...row);
  const exps = Float64Array.from(row, (value) => Math.exp(value - top));
  const total = exps.reduce((sum, value) => sum + value, 0);
  return exps.map((value) => value / total);
}

// softmax(Q Kᵀ / sqrt(d)) V for one head; keys and values may be another sequence
export function attention(queries, keys, values) {
  const factor = 1 / Math.sqrt(queries[0].length);
  const weights = linear(queries, keys).map((row) => softmax(row.map((value) => value * factor)));
  const output = weights.map((row) => {
    const sum = new Float64Array(values[0].length);
    row.forEach((weight, n) => values[n].forEach((value, i) => (sum[i] += weight * value)));
    return sum;
  });
  return { weights, output };
}

// Cuts each row into numHeads pieces and attends in each; returns the heads' outputs
// side by side and their weights, (numHeads, N, M).
export function multiHeadAttention(queries, keys, values, numHeads) {
  const size = queries[0].length / numHeads;
  const piece = (rows, head) => rows.map((row) => row.slice(head * size, (head + 1) * size));
  const heads = Array.from({ length: numHeads }, (_, head) =>
    attention(piece(queries, head), piece(keys, head), piece(values, head)),
  );
  const output = queries.map((_, n) => {
    const row = new Float64Array(queries[0].length);
    heads.forEach((result, head) => row.set(result.output[n], head * size));
    return row;
  });
  return { weights: heads.map((result) => result.weights), output };
}

// [cos(t w_i), sin(t w_i)], w_i = maxPeriod^(-i / (dim / 2)): cos comes first
export function timestepEmbedding(t, dim, maxPeriod = 10000) {
  const half = dim / 2;
  return Float64Array.from({ length: dim }, (_, i) => {
    const angle = t * maxPeriod ** (-(i % half) / half);
    return i < half ? Math.cos(angle) : Math.sin(angle);
  });
}

// (H, W) -> (N, p * p): row-major patches, each read row by row
export function patchify(image, patchSize) {
  const tokens = [];
  for (let top = 0; top < image.length; top += patchSize) {
    for (let left = 0; left < image[0].length; left += patchSize) {
      const token = [];
      for (let y = 0; y < patchSize; y += 1) {
        for (let x = 0; x < patchSize; x += 1) token.push(image[top + y][left + x]);
      }
      tokens.push(Float64Array.from(token));
    }
  }
  return tokens;
}
