// The backward pass of a DiT of any design: numpy_backward.py on flat arrays, over the kernels.
import { DiT } from "./dit.mjs";
import { TABLE } from "./parameters.mjs";
/** @import { Arena } from "./arena.mjs" */
/** @import { Config } from "./parameters.mjs" */

// A DiT that can learn: with room for its gradients
export class LearningDiT extends DiT {
  /** @param {Arena} arena @param {Partial<Config>} config @param {{capacity?: number}} options */
  constructor(arena, config, options = {}) {
    super(arena, config, options);
    const { hiddenSize: d, numHeads, mlpRatio } = this.config;
    const { context } = this;
    const take = (count) => this.arena.take(this.capacity * count);
    const tokens = (width) => take(this.tokens * width);
    this.gradients = this.arena.take(this.parameterCount);
    this.dAnswers = tokens(this.patchFeatures);
    this.dTokens = tokens(d);
    this.dResult = tokens(d);
    this.dModulated = tokens(d);
    this.dHidden = tokens(Math.max(3, mlpRatio) * d);
    this.dShares = tokens(numHeads * Math.max(context, this.tokens));
    this.dPairs = take(2 * context * d);
    this.dSteering = take(this.steeringWidth);
    this.dCondition = take(context * d);
    this.dTime = take(d);
    this.dTimeActive = take(d);
    this.dEmbedded = take(this.imageTokens * d);
  }

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
    arena.view(this.dCondition, batch * this.context * d).fill(0);

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
        this.context * this.batch,
        true,
      );
    }
  }

  // dV = A^T dy, dA = dy V^T, dS = softmax' dA, dQ = dS K, dK = dS^T Q
  attentionBackward(dActive, branch) {
    const { arena, tokens: n } = this;
    const { hiddenSize: d, numHeads } = this.config;
    const size = d / numHeads;
    const { q, k, v, qRow, kRow } = this.sources(branch);
    const { q: dQ, k: dK, v: dV } = this.sources(branch, this.dHidden, this.dPairs);
    const { shares, keys } = branch;
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
    const { arena, batch, context, imageTokens } = this;
    const { hiddenSize: d, maxWords } = this.config;
    const inContext = this.tokens > imageTokens;
    const dTokens = arena.view(this.dTokens, batch * this.tokens * d);
    const dEmbedded = arena.view(this.dEmbedded, batch * imageTokens * d);
    const dCondition = arena.view(this.dCondition, batch * context * d);
    const dTime = arena.view(this.dTime, batch * d);
    const dTable = this.tensor(TABLE, this.gradients).fill(0);
    for (let b = 0; b < batch; b += 1) {
      const from = b * this.tokens * d;
      const between = from + imageTokens * d; // image tokens, then those of the condition
      dEmbedded.set(dTokens.subarray(from, between), b * imageTokens * d);
      const own = dCondition.subarray(b * context * d, (b + 1) * context * d);
      if (inContext) own.set(dTokens.subarray(between, between + context * d));
      dTime.set(own.subarray(0, d), b * d);
      for (let word = 0; word < maxWords; word += 1) {
        const label = this.labels[b * maxWords + word] * d;
        const [at, share] = this.chunks ? [0, 1 / maxWords] : [(1 + word) * d, 1];
        for (let i = 0; i < d; i += 1) dTable[label + i] += share * own[at + i];
      }
    }
    this.linearBackward(0, this.dEmbedded, this.patches, "x_embedder.proj", batch * imageTokens);
    this.linearBackward(this.dTimeActive, this.dTime, this.timeActive, "t_embedder.mlp.2", batch);
    arena.kernels.siluBackward(this.dTimeActive, this.dTimeActive, this.timeHidden, batch * d);
    this.linearBackward(0, this.dTimeActive, this.frequencies, "t_embedder.mlp.0", batch);
  }
}
