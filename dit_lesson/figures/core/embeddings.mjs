// Time steps as vectors, as in embeddings.py.

// [cos(t w_i), sin(t w_i)], w_i = maxPeriod^(-i / (dim / 2)): cos comes first
/** @type {(t: number, dim: number, maxPeriod?: number) => Float64Array} */
export function timestepEmbedding(t, dim, maxPeriod = 10000) {
  const half = dim / 2;
  return Float64Array.from({ length: dim }, (_, i) => {
    const angle = t * maxPeriod ** (-(i % half) / half);
    return i < half ? Math.cos(angle) : Math.sin(angle);
  });
}
