// Sinusoidal position embeddings, as in positions.py.
import { timestepEmbedding } from "./embeddings.mjs";

// [sin(m w_i), cos(m w_i)] for a position m: the two halves of timestepEmbedding, swapped
/** @type {(position: number, dim: number, maxPeriod?: number) => Float64Array} */
export function positionEmbedding(position, dim, maxPeriod = 10000) {
  const other = timestepEmbedding(position, dim, maxPeriod);
  const embedding = new Float64Array(dim);
  embedding.set(other.subarray(dim / 2));
  embedding.set(other.subarray(0, dim / 2), dim / 2);
  return embedding;
}

// (rows * columns, dim), row by row: the column's embedding first, then the row's
/** @type {(rows: number, columns: number, dim: number, maxPeriod?: number) => Float64Array[]} */
export function gridEmbedding(rows, columns, dim, maxPeriod = 10000) {
  const axis = (length) =>
    Array.from({ length }, (_, m) => positionEmbedding(m, dim / 2, maxPeriod));
  const [down, across] = [axis(rows), axis(columns)];
  return down.flatMap((y) =>
    across.map((x) => {
      const embedding = new Float64Array(dim);
      embedding.set(x);
      embedding.set(y, dim / 2);
      return embedding;
    })
  );
}
