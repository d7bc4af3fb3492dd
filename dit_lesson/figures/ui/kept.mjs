// Weights that a reader's own run has learned: kept in this browser, and sent nowhere.
import { readTensors } from "../core/safetensors.mjs";
/** @import { Tensors } from "../core/safetensors.mjs" */

const KEY = "dit-weights";
const PIECE = 3 * 2 ** 13; // bytes: threes, since base64 has four letters for them

// Keeps a safetensors file in the place of the one before; false if the browser keeps nothing
/** @type {(bytes: Uint8Array) => boolean} */
export function keep(bytes) {
  const pieces = [];
  for (let at = 0; at < bytes.length; at += PIECE) {
    pieces.push(btoa(String.fromCharCode(...bytes.subarray(at, at + PIECE))));
  }
  try {
    localStorage.setItem(KEY, pieces.join(""));
    return true;
  } catch { // blocked, or full
    return false;
  }
}

// What is kept, read once; nothing, if it is no such file
let read = { text: null, weights: undefined };
/** @type {() => Tensors | undefined} */
export function kept() {
  let text = null;
  try {
    text = localStorage.getItem(KEY);
  } catch { // blocked
  }
  if (text !== read.text) {
    read = { text, weights: undefined };
    try {
      if (text) read.weights = readTensors(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));
    } catch { // cut off, or another page's
    }
  }
  return read.weights;
}
