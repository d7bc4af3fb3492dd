// What is made of the tensors among a figure's assets: once, in an arena of its own.
import { Arena } from "./arena.mjs";
/** @import { Tensors } from "./safetensors.mjs" */

/** @template M @param {(arena: Arena, tensors: Tensors, ...sizes: any[]) => M} make @returns {(tensors: Tensors, ...sizes: any[]) => M} */
export function trained(make) {
  const made = new WeakMap();
  return (tensors, ...sizes) => {
    if (!made.has(tensors)) made.set(tensors, make(Arena.now(), tensors, ...sizes));
    return made.get(tensors);
  };
}
