// The mathematics of all figures: pure functions, no page, no state.
// A matrix is an array of rows, a row is an array of numbers (typed or plain);
// a weight has torch's layout, one row for each output.  tests/test_figures_core.py
// runs every function here against NumPy and torch.

// A row's values through f(value, index); like all loops here by index, since Float64Array.from
// and the iterators of typed arrays are far slower.
function mapRow(row, f) {
  const result = new Float64Array(row.length);
  for (let i = 0; i < row.length; i += 1) result[i] = f(row[i], i);
  return result;
}

function sum(row) {
  let total = 0;
  for (let i = 0; i < row.length; i += 1) total += row[i];
  return total;
}

export function mean(row) {
  return sum(row) / row.length;
}

// Standard deviation with 1/n, as layer norm uses it.
export function std(row) {
  const centre = mean(row);
  let total = 0;
  for (let i = 0; i < row.length; i += 1) total += (row[i] - centre) * (row[i] - centre);
  return Math.sqrt(total / row.length);
}

// (x - mean) / sqrt(var + eps), each row by itself
export function layerNorm(rows, eps = 1e-6) {
  return rows.map((row) => {
    const centre = mean(row);
    const scale = 1 / Math.sqrt(std(row) ** 2 + eps);
    return mapRow(row, (value) => (value - centre) * scale);
  });
}

// x * (1 + scale) + shift, the same vectors for every row
export function modulate(rows, shift, scale) {
  return rows.map((row) => mapRow(row, (value, i) => value * (1 + scale[i]) + shift[i]));
}

export function silu(row) {
  return mapRow(row, (value) => value / (1 + Math.exp(-value)));
}

// The tanh form of GELU that ViT's and DiT's MLPs use: v (1 + tanh u) / 2 = v / (1 + exp(-2u))
export function gelu(row) {
  const c = 2 * Math.sqrt(2 / Math.PI);
  return mapRow(row, (v) => v / (1 + Math.exp(-c * (v + 0.044715 * v * v * v))));
}

// x Wᵀ + b for one row; four sums side by side, since in one each addition waits for the last
export function linearRow(row, weight, bias = null) {
  const result = new Float64Array(weight.length);
  const even = row.length - (row.length % 4);
  for (let o = 0; o < weight.length; o += 1) {
    const w = weight[o];
    let total = bias ? bias[o] : 0;
    let second = 0;
    let third = 0;
    let fourth = 0;
    for (let i = 0; i < even; i += 4) {
      total += w[i] * row[i];
      second += w[i + 1] * row[i + 1];
      third += w[i + 2] * row[i + 2];
      fourth += w[i + 3] * row[i + 3];
    }
    for (let i = even; i < row.length; i += 1) total += w[i] * row[i];
    result[o] = total + second + third + fourth;
  }
  return result;
}

export function linear(rows, weight, bias = null) {
  return rows.map((row) => linearRow(row, weight, bias));
}

export function add(a, b) {
  return a.map((row, n) => mapRow(row, (value, i) => value + b[n][i]));
}

export function softmax(row) {
  let top = row[0];
  for (let i = 1; i < row.length; i += 1) top = Math.max(top, row[i]);
  const exps = mapRow(row, (value) => Math.exp(value - top));
  const total = sum(exps);
  return mapRow(exps, (value) => value / total);
}

// softmax(Q Kᵀ / sqrt(d)) V in each of numHeads equal ranges of features; keys and values may be
// another sequence.  Returns the output and the weights, (numHeads, N, M).
export function multiHeadAttention(queries, keys, values, numHeads = 1) {
  const size = queries[0].length / numHeads;
  const factor = 1 / Math.sqrt(size);
  const output = queries.map((query) => new Float64Array(query.length));
  const weights = Array.from({ length: numHeads }, (_, head) => {
    const [from, to] = [head * size, (head + 1) * size];
    return queries.map((query, n) => {
      const scores = new Float64Array(keys.length);
      for (let m = 0; m < keys.length; m += 1) {
        const key = keys[m];
        let total = 0;
        for (let i = from; i < to; i += 1) total += query[i] * key[i];
        scores[m] = total * factor;
      }
      const shares = softmax(scores);
      const mixed = output[n];
      for (let m = 0; m < keys.length; m += 1) {
        const value = values[m];
        for (let i = from; i < to; i += 1) mixed[i] += shares[m] * value[i];
      }
      return shares;
    });
  });
  return { weights, output };
}

// A layer's numbers come by the names of the checkpoints: weights["attn.qkv.weight"], ...

// Multi-head self-attention with its projections; returns the output and who looks at whom.
export function selfAttention(rows, weights, numHeads, name = "attn") {
  const all = linear(rows, weights[`${name}.qkv.weight`], weights[`${name}.qkv.bias`]);
  const width = rows[0].length;
  const part = (i) => all.map((row) => row.slice(i * width, (i + 1) * width));
  const heads = multiHeadAttention(part(0), part(1), part(2), numHeads);
  const output = linear(heads.output, weights[`${name}.proj.weight`], weights[`${name}.proj.bias`]);
  return { weights: heads.weights, output };
}

// W2 GELU(W1 x + b1) + b2 for every token
export function mlp(rows, weights, name = "mlp") {
  const hidden = linear(rows, weights[`${name}.fc1.weight`], weights[`${name}.fc1.bias`]).map(gelu);
  return linear(hidden, weights[`${name}.fc2.weight`], weights[`${name}.fc2.bias`]);
}

// x + gate * branch, the same gate for every token
export function gated(rows, branch, gate) {
  return rows.map((row, n) => mapRow(row, (value, i) => value + gate[i] * branch[n][i]));
}

// [cos(t w_i), sin(t w_i)], w_i = maxPeriod^(-i / (dim / 2)): cos comes first
export function timestepEmbedding(t, dim, maxPeriod = 10000) {
  const half = dim / 2;
  return Float64Array.from({ length: dim }, (_, i) => {
    const angle = t * maxPeriod ** (-(i % half) / half);
    return i < half ? Math.cos(angle) : Math.sin(angle);
  });
}

// (H, W) -> (N, p * p): row-major patches, each read row by row
export function patchify(image, patchSize) {
  const tokens = [];
  for (let top = 0; top < image.length; top += patchSize) {
    for (let left = 0; left < image[0].length; left += patchSize) {
      const token = [];
      for (let y = 0; y < patchSize; y += 1) {
        for (let x = 0; x < patchSize; x += 1) token.push(image[top + y][left + x]);
      }
      tokens.push(Float64Array.from(token));
    }
  }
  return tokens;
}

// [sin(m w_i), cos(m w_i)] for a position m: the two halves of timestepEmbedding, swapped
export function positionEmbedding(position, dim, maxPeriod = 10000) {
  const other = timestepEmbedding(position, dim, maxPeriod);
  const embedding = new Float64Array(dim);
  embedding.set(other.subarray(dim / 2));
  embedding.set(other.subarray(0, dim / 2), dim / 2);
  return embedding;
}

// (rows * columns, dim), row by row: the column's embedding first, then the row's
export function gridEmbedding(rows, columns, dim, maxPeriod = 10000) {
  const axis = (length) =>
    Array.from({ length }, (_, m) => positionEmbedding(m, dim / 2, maxPeriod));
  const [down, across] = [axis(rows), axis(columns)];
  return down.flatMap((y) =>
    across.map((x) => {
      const embedding = new Float64Array(dim);
      embedding.set(x);
      embedding.set(y, dim / 2);
      return embedding;
    }),
  );
}

// Where a token keeps channel, row and column of its patch: the channel counts fastest in the
// order "p,p,C", slowest in "C,p,p"
export function featureIndex({ channel, row, column }, patchSize, numChannels, order) {
  const pixel = row * patchSize + column;
  return order === "C,p,p" ? channel * patchSize ** 2 + pixel : pixel * numChannels + channel;
}

// featureIndex undone
export function featurePlace(feature, patchSize, numChannels, order) {
  const channelFirst = order === "C,p,p";
  const inner = channelFirst ? patchSize ** 2 : numChannels;
  const [outside, inside] = [Math.floor(feature / inner), feature % inner];
  const [channel, pixel] = channelFirst ? [outside, inside] : [inside, outside];
  return { channel, row: Math.floor(pixel / patchSize), column: pixel % patchSize };
}

// (C, H, W) -> (N, p * p * C): the patches of all channels, the features in the given order
export function patchifyChannels(channels, patchSize, order = "p,p,C") {
  const each = channels.map((channel) => patchify(channel, patchSize));
  return each[0].map((pixels, n) =>
    Float64Array.from({ length: pixels.length * channels.length }, (_, feature) => {
      const { channel, row, column } = featurePlace(feature, patchSize, channels.length, order);
      return each[channel][n][row * patchSize + column];
    }),
  );
}

// (N, p * p * C) -> (C, H, W): the inverse of patchifyChannels with the same order
export function unpatchify(tokens, patchSize, height, width, order = "p,p,C") {
  const numChannels = tokens[0].length / patchSize ** 2;
  return Array.from({ length: numChannels }, (_, channel) =>
    Array.from({ length: height }, (_, y) =>
      Float64Array.from({ length: width }, (_, x) => {
        const token = Math.floor(y / patchSize) * (width / patchSize) + Math.floor(x / patchSize);
        const place = { channel, row: y % patchSize, column: x % patchSize };
        return tokens[token][featureIndex(place, patchSize, numChannels, order)];
      }),
    ),
  );
}

// Parameters and MACs of a DiT by part, as in the paper: r = 4, variances learned, 1000 classes
// and the null class. The parts that a design does not have are left out; see counting.py
export function ditLedger({ inputSize, patchSize, hiddenSize: d, depth, channels = 4, conditioning = "adaln-zero" }) {
  const imageTokens = (inputSize / patchSize) ** 2;
  const cross = conditioning === "cross-attention" ? 1 : 0;
  const chunks = { adaln: 4, "adaln-zero": 6 }[conditioning] ?? 0;
  const tokens = imageTokens + (conditioning === "in-context" ? 2 : 0);
  const patch = patchSize ** 2 * channels;
  const vectors = depth * chunks + (chunks ? 2 : 0);
  const norms = chunks ? 0 : depth * (2 + cross) + 1;
  const layer = d * (d + 1);
  const ledger = {
    "patch embedding": [(patch + 1) * d, imageTokens * patch * d],
    "time embedding": [257 * d + layer, 256 * d + d ** 2],
    "label embedding": [1001 * d, 0],
    modulation: [vectors * layer, vectors * d ** 2],
    "layer norms": [norms * 2 * d, 0],
    "attention projections": [depth * 4 * layer, depth * tokens * 4 * d ** 2],
    "attention scores": [0, depth * 2 * tokens ** 2 * d],
    "cross-attention projections": [cross * depth * 4 * layer, cross * depth * 2 * (tokens + 2) * d ** 2],
    "cross-attention scores": [0, cross * depth * 4 * tokens * d],
    MLP: [depth * (8 * d ** 2 + 5 * d), depth * tokens * 8 * d ** 2],
    "final layer": [(d + 1) * 2 * patch, imageTokens * 2 * patch * d],
  };
  return Object.fromEntries(
    Object.entries(ledger)
      .filter(([, [parameters, macs]]) => parameters || macs)
      .map(([part, [parameters, macs]]) => [part, { parameters, macs }]),
  );
}

// The same in all, with the number of tokens
export function ditCost(sizes) {
  const costs = Object.values(ditLedger(sizes));
  const all = (quantity) => sum(costs.map((cost) => cost[quantity]));
  return { tokens: (sizes.inputSize / sizes.patchSize) ** 2, parameters: all("parameters"), macs: all("macs") };
}

// beta from 1e-4 to 2e-2 in equal steps; rescaled, a short schedule adds as much noise
export function linearBetas(numSteps, rescale = true) {
  const factor = rescale ? 1000 / numSteps : 1;
  const slope = (2e-2 - 1e-4) / (numSteps - 1);
  return Float64Array.from({ length: numSteps }, (_, t) => factor * (1e-4 + slope * t));
}

// The share of the data's variance that is left at each step: the product of all 1 - beta
export function alphaBar(betas) {
  let kept = 1;
  return Float64Array.from(betas, (beta) => (kept *= 1 - beta));
}

// a x + b y for two matrices
export function mix(a, x, b, y) {
  return x.map((row, n) => mapRow(row, (value, i) => a * value + b * y[n][i]));
}

// Queries of the rows, keys and values of the context; output and who looks what up.
export function crossAttention(rows, context, weights, numHeads, name = "cross_attn") {
  const layer = (x, part) => linear(x, weights[`${name}.${part}.weight`], weights[`${name}.${part}.bias`]);
  const width = rows[0].length;
  const pairs = layer(context, "kv");
  const keys = pairs.map((row) => row.slice(0, width));
  const values = pairs.map((row) => row.slice(width));
  const heads = multiHeadAttention(layer(rows, "q"), keys, values, numHeads);
  return { weights: heads.weights, output: layer(heads.output, "proj") };
}

// A float16 given by its 16 bits: finite numbers only, as weights are
export function halfFloat(bits) {
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
  const size = exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction;
  return bits & 32768 ? -size : size;
}

// The tensors of a safetensors file in float16, given in base64, by name: a vector for one axis,
// else rows, with all further axes side by side
export function readWeights(base64) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const start = 8 + Number(view.getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, start)));
  delete header.__metadata__;
  const tensors = {};
  for (const [name, { shape, data_offsets: [from, to] }] of Object.entries(header)) {
    const numbers = Float64Array.from({ length: (to - from) / 2 }, (_, i) =>
      halfFloat(view.getUint16(start + from + 2 * i, true)),
    );
    const width = numbers.length / shape[0];
    tensors[name] =
      shape.length === 1
        ? numbers
        : Array.from({ length: shape[0] }, (_, i) => numbers.subarray(i * width, (i + 1) * width));
  }
  return tensors;
}

// A 3 x 3 convolution that keeps the side, zeros around: channels one after the other in one
// array, weight rows (in channel, row, column) as `readWeights` gives them.  It is one linear
// layer on the neighbourhood of each pixel.
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
export function decodeLatent(latent, side, weights) {
  const area = side * side;
  const layer = (input, size, name) => convolve(input, size, weights[`decoder.${name}.weight`], weights[`decoder.${name}.bias`]);
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

// Layer norm with its own learned scale and shift
export function affineNorm(rows, weights, name) {
  const scale = mapRow(weights[`${name}.weight`], (value) => value - 1);
  return modulate(layerNorm(rows), weights[`${name}.bias`], scale);
}

// What the blocks of a shipped DiT get, besides its label: (1 - t) latent + t noise as tokens with
// positions, one for each place, and 1000 t as a vector
export function embedNoised(latent, noise, t, weights) {
  const layer = (row, name) => linearRow(row, weights[`${name}.weight`], weights[`${name}.bias`]);
  const noised = latent.map((channel, c) => mix(1 - t, channel, t, noise[c]));
  const patches = patchifyChannels(noised, 1);
  const embedded = linear(patches, weights["x_embedder.proj.weight"], weights["x_embedder.proj.bias"]);
  const width = embedded[0].length; // the file has the table of positions as one row
  const positions = embedded.map((_, n) => weights.pos_embed[0].subarray(n * width, (n + 1) * width));
  const time = layer(silu(layer(timestepEmbedding(1000 * t, 256), "t_embedder.mlp.0")), "t_embedder.mlp.2");
  return { tokens: add(embedded, positions), time };
}
