// The noise schedule of diffusion.py.

/** @import { Row } from "./arrays.mjs" */

// beta from 1e-4 to 2e-2 in equal steps; rescaled, a short schedule adds as much noise
/** @type {(numSteps: number, rescale?: boolean) => Float64Array} */
export function linearBetas(numSteps, rescale = true) {
  const factor = rescale ? 1000 / numSteps : 1;
  const slope = (2e-2 - 1e-4) / (numSteps - 1);
  return Float64Array.from({ length: numSteps }, (_, t) => factor * (1e-4 + slope * t));
}

// The share of the data's variance that is left at each step: the product of all 1 - beta
/** @type {(betas: Row) => Float64Array} */
export function alphaBar(betas) {
  let kept = 1;
  return Float64Array.from(betas, (beta) => (kept *= 1 - beta));
}
