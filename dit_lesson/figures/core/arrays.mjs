// What NumPy gives the other files for nothing: rows of numbers, their sums and mixtures.

/** @typedef {number[] | Float32Array | Float64Array} Row */
/** @typedef {Row[]} Rows a matrix: an array of rows */
/** @typedef {Record<string, any>} Weights tensors by their names in the checkpoints; rows in torch's layout */

// A row's values through f(value, index); like all loops here by index, since Float64Array.from
// and the iterators of typed arrays are far slower.
/** @type {(row: Row, f: (value: number, i: number) => number) => Float64Array} */
export function mapRow(row, f) {
  const result = new Float64Array(row.length);
  for (let i = 0; i < row.length; i += 1) result[i] = f(row[i], i);
  return result;
}

/** @type {(row: Row) => number} */
export function sum(row) {
  let total = 0;
  for (let i = 0; i < row.length; i += 1) total += row[i];
  return total;
}

/** @type {(row: Row) => number} */
export function mean(row) {
  return sum(row) / row.length;
}

// Standard deviation with 1/n, as layer norm uses it.
/** @type {(row: Row) => number} */
export function std(row) {
  const centre = mean(row);
  let total = 0;
  for (let i = 0; i < row.length; i += 1) total += (row[i] - centre) * (row[i] - centre);
  return Math.sqrt(total / row.length);
}

/** @type {(row: Row) => number} */
export function rootMeanSquare(row) {
  let total = 0;
  for (let i = 0; i < row.length; i += 1) total += row[i] * row[i];
  return Math.sqrt(total / row.length);
}

// a x + b y for two matrices
/** @type {(a: number, x: Rows, b: number, y: Rows) => Rows} */
export function mix(a, x, b, y) {
  return x.map((row, n) => mapRow(row, (value, i) => a * value + b * y[n][i]));
}
