// Pictures as a model sees them, as in data.py.

/** @import { Row } from "./arrays.mjs" */

// A picture of bytes in base64, as samples.py writes it, in rows from -1 (paper) to 1 (ink); each
// is unpacked once
/** @type {(text: string, width: number) => Float64Array[]} */
export function pictureOf(text, width) {
  if (!pictures.has(text)) {
    const flat = Float64Array.from(atob(text), (byte) => byte.charCodeAt(0) / 127.5 - 1);
    pictures.set(text, rowsOf(flat, width));
  }
  return pictures.get(text);
}
/** @type {Map<string, Float64Array[]>} */
const pictures = new Map();

// A flat row as rows of `width`
/** @type {(flat: Row, width: number) => Float64Array[]} */
export function rowsOf(flat, width) {
  return Array.from(
    { length: flat.length / width },
    (_, i) => Float64Array.from(flat.slice(i * width, (i + 1) * width)),
  );
}
