// The parameters of a DiT: their names and shapes as in the checkpoints, where they lie, and what
// they are at the start, as in models.py.
/** @import { Random } from "./random.mjs" */

/** @typedef {{inputSize: number, patchSize: number, inChannels: number, hiddenSize: number, depth: number, numHeads: number, mlpRatio: number, numClasses: number, maxWords: number, conditioning: string}} Config */

// How each design lets time and label in, as in models.py: how often they stand in the sequence, how
// many layers of a block look them up, how many vectors c makes for a block and for the final layer,
// and whether these start at zero
/** @type {Record<string, {inSequence: number, lookedUp: number, modulation: number, finalModulation: number, zeroInit: boolean}>} */
export const DESIGNS = {
  "in-context": { inSequence: 1, lookedUp: 0, modulation: 0, finalModulation: 0, zeroInit: false },
  "cross-attention": {
    inSequence: 0,
    lookedUp: 1,
    modulation: 0,
    finalModulation: 0,
    zeroInit: false,
  },
  adaln: { inSequence: 0, lookedUp: 0, modulation: 4, finalModulation: 2, zeroInit: false },
  "adaln-zero": { inSequence: 0, lookedUp: 0, modulation: 6, finalModulation: 2, zeroInit: true },
};
export const FREQUENCY_SIZE = 256;
export const TABLE = "y_embedder.embedding_table.weight";

// The branches of a block in their order, and the layer norm before each where it is learned
export const NORMS = { attn: "norm1", cross_attn: "norm_cross", mlp: "norm2" };

// DiTConfig's fields in JavaScript's spelling, at the size that learns digits in a page
/** @type {Config} */
export const CONFIG = {
  inputSize: 4,
  patchSize: 1,
  inChannels: 8,
  hiddenSize: 64,
  depth: 3,
  numHeads: 4,
  mlpRatio: 4,
  numClasses: 10,
  maxWords: 1, // labels of a sample: the class, or the words of a caption
  conditioning: "adaln-zero",
};

// Vectors that a block reads off c: shift and scale twice, with a gate in adaLN-Zero
/** @type {(config: Partial<Config>) => number} */
export function chunksOf({ conditioning }) {
  return DESIGNS[conditioning]?.modulation ?? 0;
}

/** @type {(config: Partial<Config>) => string[]} */
export function branchesOf({ conditioning }) {
  return Object.keys(NORMS).filter((name) =>
    name !== "cross_attn" || DESIGNS[conditioning]?.lookedUp
  );
}

/** @type {(config: Config) => void} */
export function requireConfig(config) {
  const { conditioning, hiddenSize, numHeads, inputSize, patchSize } = config;
  const designs = Object.keys(DESIGNS);
  if (!designs.includes(conditioning)) {
    throw new Error(`DiT: conditioning is ${conditioning}, expected one of ${designs.join(", ")}`);
  }
  if (hiddenSize % 4 || hiddenSize % numHeads) {
    throw new Error(
      `DiT: hiddenSize is ${hiddenSize}, expected a multiple of 4 and of numHeads ${numHeads}`,
    );
  }
  if (inputSize % patchSize) {
    throw new Error(`DiT: inputSize ${inputSize} is not a multiple of patchSize ${patchSize}`);
  }
}

// The shape of each parameter by its name, in the order in which they lie in memory.  The
// modulations of all blocks and of the final layer come last and side by side, weights before
// biases, so that one product computes them all.
/** @type {(config: Config) => Record<string, number[]>} */
export function parameterShapes(config) {
  const { hiddenSize: d, depth, patchSize: p, inChannels, mlpRatio, numClasses } = config;
  /** @type {Record<string, number[]>} */
  const shapes = {};
  const layer = (name, outputs, ...inputs) => {
    shapes[`${name}.weight`] = [outputs, ...inputs];
    shapes[`${name}.bias`] = [outputs];
  };
  const chunks = chunksOf(config);
  layer("x_embedder.proj", d, inChannels, p, p);
  layer("t_embedder.mlp.0", d, FREQUENCY_SIZE);
  layer("t_embedder.mlp.2", d, d);
  shapes[TABLE] = [numClasses + 1, d];
  for (let i = 0; i < depth; i += 1) {
    const block = `blocks.${i}`;
    for (const branch of branchesOf(config)) {
      if (!chunks) layer(`${block}.${NORMS[branch]}`, d);
      if (branch === "mlp") {
        layer(`${block}.mlp.fc1`, mlpRatio * d, d);
        layer(`${block}.mlp.fc2`, d, mlpRatio * d);
      } else {
        if (branch === "attn") layer(`${block}.attn.qkv`, 3 * d, d);
        if (branch === "cross_attn") layer(`${block}.cross_attn.q`, d, d);
        if (branch === "cross_attn") layer(`${block}.cross_attn.kv`, 2 * d, d);
        layer(`${block}.${branch}.proj`, d, d);
      }
    }
  }
  if (!chunks) layer("final_layer.norm_final", d);
  layer("final_layer.linear", p * p * inChannels, d);
  /** @type {[string, number][]} */
  const steered = Array.from({ length: depth }, (_, i) => [`blocks.${i}`, chunks]);
  steered.push(["final_layer", DESIGNS[config.conditioning].finalModulation]);
  for (const part of chunks ? ["weight", "bias"] : []) {
    for (const [name, vectors] of steered) {
      const shape = part === "weight" ? [vectors * d, d] : [vectors * d];
      shapes[`${name}.adaLN_modulation.1.${part}`] = shape;
    }
  }
  return shapes;
}

/** @type {(shape: number[]) => number} */
export const numel = (shape) => shape.reduce((product, length) => product * length, 1);

// What a parameter is at the start, as `DiT._initialize`: xavier-uniform weights, zero biases,
// learned norms at 1, the last layer at 0, and in adaLN-Zero the modulations too (zeroInit: false
// leaves them as in adaLN).  embeddingInit "unit" draws time and label with root mean square 1,
// "paper" with a standard deviation of 0.02.
/** @type {(name: string, shape: number[], config: Partial<Config>, random: Random, options: {embeddingInit?: string, zeroInit?: boolean}) => Float32Array} */
export function initialParameter(name, shape, config, random, options) {
  const { embeddingInit = "unit", zeroInit = true } = options;
  const values = new Float32Array(numel(shape));
  const [outputs, inputs] = [shape[0], values.length / shape[0]];
  const unit = embeddingInit === "unit";
  const normal = {
    [TABLE]: unit ? 1 : 0.02,
    "t_embedder.mlp.0.weight": unit ? (2 / inputs) ** 0.5 : 0.02,
    // SiLU takes N(0, 1) to mean square 0.356
    "t_embedder.mlp.2.weight": unit ? (1 / (0.356 * inputs)) ** 0.5 : 0.02,
  }[name];
  const shut = zeroInit && DESIGNS[config.conditioning].zeroInit && name.includes("adaLN");
  if (shape.length === 1 && name.endsWith(".weight")) return values.fill(1); // a learned norm
  if (shape.length === 1 || shut || name === "final_layer.linear.weight") return values;
  const bound = (6 / (inputs + outputs)) ** 0.5;
  return values.map(() => normal ? normal * random.normal() : bound * (2 * random.uniform() - 1));
}
