// A DiT of any of the four designs, forward and backward: numpy_dit.py and numpy_backward.py on
// flat arrays, over the kernels.
//
// A block is a chain of branches, x <- x + gate f(norm(x) (one + scale) + shift).  adaLN reads
// shift and scale off c, adaLN-Zero the gate too, and `one` is 1; the other designs have learned
// norms, where scale is the weight itself, and `one` is 0.

import { frequencies as ratesOf, timestepEmbedding } from "./embeddings.mjs";
import {
  branchesOf,
  chunksOf,
  CONFIG,
  FREQUENCY_SIZE,
  initialParameter,
  NORMS,
  numel,
  parameterShapes,
  requireConfig,
} from "./parameters.mjs";
import { gridEmbedding } from "./positions.mjs";
/** @import { Arena } from "./arena.mjs" */
/** @import { Config } from "./parameters.mjs" */
/** @import { Random } from "./random.mjs" */

const BYTES = 4;
const TABLE = "y_embedder.embedding_table.weight";

export class DiT {
  // capacity: the largest batch; training: with room for gradients and the optimizer
  /** @param {Arena} arena @param {Partial<Config>} config @param {{capacity?: number, training?: boolean}} options */
  constructor(arena, config, { capacity = 32, training = false } = {}) {
    this.config = { ...CONFIG, ...config };
    requireConfig(this.config);
    const { inputSize, patchSize, inChannels, hiddenSize: d, depth } = this.config;
    this.arena = arena;
    this.capacity = capacity;
    this.training = training;
    this.side = inputSize / patchSize;
    this.imageTokens = this.side ** 2;
    this.tokens = this.imageTokens + (this.config.conditioning === "in-context" ? 2 : 0);
    this.patchFeatures = inChannels * patchSize ** 2;
    this.sampleSize = inChannels * inputSize ** 2;
    this.chunks = chunksOf(this.config);
    this.steeringWidth = (depth * this.chunks + 2) * d; // all modulations side by side
    this.batch = 0;
    this.rates = ratesOf(FREQUENCY_SIZE / 2);
    this.takeParameters();
    this.takeActivations();
    if (training) this.takeGradients();
    this.positions = Float32Array.from(
      gridEmbedding(this.side, this.side, d).flatMap((row) => [...row]),
    );
    // where each number of an image goes: features (C, p, p) on the way in, (p, p, C) on the way out
    this.inward = this.order((channel, pixel) => channel * patchSize ** 2 + pixel);
    this.outward = this.order((channel, pixel) => pixel * inChannels + channel);
  }

  // --- memory -------------------------------------------------------------------------------

  // Parameters lie in one block; gradients, moments and averages in blocks of the same layout
  takeParameters() {
    const { hiddenSize: d } = this.config;
    this.shapes = parameterShapes(this.config);
    /** @type {Record<string, number>} */
    this.offsets = {};
    /** @type {Record<string, {weight: number, bias: number, outputs: number, inputs: number}>} */
    this.layers = {};
    let end = 0;
    for (const [name, shape] of Object.entries(this.shapes)) {
      this.offsets[name] = end;
      end += 4 * BYTES * Math.ceil(numel(shape) / 4);
    }
    for (const [name, shape] of Object.entries(this.shapes)) {
      if (!name.endsWith(".weight") || name === TABLE) continue;
      const layer = name.slice(0, -".weight".length);
      this.layers[layer] = {
        weight: this.offsets[name],
        bias: this.offsets[`${layer}.bias`],
        outputs: shape[0],
        inputs: numel(shape) / shape[0],
      };
    }
    if (this.chunks) {
      const first = this.layers["blocks.0.adaLN_modulation.1"];
      this.layers.modulation = { ...first, outputs: this.steeringWidth, inputs: d };
    }
    this.parameterCount = end / BYTES;
    this.parameters = this.arena.take(this.parameterCount);
    this.weights = this.parameters; // what the forward pass reads: the parameters or an average
  }

  takeActivations() {
    const { arena, capacity } = this;
    const { hiddenSize: d, depth, numHeads, mlpRatio } = this.config;
    const take = (count) => arena.take(capacity * count);
    this.patches = take(this.sampleSize);
    this.embedded = take(this.imageTokens * d);
    this.frequencies = take(FREQUENCY_SIZE);
    this.timeHidden = take(d);
    this.timeActive = take(d);
    this.time = take(d);
    this.condition = take(2 * d); // c, or the sequence of time and class
    this.conditionActive = take(d);
    this.steering = take(this.steeringWidth);
    const tokens = (width) => take(this.tokens * width);
    const norm = () => ({ normed: tokens(d), inverse: tokens(1), modulated: tokens(d) });
    this.firstTokens = tokens(d);
    this.branches = [];
    for (let block = 0; block < depth; block += 1) {
      branchesOf(this.config).forEach((kind, number, { length }) => {
        const name = `blocks.${block}`;
        this.branches.push({
          ...norm(),
          kind,
          block,
          name: `${name}.${kind}`,
          norm: `${name}.${NORMS[kind]}`,
          vector: block * this.chunks + (number * this.chunks) / length,
          active: tokens((kind === "mlp" ? mlpRatio : 1) * d), // before the last layer
          hidden: tokens((kind === "mlp" ? mlpRatio : 3) * d), // behind the first layer
          gelu: tokens(kind === "mlp" ? mlpRatio * d : 0), // how much of hidden it lets through
          pairs: take(4 * d), // keys and values of the context
          shares: tokens(numHeads * Math.max(2, this.tokens)), // who looks at whom
          result: tokens(d),
          tokens: tokens(d), // the stream behind the branch
        });
      });
    }
    this.final = { ...norm(), norm: "final_layer.norm_final", vector: depth * this.chunks };
    this.answers = tokens(this.patchFeatures);
    const layers = Object.values(this.layers);
    arena.reserve(
      Math.max(this.tokens, ...layers.flatMap(({ outputs, inputs }) => [outputs, inputs])),
    );
  }

  takeGradients() {
    const { hiddenSize: d, numHeads, mlpRatio } = this.config;
    const take = (count) => this.arena.take(this.capacity * count);
    const tokens = (width) => take(this.tokens * width);
    this.gradients = this.arena.take(this.parameterCount);
    this.dAnswers = tokens(this.patchFeatures);
    this.dTokens = tokens(d);
    this.dResult = tokens(d);
    this.dModulated = tokens(d);
    this.dHidden = tokens(Math.max(3, mlpRatio) * d);
    this.dShares = tokens(numHeads * Math.max(2, this.tokens));
    this.dPairs = take(4 * d);
    this.dSteering = take(this.steeringWidth);
    this.dCondition = take(2 * d);
    this.dTime = take(d);
    this.dTimeActive = take(d);
    this.dEmbedded = take(this.imageTokens * d);
  }

  // The numbers of a parameter, or of what lies like it in another block
  /** @type {(name: string, block?: number) => Float32Array} */
  tensor(name, block = this.parameters) {
    return this.arena.view(block + this.offsets[name], numel(this.shapes[name]));
  }

  /** @type {(random: Random, options?: {embeddingInit?: string, zeroInit?: boolean}) => void} */
  initialize(random, options = {}) {
    for (const [name, shape] of Object.entries(this.shapes)) {
      this.tensor(name).set(initialParameter(name, shape, this.config, random, options));
    }
  }

  // All tensors of a checkpoint, {name: {shape, data}}
  /** @type {(block?: number) => Record<string, {shape: number[], data: Float32Array}>} */
  stateDict(block = this.parameters) {
    const entries = Object.entries(this.shapes).map(([name, shape]) => [
      name,
      { shape, data: this.tensor(name, block).slice() },
    ]);
    const shape = [1, this.imageTokens, this.config.hiddenSize];
    return Object.fromEntries([...entries, ["pos_embed", { shape, data: this.positions }]]);
  }

  // Takes the tensors of a checkpoint, all of them or none
  /** @type {(state: Record<string, {data: ArrayLike<number>}>) => void} */
  load(state) {
    for (const [name, shape] of Object.entries(this.shapes)) {
      const length = state[name]?.data.length;
      if (length !== numel(shape)) {
        throw new Error(
          `DiT.load: ${name} has ${length ?? "no"} numbers, expected ${numel(shape)}`,
        );
      }
    }
    for (const name of Object.keys(this.shapes)) this.tensor(name).set(state[name].data);
    if (state.pos_embed) this.positions = Float32Array.from(state.pos_embed.data);
  }

  // --- forward ------------------------------------------------------------------------------

  // The model's answer, as x, a view that is good until the next call.
  // x: batch * C * H * W numbers; t, y: a time step and a label for each sample.  steer, if given,
  // may overrule what adaLN reads off c: it is called with `vectors()` before the blocks run.
  /** @type {(x: ArrayLike<number>, t: ArrayLike<number>, y: ArrayLike<number>, steer?: ((vectors: ReturnType<DiT["vectors"]>) => void) | null) => Float32Array} */
  forward(x, t, y, steer = null) {
    const { arena, branches, final } = this;
    const { hiddenSize: d } = this.config;
    this.batch = t.length;
    if (this.batch > this.capacity || x.length !== this.batch * this.sampleSize) {
      throw new Error(
        `DiT.forward: x has ${x.length} numbers for ${this.batch} time steps, expected ` +
          `${this.sampleSize} for each of at most ${this.capacity} samples`,
      );
    }
    this.labels = Int32Array.from(y);
    const rows = this.batch * this.tokens;
    this.embed(x, t);
    if (this.chunks) {
      arena.kernels.silu(this.conditionActive, this.condition, this.batch * d);
      this.linear(this.steering, this.conditionActive, "modulation", this.batch);
      steer?.(this.vectors());
    }
    let tokens = this.firstTokens;
    for (const branch of branches) {
      this.modulatedNorm(tokens, branch);
      if (branch.kind === "mlp") this.mlp(branch, rows);
      else if (branch.kind === "attn") this.selfAttention(branch, rows);
      else this.crossAttention(branch, rows);
      this.addGated(branch, tokens);
      tokens = branch.tokens;
    }
    this.modulatedNorm(tokens, final);
    this.linear(this.answers, final.modulated, "final_layer.linear", rows);
    return this.joinPatches();
  }

  // Patches with positions, time and class: the first tokens and the condition
  embed(x, t) {
    const { arena, batch, sampleSize, imageTokens } = this;
    const { hiddenSize: d } = this.config;
    const patches = arena.view(this.patches, batch * sampleSize);
    for (let b = 0; b < x.length; b += sampleSize) {
      for (let i = 0; i < sampleSize; i += 1) patches[b + this.inward[i]] = x[b + i];
    }
    const frequencies = arena.view(this.frequencies, batch * FREQUENCY_SIZE);
    for (let b = 0; b < batch; b += 1) {
      const embedding = timestepEmbedding(t[b], FREQUENCY_SIZE, 10000, this.rates);
      frequencies.set(embedding, b * FREQUENCY_SIZE);
    }
    this.linear(this.timeHidden, this.frequencies, "t_embedder.mlp.0", batch);
    arena.kernels.silu(this.timeActive, this.timeHidden, batch * d);
    this.linear(this.time, this.timeActive, "t_embedder.mlp.2", batch);
    this.linear(this.embedded, this.patches, "x_embedder.proj", batch * imageTokens);

    const time = arena.view(this.time, batch * d);
    const table = this.tensor(TABLE, this.weights);
    const vectors = this.chunks ? 1 : 2; // one sum, or a sequence of two
    const condition = arena.view(this.condition, batch * vectors * d);
    const embedded = arena.view(this.embedded, batch * imageTokens * d);
    const tokens = arena.view(this.firstTokens, batch * this.tokens * d);
    for (let b = 0; b < batch; b += 1) {
      const label = this.labels[b] * d;
      for (let i = 0; i < d; i += 1) {
        const [one, other] = [time[b * d + i], table[label + i]];
        condition[b * vectors * d + i] = vectors === 1 ? one + other : one;
        if (vectors === 2) condition[(2 * b + 1) * d + i] = other;
      }
      const [from, to] = [b * imageTokens * d, b * this.tokens * d];
      for (let i = 0; i < imageTokens * d; i += 1) {
        tokens[to + i] = embedded[from + i] + this.positions[i];
      }
      if (this.tokens > imageTokens) { // in-context: once, before the first block
        tokens.set(condition.subarray(2 * b * d, 2 * (b + 1) * d), to + imageTokens * d);
      }
    }
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
    this.linear(branch.pairs, this.condition, `${branch.name}.kv`, 2 * this.batch);
    this.attention(branch);
    this.linear(branch.result, branch.active, `${branch.name}.proj`, rows);
  }

  // Where queries, keys and values of an attention begin, how wide their rows are, and how many
  // keys there are; hidden and pairs are the branch's, or their gradients
  sources(branch, hidden = branch.hidden, pairs = branch.pairs) {
    const d = this.config.hiddenSize;
    const at = (start, vectors) => start + vectors * d * BYTES;
    return branch.kind === "attn"
      ? {
        q: hidden,
        k: at(hidden, 1),
        v: at(hidden, 2),
        qRow: 3 * d,
        kRow: 3 * d,
        keys: this.tokens,
      }
      : { q: hidden, k: pairs, v: at(pairs, 1), qRow: d, kRow: 2 * d, keys: 2 };
  }

  // A = softmax(Q K^T / sqrt(size)), active = A V, for each sample and head
  attention(branch) {
    const { arena, tokens: n } = this;
    const { q, k, v, qRow, kRow, keys } = this.sources(branch);
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

  // What adaLN has read off c, to look at or to overrule: for each branch and kind the numbers of
  // a sample
  vectors() {
    const d = this.config.hiddenSize;
    const kinds = ["shift", "scale", "gate"];
    return [...this.branches, this.final].flatMap((part) =>
      kinds.filter((kind) => this.chunks && this.steers(part)[kind]).map((kind) => ({
        name: part.name ?? "final_layer",
        kind,
        of: (sample) =>
          this.arena.view(this.steers(part)[kind] + sample * this.steeringWidth * BYTES, d),
      }))
    );
  }

  // (batch, tokens, p * p * C) -> (batch, C, H, W)
  joinPatches() {
    const { batch, sampleSize } = this;
    const answers = this.arena.view(this.answers, batch * this.tokens * this.patchFeatures);
    const result = new Float32Array(batch * sampleSize);
    for (let b = 0; b < batch; b += 1) {
      const from = b * this.tokens * this.patchFeatures;
      for (let i = 0; i < sampleSize; i += 1) {
        result[b * sampleSize + i] = answers[from + this.outward[i]];
      }
    }
    return result;
  }

  // --- backward, from the last equation to the first ------------------------------------------

  // The gradients of all parameters, in the block `gradients`, from that of the last `forward`'s
  // answer
  /** @type {(grad: Float32Array) => void} */
  backward(grad) {
    const { arena, batch, final } = this;
    const { kernels } = arena;
    const d = this.config.hiddenSize;
    const rows = batch * this.tokens;
    const answers = arena.view(this.dAnswers, rows * this.patchFeatures);
    if (this.tokens > this.imageTokens) answers.fill(0); // what is not read gets no gradient
    for (let b = 0; b < batch; b += 1) {
      const to = b * this.tokens * this.patchFeatures;
      for (let i = 0; i < this.sampleSize; i += 1) {
        answers[to + this.outward[i]] = grad[b * this.sampleSize + i];
      }
    }
    arena.view(this.dTokens, rows * d).fill(0);
    arena.view(this.dCondition, 2 * batch * d).fill(0);

    this.linearBackward(
      this.dModulated,
      this.dAnswers,
      final.modulated,
      "final_layer.linear",
      rows,
    );
    this.modulatedNormBackward(final);
    for (const branch of [...this.branches].reverse()) {
      const { gate } = this.steers(branch);
      let dResult = this.dTokens;
      if (gate) {
        const { gate: dGate } = this.steers(branch, this.dSteering);
        kernels.gateBackward(
          this.dResult,
          dGate,
          this.dTokens,
          branch.result,
          gate,
          ...this.groups(),
          d,
        );
        dResult = this.dResult;
      }
      if (branch.kind === "mlp") this.mlpBackward(dResult, branch, rows);
      else this.attentionBranchBackward(dResult, branch, rows);
      this.modulatedNormBackward(branch);
    }
    if (this.chunks) {
      this.linearBackward(
        this.dCondition,
        this.dSteering,
        this.conditionActive,
        "modulation",
        batch,
      );
      kernels.siluBackward(this.dCondition, this.dCondition, this.condition, batch * d);
    }
    this.embedBackward();
  }

  // dTokens gets what came back through the norm, beside what the residual hands on
  modulatedNormBackward(part) {
    const { kernels } = this.arena;
    const d = this.config.hiddenSize;
    const { scale } = this.steers(part);
    const { shift: dShift, scale: dScale } = this.steers(part, this.dSteering, this.gradients);
    const one = this.chunks ? 1 : 0;
    kernels.modulateBackward(
      this.dModulated,
      dShift,
      dScale,
      part.normed,
      scale,
      one,
      ...this.groups(),
      d,
    );
    kernels.layerNormBackward(
      this.dTokens,
      this.dModulated,
      part.normed,
      part.inverse,
      this.batch * this.tokens,
      d,
    );
  }

  mlpBackward(dResult, branch, rows) {
    const { outputs } = this.layers[`${branch.name}.fc1`];
    this.linearBackward(this.dHidden, dResult, branch.active, `${branch.name}.fc2`, rows);
    this.arena.kernels.geluBackward(
      this.dHidden,
      this.dHidden,
      branch.gelu,
      branch.hidden,
      rows * outputs,
    );
    this.linearBackward(
      this.dModulated,
      this.dHidden,
      branch.modulated,
      `${branch.name}.fc1`,
      rows,
    );
  }

  attentionBranchBackward(dResult, branch, rows) {
    const first = branch.kind === "attn" ? "qkv" : "q";
    this.linearBackward(this.dModulated, dResult, branch.active, `${branch.name}.proj`, rows);
    this.attentionBackward(this.dModulated, branch);
    this.linearBackward(
      this.dModulated,
      this.dHidden,
      branch.modulated,
      `${branch.name}.${first}`,
      rows,
    );
    if (branch.kind === "cross_attn") { // every block reads the same condition: gradients add up
      const layer = `${branch.name}.kv`;
      this.linearBackward(
        this.dCondition,
        this.dPairs,
        this.condition,
        layer,
        2 * this.batch,
        true,
      );
    }
  }

  // dV = A^T dy, dA = dy V^T, dS = softmax' dA, dQ = dS K, dK = dS^T Q
  attentionBackward(dActive, branch) {
    const { arena, tokens: n } = this;
    const { hiddenSize: d, numHeads } = this.config;
    const size = d / numHeads;
    const { q, k, v, qRow, kRow, keys } = this.sources(branch);
    const { q: dQ, k: dK, v: dV } = this.sources(branch, this.dHidden, this.dPairs);
    const { shares } = branch;
    this.eachHead(keys, (query, key, share, row) => {
      const dy = dActive + d * query + row;
      arena.matmul(
        this.dShares + share,
        keys,
        dy,
        d,
        1,
        v + kRow * key + row,
        1,
        kRow,
        0,
        0,
        n,
        keys,
        size,
      );
      arena.matmul(
        dV + kRow * key + row,
        kRow,
        shares + share,
        1,
        keys,
        dy,
        d,
        1,
        0,
        0,
        keys,
        size,
        n,
      );
    });
    arena.kernels.softmaxBackward(
      this.dShares,
      shares,
      this.batch * numHeads * n,
      keys,
      size ** -0.5,
    );
    this.eachHead(keys, (query, key, share, row) => {
      const dS = this.dShares + share;
      arena.matmul(
        dQ + qRow * query + row,
        qRow,
        dS,
        keys,
        1,
        k + kRow * key + row,
        kRow,
        1,
        0,
        0,
        n,
        size,
        keys,
      );
      arena.matmul(
        dK + kRow * key + row,
        kRow,
        dS,
        1,
        keys,
        q + qRow * query + row,
        qRow,
        1,
        0,
        0,
        keys,
        size,
        n,
      );
    });
  }

  // dx = dy W (added to what is there, or not wanted: 0), dW = dy^T x, db = the sum of dy
  linearBackward(dx, dy, x, name, rows, add = false) {
    const { arena, gradients } = this;
    const { weight, bias, outputs, inputs } = this.layers[name];
    arena.matmul(
      gradients + weight,
      inputs,
      dy,
      1,
      outputs,
      x,
      inputs,
      1,
      0,
      0,
      outputs,
      inputs,
      rows,
    );
    arena.kernels.sumRows(gradients + bias, dy, rows, outputs);
    if (!dx) return;
    arena.matmul(
      dx,
      inputs,
      dy,
      outputs,
      1,
      this.weights + weight,
      inputs,
      1,
      add ? dx : 0,
      inputs,
      rows,
      inputs,
      outputs,
    );
  }

  // Of the patches' layer, the label table and the time embedding
  embedBackward() {
    const { arena, batch, imageTokens } = this;
    const d = this.config.hiddenSize;
    const inContext = this.tokens > imageTokens;
    const dTokens = arena.view(this.dTokens, batch * this.tokens * d);
    const dEmbedded = arena.view(this.dEmbedded, batch * imageTokens * d);
    const dCondition = arena.view(this.dCondition, 2 * batch * d);
    const dTime = arena.view(this.dTime, batch * d);
    const dTable = this.tensor(TABLE, this.gradients).fill(0);
    for (let b = 0; b < batch; b += 1) {
      const from = b * this.tokens * d;
      const between = from + imageTokens * d; // image tokens, then those of the condition
      dEmbedded.set(dTokens.subarray(from, between), b * imageTokens * d);
      if (inContext) dCondition.set(dTokens.subarray(between, between + 2 * d), 2 * b * d);
      const [time, label] = this.chunks ? [b * d, b * d] : [2 * b * d, (2 * b + 1) * d];
      for (let i = 0; i < d; i += 1) {
        dTime[b * d + i] = dCondition[time + i];
        dTable[this.labels[b] * d + i] += dCondition[label + i];
      }
    }
    this.linearBackward(0, this.dEmbedded, this.patches, "x_embedder.proj", batch * imageTokens);
    this.linearBackward(this.dTimeActive, this.dTime, this.timeActive, "t_embedder.mlp.2", batch);
    arena.kernels.siluBackward(this.dTimeActive, this.dTimeActive, this.timeHidden, batch * d);
    this.linearBackward(0, this.dTimeActive, this.frequencies, "t_embedder.mlp.0", batch);
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
