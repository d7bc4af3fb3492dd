// The judge of evaluation.py, which reads painted digits.
import { Convolutions } from "./convolutions.mjs";
/** @import { Arena } from "./arena.mjs" */
/** @import { Tensors } from "./safetensors.mjs" */

const STRIDES = [2, 1, 2, 2];

export class Judge {
  // tensors: `0.weight` to `5.bias` as training_assets.py packs them: four convolutions and, as
  // convolutions over all that is left of the map, two linear layers; capacity: pictures at a time
  /** @param {Arena} arena @param {Tensors} tensors @param {{side?: number, capacity?: number}} options */
  constructor(arena, tensors, { side = 32, capacity = 10 } = {}) {
    this.capacity = capacity;
    this.area = side ** 2;
    const layers = [];
    for (let number = 0; `${number}.weight` in tensors; number += 1) {
      const [weight, bias] = ["weight", "bias"].map((part) => tensors[`${number}.${part}`]);
      const stride = STRIDES[number];
      layers.push(stride ? { weight, bias, side, stride } : { weight, bias, side, padding: 0 });
      side = stride ? side / stride : 1;
    }
    this.convolutions = new Convolutions(arena, capacity, layers);
  }

  // pictures: batch * 32 * 32 pixels -> a logit for each class, picture by picture
  /** @type {(pictures: ArrayLike<number>) => Float32Array} */
  logits(pictures) {
    const { area, capacity, convolutions } = this;
    const batch = pictures.length / area;
    if (!Number.isInteger(batch) || batch > capacity) {
      throw new Error(
        `Judge.logits: pictures has ${pictures.length} numbers, expected ${area} for each of at ` +
          `most ${capacity} pictures`,
      );
    }
    convolutions.view(pictures.length).set(pictures);
    const last = convolutions.layers.length - 1;
    for (let number = 0; number < last; number += 1) {
      const answer = convolutions.apply(number, batch);
      const next = convolutions.view(answer.length);
      for (let i = 0; i < answer.length; i += 1) next[i] = Math.max(0, answer[i]);
    }
    return convolutions.apply(last, batch).slice();
  }

  // The class that it reads in each picture
  /** @type {(pictures: ArrayLike<number>) => number[]} */
  read(pictures) {
    const logits = this.logits(pictures);
    const classes = logits.length / (pictures.length / this.area);
    return Array.from({ length: logits.length / classes }, (_, b) => {
      const row = logits.subarray(b * classes, (b + 1) * classes);
      return row.indexOf(Math.max(...row));
    });
  }
}
