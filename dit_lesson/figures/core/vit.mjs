// The ViT of models.py on flat arrays, over the kernels: it names the digit that it sees.
import { trained } from "./trained.mjs";
import { Transformer } from "./transformer.mjs";
/** @import { Arena } from "./arena.mjs" */
/** @import { Config } from "./parameters.mjs" */
/** @import { Tensors } from "./safetensors.mjs" */

export class ViT extends Transformer {
  // tensors: of its checkpoint; config: what their shapes do not say
  /** @param {Arena} arena @param {Tensors} tensors @param {Partial<Config>} config */
  constructor(arena, tensors, config) {
    const [hiddenSize, inChannels, patchSize] = tensors["x_embedder.proj.weight"].shape;
    const { pos_embed: _, ...learned } = tensors;
    const shapes = Object.entries(learned).map(([name, { shape }]) => [name, shape]);
    super(
      arena,
      { mlpRatio: 4, ...config, hiddenSize, inChannels, patchSize },
      Object.fromEntries(shapes),
      { norm: "norm", capacity: 1, before: 1 },
    );
    this.classes = this.layers.head.outputs;
    this.logits = arena.take(this.classes);
    this.load(tensors);
  }

  // p of each class for one image (C, H, W): CLS, the first token, is read
  /** @type {(image: ArrayLike<number>) => Float32Array} */
  probabilities(image) {
    const { arena, classes, logits } = this;
    this.batch = 1;
    this.embedImages(image);
    arena.view(this.firstTokens, this.config.hiddenSize).set(this.tensor("cls_token"));
    this.mix();
    this.linear(logits, this.final.modulated, "head", 1);
    arena.kernels.softmax(logits, 1, classes, 1);
    return arena.view(logits, classes).slice();
  }
}

/** @type {(tensors: Tensors, config: Partial<Config>) => ViT} */
export const trainedViT = trained((arena, tensors, config) => new ViT(arena, tensors, config));
