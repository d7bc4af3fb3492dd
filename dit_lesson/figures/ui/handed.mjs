// The reader's own weights in the place of the book's: handed.py, and what this browser keeps.
import { readTensors } from "../core/safetensors.mjs";
import { menu } from "./controls.mjs";
import { kept } from "./kept.mjs";
/** @import { Tensors } from "../core/safetensors.mjs" */

const namesOf = (tensors) => Object.keys(tensors).filter((name) => name !== "pos_embed").sort();
/** @type {WeakMap<DataView, Tensors>} */ const read = new WeakMap(); // of what kernels gave

function given(bytes) {
  if (!read.has(bytes)) {
    const { buffer, byteOffset, byteLength } = bytes;
    read.set(bytes, readTensors(new Uint8Array(buffer, byteOffset, byteLength)));
  }
  return read.get(bytes);
}

// What the reader's own run has learned: given by a kernel, else kept in this browser, if it is such
// a model as the figure's `dit`
function ownOf({ own, dit }) {
  const weights = own ? given(own.bytes) : kept();
  return weights && dit && namesOf(weights).join() === namesOf(dit).join() ? weights : undefined;
}

// The chosen weights: the book's where there are no others
/** @type {(state: any) => Tensors} */
export const weightsOf = (state) => (state.weights === "yours" && ownOf(state)) || state.dit;

// What a sentence says of them: nothing of the book's
/** @type {(state: any) => string} */
export const whose = (state) => weightsOf(state) === state.dit ? "" : ", by your own weights";

export const weightsMenu = menu({ label: "weights", when: (state) => Boolean(ownOf(state)) });
