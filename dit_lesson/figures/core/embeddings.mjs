// Time steps as vectors, as in embeddings.py.

// w_i = maxPeriod^(-i / half), in radians for each step of t
/** @type {(half: number, maxPeriod?: number) => Float64Array} */
export function frequencies(half, maxPeriod = 10000) {
  return Float64Array.from({ length: half }, (_, i) => maxPeriod ** (-i / half));
}

// [cos(t w_i), sin(t w_i)]: cos comes first
/** @type {(t: number, dim: number, maxPeriod?: number, rates?: Float64Array) => Float64Array} */
export function timestepEmbedding(
  t,
  dim,
  maxPeriod = 10000,
  rates = frequencies(dim / 2, maxPeriod),
) {
  const embedding = new Float64Array(dim);
  for (let i = 0; i < rates.length; i += 1) {
    embedding[i] = Math.cos(t * rates[i]);
    embedding[rates.length + i] = Math.sin(t * rates[i]);
  }
  return embedding;
}
