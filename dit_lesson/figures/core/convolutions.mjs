// Convolutions on flat arrays, for the decoder and the judge.
//
// A feature map lies as rows of pixels, channels side by side; a convolution is one linear layer on
// the neighbourhood of each pixel, gathered into rows (channel, row, column).
/** @import { Arena } from "./arena.mjs" */

/** @typedef {{weight: {shape: number[], data: ArrayLike<number>}, bias: {data: ArrayLike<number>}, side: number, stride?: number, padding?: number}} Layer */

export class Convolutions {
  // capacity: maps at a time; layers: their tensors, the side of the map that each reads, its
  // stride, and its padding, which keeps the side of the map unless it is given
  /** @param {Arena} arena @param {number} capacity @param {Layer[]} layers */
  constructor(arena, capacity, layers) {
    this.arena = arena;
    this.layers = layers.map(({ weight, bias, side, stride = 1, padding }) => {
      const [outputs, channels] = weight.shape;
      const kernel = Math.sqrt(weight.data.length / (outputs * channels));
      const around = padding ?? (kernel - 1) / 2;
      const outputSide = Math.floor((side + 2 * around - kernel) / stride) + 1;
      const layer = {
        outputs,
        channels,
        side,
        outputSide,
        weight: arena.take(weight.data.length),
        bias: arena.take(outputs),
        width: channels * kernel ** 2, // of a neighbourhood
        places: neighbours({ channels, kernel, side, outputSide, stride, padding: around }),
      };
      arena.view(layer.weight, weight.data.length).set(weight.data);
      arena.view(layer.bias, outputs).set(bias.data);
      arena.reserve(outputs);
      return layer;
    });
    const largest = (size) => capacity * Math.max(...this.layers.map(size));
    this.input = arena.take(largest((l) => l.channels * l.side ** 2));
    this.around = arena.take(largest((l) => l.places.length));
    this.output = arena.take(largest((l) => l.outputs * l.outputSide ** 2));
  }

  // The first numbers of what the next layer reads
  /** @type {(count: number) => Float32Array} */
  view(count) {
    return this.arena.view(this.input, count);
  }

  // A layer's answer to what lies in `input`, good until the next call
  /** @type {(number: number, batch: number) => Float32Array} */
  apply(number, batch) {
    const { arena } = this;
    const { outputs, channels, side, outputSide, weight, bias, width, places } =
      this.layers[number];
    const map = side * side * channels;
    const rows = batch * outputSide ** 2;
    const input = this.view(batch * map);
    const around = arena.view(this.around, rows * width);
    for (let b = 0; b < batch; b += 1) {
      for (let i = 0; i < places.length; i += 1) {
        around[b * places.length + i] = places[i] < 0 ? 0 : input[b * map + places[i]];
      }
    }
    arena.matmul(
      this.output,
      outputs,
      this.around,
      width,
      1,
      weight,
      1,
      width,
      bias,
      0,
      rows,
      outputs,
      width,
    );
    return arena.view(this.output, rows * outputs);
  }
}

// For each pixel of the answer the places of its neighbourhood in all channels; -1 is outside
function neighbours({ channels, kernel, side, outputSide, stride, padding }) {
  const area = kernel ** 2;
  return Int32Array.from({ length: outputSide ** 2 * channels * area }, (_, i) => {
    const [pixel, channel, k] = [
      Math.floor(i / (area * channels)),
      Math.floor(i / area) % channels,
      i % area,
    ];
    const [x, y] = [
      stride * (pixel % outputSide) + k % kernel - padding,
      stride * Math.floor(pixel / outputSide) + Math.floor(k / kernel) - padding,
    ];
    return x < 0 || y < 0 || x >= side || y >= side ? -1 : (y * side + x) * channels + channel;
  });
}
