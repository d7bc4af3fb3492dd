// Packed weights, as samples.py packs them: a safetensors file whose numbers are float16, or
// int8 with a step for each tensor.

/** @import { Weights } from "./arrays.mjs" */

const LITTLE_ENDIAN = true;

// A float16 given by its 16 bits: finite numbers only, as weights are
/** @type {(bits: number) => number} */
export function halfFloat(bits) {
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
  const size = exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction;
  return bits & 32768 ? -size : size;
}

// The tensors of a file by name: a vector for one axis, else rows, with all further axes side by
// side
/** @type {(bytes: Uint8Array) => Weights} */
export function readWeights(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = 8 + Number(view.getBigUint64(0, LITTLE_ENDIAN));
  const { __metadata__: metadata, ...header } = JSON.parse(
    new TextDecoder().decode(bytes.subarray(8, start)),
  );
  const steps = JSON.parse(metadata?.steps ?? "{}");
  return Object.fromEntries(
    Object.entries(header).map(([name, { dtype, shape, data_offsets: [from, to] }]) => {
      const read = {
        F16: (i) => halfFloat(view.getUint16(start + from + 2 * i, LITTLE_ENDIAN)),
        I8: (i) => steps[name] * view.getInt8(start + from + i),
      }[dtype];
      const length = dtype === "F16" ? (to - from) / 2 : to - from;
      const numbers = Float64Array.from({ length }, (_, i) => read(i));
      const width = length / shape[0];
      const row = (_, i) => numbers.subarray(i * width, (i + 1) * width);
      return [name, shape.length === 1 ? numbers : Array.from({ length: shape[0] }, row)];
    }),
  );
}
