// Files of tensors in the format safetensors: what assets.py packs, and what `load_model` reads.

/** @typedef {Record<string, {shape: number[], data: Float32Array}>} Tensors */

// A float16 given by its 16 bits: finite numbers only, as weights are
/** @type {(bits: number) => number} */
export function halfFloat(bits) {
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
  const size = exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction;
  return bits & 32768 ? -size : size;
}

// Float32 and float16 as they are; int8 and pairs of 4 bits times the tensor's step; other
// whole numbers as they are
/** @type {(bytes: Uint8Array) => Tensors} */
export function readTensors(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = 8 + Number(view.getBigUint64(0, true));
  const text = new TextDecoder().decode(bytes.subarray(8, start));
  const { __metadata__: metadata, ...header } = JSON.parse(text);
  const steps = JSON.parse(metadata?.steps ?? "{}");
  const nibbles = JSON.parse(metadata?.nibbles ?? "{}"); // the shapes of what has 4 bits
  return Object.fromEntries(
    Object.entries(header).map(([name, { dtype, shape: stored, data_offsets: [from] }]) => {
      const shape = nibbles[name] ?? stored;
      const at = start + from;
      const step = steps[name] ?? 1;
      const read = {
        F32: (i) => view.getFloat32(at + 4 * i, true),
        F16: (i) => halfFloat(view.getUint16(at + 2 * i, true)),
        I8: (i) => step * view.getInt8(at + i),
        U8: (i) => view.getUint8(at + i),
      }[dtype];
      const nibble = (i) => step * (((view.getUint8(at + (i >> 1)) >> (4 * (i & 1))) & 15) - 7.5);
      const length = shape.reduce((product, side) => product * side, 1);
      const data = Float32Array.from({ length }, (_, i) => (name in nibbles ? nibble(i) : read(i)));
      return [name, { shape, data }];
    }),
  );
}

// Row i of a tensor, with all further axes side by side
/** @type {(tensor: {shape: number[], data: Float32Array}, i: number) => Float32Array} */
export function rowOf({ shape, data }, i) {
  const width = data.length / shape[0];
  return data.subarray(i * width, (i + 1) * width);
}

// A file of float32 tensors
/** @type {(tensors: Tensors, metadata?: Record<string, string>) => Uint8Array} */
export function writeTensors(tensors, metadata = {}) {
  let end = 0;
  const header = { __metadata__: metadata };
  for (const [name, { shape, data }] of Object.entries(tensors)) {
    header[name] = { dtype: "F32", shape, data_offsets: [end, end + 4 * data.length] };
    end += 4 * data.length;
  }
  const text = JSON.stringify(header);
  const padded = new TextEncoder().encode(text.padEnd(8 * Math.ceil(text.length / 8))); // names are ASCII
  const bytes = new Uint8Array(8 + padded.length + end);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(padded.length), true);
  bytes.set(padded, 8);
  let at = 8 + padded.length;
  for (const { data } of Object.values(tensors)) {
    for (let i = 0; i < data.length; i += 1, at += 4) view.setFloat32(at, data[i], true);
  }
  return bytes;
}
