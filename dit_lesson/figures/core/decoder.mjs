// The decoder of autoencoder.py on flat arrays: standardised latents to pictures.
//
// A feature map lies as rows of pixels, channels side by side; a 3 x 3 convolution is one linear
// layer on the neighbourhood of each pixel, gathered into rows (channel, row, column).
import { trained } from "./trained.mjs";
/** @import { Arena } from "./arena.mjs" */
/** @import { Tensors } from "./safetensors.mjs" */

export class Decoder {
  // tensors: {name: {shape, data}} of the autoencoder; capacity: latents at a time
  /** @param {Arena} arena @param {Record<string, {shape: number[], data: ArrayLike<number>}>} tensors @param {{side?: number, capacity?: number}} options */
  constructor(arena, tensors, { side = 4, capacity = 10 } = {}) {
    this.arena = arena;
    this.capacity = capacity;
    this.mean = tensors.latent_mean.data;
    this.std = tensors.latent_std.data;
    this.layers = [];
    for (let number = 0; `decoder.${number}.weight` in tensors; number += number ? 3 : 2) {
      const { shape: [outputs, channels], data } = tensors[`decoder.${number}.weight`];
      const bias = tensors[`decoder.${number}.bias`].data;
      const layer = {
        outputs,
        channels,
        side,
        weight: arena.take(data.length),
        bias: arena.take(outputs),
        places: neighbours(side, channels),
      };
      arena.view(layer.weight, data.length).set(data);
      arena.view(layer.bias, outputs).set(bias);
      arena.reserve(outputs);
      this.layers.push(layer);
      if (number) side *= 2; // the pixel shuffle
    }
    this.pictureSide = side;
    const largest = (size) => capacity * Math.max(...this.layers.map((l) => l.side ** 2 * size(l)));
    this.input = arena.take(largest((l) => l.channels));
    this.around = arena.take(largest((l) => 9 * l.channels));
    this.output = arena.take(largest((l) => l.outputs));
  }

  // latents: batch * C * h * w numbers, channels one after the other -> batch * H * W pixels
  /** @type {(latents: ArrayLike<number>) => Float32Array} */
  decode(latents) {
    const { arena, layers } = this;
    const [channels, area] = [layers[0].channels, layers[0].side ** 2];
    const batch = latents.length / (channels * area);
    if (!Number.isInteger(batch) || batch > this.capacity) {
      throw new Error(
        `Decoder.decode: latents has ${latents.length} numbers, expected ${channels * area} for ` +
          `each of at most ${this.capacity} latents`,
      );
    }
    const input = arena.view(this.input, latents.length);
    for (let i = 0; i < latents.length; i += 1) {
      const [b, channel, pixel] = [
        Math.floor(i / (channels * area)),
        Math.floor(i / area) % channels,
        i % area,
      ];
      input[(b * area + pixel) * channels + channel] = latents[i] * this.std[channel] +
        this.mean[channel];
    }
    layers.forEach((layer, number) => {
      const pixels = batch * layer.side ** 2;
      if (number) arena.kernels.silu(this.input, this.input, pixels * layer.channels);
      this.convolve(layer, batch);
      const output = arena.view(this.output, pixels * layer.outputs);
      const next = arena.view(this.input, output.length);
      if (number) shuffle(next, output, layer.side, layer.outputs, batch);
      else next.set(output);
    });
    return arena.view(this.input, batch * this.pictureSide ** 2).slice();
  }

  convolve({ outputs, channels, side, weight, bias, places }, batch) {
    const { arena } = this;
    const [map, row] = [side * side * channels, 9 * channels];
    const input = arena.view(this.input, batch * map);
    const around = arena.view(this.around, batch * 9 * map);
    for (let b = 0; b < batch; b += 1) {
      for (let i = 0; i < places.length; i += 1) {
        around[b * places.length + i] = places[i] < 0 ? 0 : input[b * map + places[i]];
      }
    }
    arena.matmul(
      this.output,
      outputs,
      this.around,
      row,
      1,
      weight,
      1,
      row,
      bias,
      0,
      batch * side * side,
      outputs,
      row,
    );
  }
}

// The decoder among a figure's assets, of latents of `side` x `side` places, `pictures` at a time
/** @type {(tensors: Tensors, side: number, pictures?: number) => Decoder} */
export const trainedDecoder = trained((arena, tensors, side, pictures = 1) =>
  new Decoder(arena, tensors, { side, capacity: pictures })
);

// For each pixel the places of its 3 x 3 neighbourhood in all channels; -1 is outside
function neighbours(side, channels) {
  return Int32Array.from({ length: side * side * channels * 9 }, (_, i) => {
    const [pixel, channel, k] = [
      Math.floor(i / (9 * channels)),
      Math.floor(i / 9) % channels,
      i % 9,
    ];
    const [x, y] = [pixel % side + (k % 3) - 1, Math.floor(pixel / side) + Math.floor(k / 3) - 1];
    return x < 0 || y < 0 || x >= side || y >= side ? -1 : (y * side + x) * channels + channel;
  });
}

// Four channels become the four pixels of a 2 x 2 square, as torch's PixelShuffle(2)
function shuffle(to, from, side, outputs, batch) {
  const channels = outputs / 4;
  let at = 0;
  for (let b = 0; b < batch; b += 1) {
    for (let pixel = 0; pixel < side * side; pixel += 1) {
      const [x, y] = [pixel % side, Math.floor(pixel / side)];
      for (let output = 0; output < outputs; output += 1, at += 1) {
        const [row, column] = [2 * y + ((output >> 1) & 1), 2 * x + (output & 1)];
        to[((b * 2 * side + row) * 2 * side + column) * channels + (output >> 2)] = from[at];
      }
    }
  }
}
