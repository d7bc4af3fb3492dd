// The weights of a trained model, as figures compute with them: rows of numbers.
import { readTensors } from "./safetensors.mjs";
/** @import { Weights } from "./arrays.mjs" */

// The tensors of a file by name: a vector for one axis, else rows, with all further axes side by
// side
/** @type {(bytes: Uint8Array) => Weights} */
export function readWeights(bytes) {
  return Object.fromEntries(
    Object.entries(readTensors(bytes)).map(([name, { shape, data }]) => {
      const width = data.length / shape[0];
      const row = (_, i) => data.subarray(i * width, (i + 1) * width);
      return [name, shape.length === 1 ? data : Array.from({ length: shape[0] }, row)];
    }),
  );
}

// The same as the engine takes them, flat; a convolution's row holds 3 x 3 numbers a channel
/** @type {(weights: Weights) => Record<string, {shape: number[], data: Float32Array}>} */
export function tensors(weights) {
  return Object.fromEntries(
    Object.entries(weights).map(([name, rows]) => {
      if (rows instanceof Float32Array) return [name, { shape: [rows.length], data: rows }];
      const data = new Float32Array(rows.length * rows[0].length);
      rows.forEach((row, i) => data.set(row, i * row.length));
      return [name, { shape: [rows.length, rows[0].length / 9], data }];
    }),
  );
}
