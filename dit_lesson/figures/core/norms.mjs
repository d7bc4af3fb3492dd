// Layer norm and what steers it, as in norms.py.
import { mapRow, mean, std } from "./arrays.mjs";
/** @import { Row, Rows } from "./arrays.mjs" */

// (x - mean) / sqrt(var + eps), each row by itself
/** @type {(rows: Rows, eps?: number) => Rows} */
export function layerNorm(rows, eps = 1e-6) {
  return rows.map((row) => {
    const centre = mean(row);
    const scale = 1 / Math.sqrt(std(row) ** 2 + eps);
    return mapRow(row, (value) => (value - centre) * scale);
  });
}

// x * (1 + scale) + shift, the same vectors for every row
/** @type {(rows: Rows, shift: Row, scale: Row) => Rows} */
export function modulate(rows, shift, scale) {
  return rows.map((row) => mapRow(row, (value, i) => value * (1 + scale[i]) + shift[i]));
}
