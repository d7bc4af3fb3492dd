// An image's tokens through blocks, on flat arrays, over the kernels: what ViT and the four designs
// of DiT share.
//
// A block is a chain of branches, x <- x + gate f(norm(x) (one + scale) + shift).  adaLN reads
// shift and scale off c, adaLN-Zero the gate too, and `one` is 1; the others have learned norms,
// where scale is the weight itself, and `one` is 0.

import { branchesOf, chunksOf, DESIGNS, NORMS, numel } from "./parameters.mjs";
/** @import { Arena } from "./arena.mjs" */
/** @import { Config } from "./parameters.mjs" */

export const BYTES = 4;

export class Transformer {
  // shapes: of the parameters by their names; before, after: tokens in front of the image's and
  // behind them; context: vectors of a condition; norm: the name of the last norm; capacity: the
  // largest batch
  /** @param {Arena} arena @param {Partial<Config>} config @param {Record<string, number[]>} shapes @param {{norm: string, capacity: number, before?: number, after?: number, context?: number}} options */
  constructor(arena, config, shapes, { norm, capacity, before = 0, after = 0, context = 0 }) {
    const { inputSize, patchSize, inChannels, hiddenSize, depth } = config;
    this.arena = arena;
    this.config = config;
    this.shapes = shapes;
    this.capacity = capacity;
    this.before = before;
    this.context = context;
    this.side = inputSize / patchSize;
    this.imageTokens = this.side ** 2;
    this.tokens = before + this.imageTokens + after;
    this.patchFeatures = inChannels * patchSize ** 2;
    this.sampleSize = inChannels * inputSize ** 2;
    this.chunks = chunksOf(config);
    const last = DESIGNS[config.conditioning]?.finalModulation ?? 0;
    this.steeringWidth = (depth * this.chunks + last) * hiddenSize; // all modulations side by side
    this.batch = 0;
    this.positions = new Float32Array(this.imageTokens * hiddenSize);
    // where each number of an image goes: features (C, p, p)
    this.inward = this.order((channel, pixel) => channel * patchSize ** 2 + pixel);
    this.takeParameters();
    this.takeActivations(norm);
  }

  // --- memory -------------------------------------------------------------------------------

  // Parameters lie in one block; gradients, moments and averages in blocks of the same layout
  takeParameters() {
    /** @type {Record<string, number>} */
    this.offsets = {};
    /** @type {Record<string, {weight: number, bias: number, outputs: number, inputs: number}>} */
    this.layers = {};
    let end = 0;
    for (const [name, shape] of Object.entries(this.shapes)) {
      this.offsets[name] = end;
      end += 4 * BYTES * Math.ceil(numel(shape) / 4);
    }
    for (const name of Object.keys(this.shapes)) {
      if (!name.endsWith(".bias")) continue;
      const layer = name.slice(0, -".bias".length);
      const shape = this.shapes[`${layer}.weight`];
      this.layers[layer] = {
        weight: this.offsets[`${layer}.weight`],
        bias: this.offsets[name],
        outputs: shape[0],
        inputs: numel(shape) / shape[0],
      };
    }
    this.parameterCount = end / BYTES;
    this.parameters = this.arena.take(this.parameterCount);
    this.weights = this.parameters; // what the forward pass reads: the parameters or an average
  }

  takeActivations(lastNorm) {
    const { arena, context } = this;
    const { hiddenSize: d, depth, numHeads, mlpRatio } = this.config;
    const take = (count) => arena.take(this.capacity * count);
    this.patches = take(this.sampleSize);
    this.embedded = take(this.imageTokens * d);
    this.condition = take(context * d); // c, or the sequence of time and labels
    this.steering = take(this.steeringWidth);
    const tokens = (width) => take(this.tokens * width);
    const norm = () => ({ normed: tokens(d), inverse: tokens(1), modulated: tokens(d) });
    // what each kind of branch holds between its first layer and its last
    const attention = (keys) => ({
      shares: tokens(numHeads * keys), // who looks at whom
      active: tokens(d),
    });
    const between = {
      attn: () => ({ hidden: tokens(3 * d), ...attention(this.tokens) }), // q, k and v
      cross_attn: () => ({
        hidden: tokens(d), // q
        pairs: take(2 * context * d), // k and v
        ...attention(context),
      }),
      mlp: () => ({
        hidden: tokens(mlpRatio * d),
        gelu: tokens(mlpRatio * d), // how much of hidden it lets through
        active: tokens(mlpRatio * d),
      }),
    };
    this.firstTokens = tokens(d);
    this.branches = [];
    for (let block = 0; block < depth; block += 1) {
      branchesOf(this.config).forEach((kind, number, { length }) => {
        const name = `blocks.${block}`;
        this.branches.push({
          ...norm(),
          kind,
          block,
          keys: kind === "cross_attn" ? context : this.tokens,
          name: `${name}.${kind}`,
          norm: `${name}.${NORMS[kind]}`,
          vector: block * this.chunks + (number * this.chunks) / length,
          ...between[kind](),
          result: tokens(d),
          tokens: tokens(d), // the stream behind the branch
        });
      });
    }
    this.final = { ...norm(), norm: lastNorm, vector: depth * this.chunks };
    const layers = Object.values(this.layers);
    arena.reserve(
      Math.max(this.tokens, context, ...layers.flatMap(({ outputs, inputs }) => [outputs, inputs])),
    );
  }

  // The numbers of a parameter, or of what lies like it in another block
  /** @type {(name: string, block?: number) => Float32Array} */
  tensor(name, block = this.parameters) {
    return this.arena.view(block + this.offsets[name], numel(this.shapes[name]));
  }

  // Takes the tensors of a checkpoint, all of them or none
  /** @type {(state: Record<string, {data: ArrayLike<number>}>) => void} */
  load(state) {
    for (const [name, shape] of Object.entries(this.shapes)) {
      const length = state[name]?.data.length;
      if (length !== numel(shape)) {
        throw new Error(
          `Transformer.load: ${name} has ${length ?? "no"} numbers, expected ${numel(shape)}`,
        );
      }
    }
    for (const name of Object.keys(this.shapes)) this.tensor(name).set(state[name].data);
    if (state.pos_embed) this.positions = Float32Array.from(state.pos_embed.data);
  }

  // --- forward ------------------------------------------------------------------------------

  // The image's tokens, patches with positions, in their place among the first
  /** @type {(images: ArrayLike<number>) => void} */
  embedImages(images) {
    const { arena, batch, sampleSize, imageTokens } = this;
    const { hiddenSize: d } = this.config;
    const patches = arena.view(this.patches, batch * sampleSize);
    for (let b = 0; b < images.length; b += sampleSize) {
      for (let i = 0; i < sampleSize; i += 1) patches[b + this.inward[i]] = images[b + i];
    }
    this.linear(this.embedded, this.patches, "x_embedder.proj", batch * imageTokens);
    const embedded = arena.view(this.embedded, batch * imageTokens * d);
    const tokens = arena.view(this.firstTokens, batch * this.tokens * d);
    for (let b = 0; b < batch; b += 1) {
      const [from, to] = [b * imageTokens * d, (b * this.tokens + this.before) * d];
      for (let i = 0; i < imageTokens * d; i += 1) {
        tokens[to + i] = embedded[from + i] + this.positions[i];
      }
    }
  }

  // All blocks and the last norm, from the first tokens to `final.modulated`
  mix() {
    const rows = this.batch * this.tokens;
    let tokens = this.firstTokens;
    for (const branch of this.branches) {
      this.modulatedNorm(tokens, branch);
      if (branch.kind === "mlp") this.mlp(branch, rows);
      else if (branch.kind === "attn") this.selfAttention(branch, rows);
      else this.crossAttention(branch, rows);
      this.addGated(branch, tokens);
      tokens = branch.tokens;
    }
    this.modulatedNorm(tokens, this.final);
  }

  // Who looked at whom in a branch, such as "blocks.0.attn", in sample 0: a map (N, M) a head
  /** @type {(name: string) => Float32Array[]} */
  looks(name) {
    const { shares, keys } = this.branches.find((branch) => branch.name === name);
    const size = this.tokens * keys;
    return Array.from(
      { length: this.config.numHeads },
      (_, head) => this.arena.view(shares + head * size * BYTES, size),
    );
  }

  modulatedNorm(tokens, part) {
    const { layerNorm, modulate } = this.arena.kernels;
    const { hiddenSize: d } = this.config;
    const { shift, scale } = this.steers(part);
    layerNorm(part.normed, part.inverse, tokens, this.batch * this.tokens, d);
    modulate(part.modulated, part.normed, shift, scale, this.chunks ? 1 : 0, ...this.groups(), d);
  }

  addGated(branch, tokens) {
    const { hiddenSize: d } = this.config;
    const { gate } = this.steers(branch);
    const { kernels } = this.arena;
    if (gate) kernels.addGated(branch.tokens, tokens, branch.result, gate, ...this.groups(), d);
    else kernels.add(branch.tokens, tokens, branch.result, this.batch * this.tokens * d);
  }

  mlp(branch, rows) {
    this.linear(branch.hidden, branch.modulated, `${branch.name}.fc1`, rows);
    const { outputs } = this.layers[`${branch.name}.fc1`];
    this.arena.kernels.gelu(branch.active, branch.gelu, branch.hidden, rows * outputs);
    this.linear(branch.result, branch.active, `${branch.name}.fc2`, rows);
  }

  selfAttention(branch, rows) {
    this.linear(branch.hidden, branch.modulated, `${branch.name}.qkv`, rows);
    this.attention(branch);
    this.linear(branch.result, branch.active, `${branch.name}.proj`, rows);
  }

  crossAttention(branch, rows) {
    this.linear(branch.hidden, branch.modulated, `${branch.name}.q`, rows);
    this.linear(branch.pairs, this.condition, `${branch.name}.kv`, this.context * this.batch);
    this.attention(branch);
    this.linear(branch.result, branch.active, `${branch.name}.proj`, rows);
  }

  // Where queries, keys and values of an attention begin, and how wide their rows are; hidden and
  // pairs are the branch's, or their gradients
  sources(branch, hidden = branch.hidden, pairs = branch.pairs) {
    const d = this.config.hiddenSize;
    const at = (start, vectors) => start + vectors * d * BYTES;
    return branch.kind === "attn"
      ? { q: hidden, k: at(hidden, 1), v: at(hidden, 2), qRow: 3 * d, kRow: 3 * d }
      : { q: hidden, k: pairs, v: at(pairs, 1), qRow: d, kRow: 2 * d };
  }

  // A = softmax(Q K^T / sqrt(size)), active = A V, for each sample and head
  attention(branch) {
    const { arena, tokens: n } = this;
    const { q, k, v, qRow, kRow } = this.sources(branch);
    const { keys } = branch;
    const { hiddenSize: d, numHeads } = this.config;
    const size = d / numHeads;
    this.eachHead(
      keys,
      (query, key, share, row) =>
        arena.matmul(
          branch.shares + share,
          keys,
          q + qRow * query + row,
          qRow,
          1,
          k + kRow * key + row,
          1,
          kRow,
          0,
          0,
          n,
          keys,
          size,
        ),
    );
    arena.kernels.softmax(branch.shares, this.batch * numHeads * n, keys, size ** -0.5);
    this.eachHead(
      keys,
      (query, key, share, row) =>
        arena.matmul(
          branch.active + d * query + row,
          d,
          branch.shares + share,
          keys,
          1,
          v + kRow * key + row,
          kRow,
          1,
          0,
          0,
          n,
          size,
          keys,
        ),
    );
  }

  // Calls visit(query, key, share, row) for each sample and head: the way to the sample's first
  // query and key in rows of one number, to its shares of attention, and within a row to the head
  eachHead(keys, visit) {
    const { hiddenSize: d, numHeads } = this.config;
    for (let b = 0; b < this.batch; b += 1) {
      for (let head = 0; head < numHeads; head += 1) {
        const share = (b * numHeads + head) * this.tokens * keys;
        visit(
          b * this.tokens * BYTES,
          b * keys * BYTES,
          share * BYTES,
          head * (d / numHeads) * BYTES,
        );
      }
    }
  }

  // y = x W^T + b for `rows` rows
  linear(y, x, name, rows) {
    const { weight, bias, outputs, inputs } = this.layers[name];
    const { weights } = this;
    this.arena.matmul(
      y,
      outputs,
      x,
      inputs,
      1,
      weights + weight,
      1,
      inputs,
      weights + bias,
      0,
      rows,
      outputs,
      inputs,
    );
  }

  // Where shift, scale and gate of a branch or of the final layer are (no gate: 0), or their
  // gradients
  steers(part, steering = this.steering, parameters = this.weights) {
    if (!this.chunks) {
      const [shift, scale] = ["bias", "weight"].map((name) => this.offsets[`${part.norm}.${name}`]);
      return { shift: parameters + shift, scale: parameters + scale, gate: 0 };
    }
    const width = this.config.hiddenSize * BYTES;
    const shift = steering + part.vector * width;
    const gated = this.chunks === 6 && part !== this.final;
    return { shift, scale: shift + width, gate: gated ? shift + 2 * width : 0 };
  }

  // Which rows share their shift, scale and gate: stride from one group's vectors to the next,
  // groups, rows of a group.  adaLN has them for each sample, a learned norm for all rows.
  groups() {
    return this.chunks
      ? [this.steeringWidth, this.batch, this.tokens]
      : [0, 1, this.batch * this.tokens];
  }

  // Where each number of an image lies among the features of its tokens
  order(feature) {
    const { inputSize, patchSize: p, inChannels } = this.config;
    return Int32Array.from({ length: inChannels * inputSize ** 2 }, (_, i) => {
      const [x, y, channel] = [
        i % inputSize,
        Math.floor(i / inputSize) % inputSize,
        Math.floor(i / inputSize ** 2),
      ];
      const token = Math.floor(y / p) * this.side + Math.floor(x / p);
      return token * this.patchFeatures + feature(channel, (y % p) * p + (x % p));
    });
  }
}
