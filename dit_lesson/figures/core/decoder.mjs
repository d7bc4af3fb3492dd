// The decoder of autoencoder.py on flat arrays: standardised latents to pictures.
import { Convolutions } from "./convolutions.mjs";
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
    const layers = [];
    for (let number = 0; `decoder.${number}.weight` in tensors; number += number ? 3 : 2) {
      const [weight, bias] = ["weight", "bias"].map((part) => tensors[`decoder.${number}.${part}`]);
      layers.push({ weight, bias, side });
      if (number) side *= 2; // the pixel shuffle
    }
    this.pictureSide = side;
    this.convolutions = new Convolutions(arena, capacity, layers);
  }

  // latents: batch * C * h * w numbers, channels one after the other -> batch * H * W pixels
  /** @type {(latents: ArrayLike<number>) => Float32Array} */
  decode(latents) {
    const { arena, convolutions } = this;
    const { layers } = convolutions;
    const [channels, area] = [layers[0].channels, layers[0].side ** 2];
    const batch = latents.length / (channels * area);
    if (!Number.isInteger(batch) || batch > this.capacity) {
      throw new Error(
        `Decoder.decode: latents has ${latents.length} numbers, expected ${channels * area} for ` +
          `each of at most ${this.capacity} latents`,
      );
    }
    const input = convolutions.view(latents.length);
    for (let i = 0; i < latents.length; i += 1) {
      const [b, channel, pixel] = [
        Math.floor(i / (channels * area)),
        Math.floor(i / area) % channels,
        i % area,
      ];
      input[(b * area + pixel) * channels + channel] = latents[i] * this.std[channel] +
        this.mean[channel];
    }
    layers.forEach(({ side, channels, outputs }, number) => {
      const at = convolutions.input;
      if (number) arena.kernels.silu(at, at, batch * side ** 2 * channels);
      const output = convolutions.apply(number, batch);
      const next = convolutions.view(output.length);
      if (number) shuffle(next, output, side, outputs, batch);
      else next.set(output);
    });
    return convolutions.view(batch * this.pictureSide ** 2).slice();
  }
}

// The decoder among a figure's assets, of latents of `side` x `side` places, `pictures` at a time
/** @type {(tensors: Tensors, side: number, pictures?: number) => Decoder} */
export const trainedDecoder = trained((arena, tensors, side, pictures = 1) =>
  new Decoder(arena, tensors, { side, capacity: pictures })
);

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
