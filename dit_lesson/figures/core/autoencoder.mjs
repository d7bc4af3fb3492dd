// The decoder of autoencoder.py.
import { linearRow, silu } from "./blocks.mjs";
/** @import { Row, Rows, Weights } from "./arrays.mjs" */

// A 3 x 3 convolution that keeps the side, zeros around: channels one after the other in one
// array, weight rows (in channel, row, column) as `readWeights` gives them.  It is one linear
// layer on the neighbourhood of each pixel.
/** @type {(input: Float64Array, side: number, weight: Rows, bias: Row) => Float64Array} */
export function convolve(input, side, weight, bias) {
  const area = side * side;
  const wide = side + 2;
  const padded = pad(input, side);
  const output = new Float64Array(weight.length * area);
  const around = new Float64Array(weight[0].length);
  const places = Int32Array.from(around, (_, k) => {
    const [channel, row, column] = [Math.floor(k / 9), Math.floor(k / 3) % 3, k % 3];
    return (channel * wide + row) * wide + column;
  });
  for (let at = 0; at < area; at += 1) {
    const corner = Math.floor(at / side) * wide + (at % side);
    for (let k = 0; k < around.length; k += 1) around[k] = padded[corner + places[k]];
    const values = linearRow(around, weight, bias);
    for (let out = 0; out < values.length; out += 1) output[out * area + at] = values[out];
  }
  return output;
}

// Each channel with a border of zeros, one number wide
/** @type {(input: Float64Array, side: number) => Float64Array} */
function pad(input, side) {
  const wide = side + 2;
  const padded = new Float64Array((input.length / side ** 2) * wide ** 2);
  for (let row = 0; row * side < input.length; row += 1) {
    const [channel, y] = [Math.floor(row / side), row % side];
    padded.set(input.slice(row * side, (row + 1) * side), (channel * wide + y + 1) * wide + 1);
  }
  return padded;
}

// Four channels of one side become one of twice the side, as torch's PixelShuffle(2)
/** @type {(input: Row, side: number) => Float64Array} */
export function pixelShuffle(input, side) {
  const output = new Float64Array(input.length);
  for (let at = 0; at < input.length; at++) {
    const [x, y, channel] = [at % side, Math.floor(at / side) % side, Math.floor(at / side ** 2)];
    const [row, column] = [2 * y + (Math.floor(channel / 2) % 2), 2 * x + (channel % 2)];
    output[(Math.floor(channel / 4) * 2 * side + row) * 2 * side + column] = input[at];
  }
  return output;
}

// The decoder of autoencoder.py: a standardised latent, channels one after the other, to pixels
/** @type {(latent: Row, side: number, weights: Weights) => Float64Array} */
export function decodeLatent(latent, side, weights) {
  const area = side * side;
  const layer = (input, size, name) =>
    convolve(input, size, weights[`decoder.${name}.weight`], weights[`decoder.${name}.bias`]);
  const scaled = Float64Array.from(latent, (value, i) => {
    const channel = Math.floor(i / area);
    return value * weights.latent_std[channel] + weights.latent_mean[channel];
  });
  let picture = layer(scaled, side, 0);
  for (let name = 2; `decoder.${name}.weight` in weights; name += 3) {
    picture = pixelShuffle(layer(silu(picture), side, name), side);
    side *= 2;
  }
  return picture;
}
