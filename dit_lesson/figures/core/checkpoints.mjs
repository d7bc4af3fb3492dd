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
