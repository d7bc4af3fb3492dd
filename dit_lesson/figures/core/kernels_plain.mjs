// kernels.c in plain JavaScript, for browsers without WebAssembly: the same functions with the
// same bits.  What each does is written there; here Math.fround rounds after every operation
// where C has floats, and sums run in the same order.  A pointer is an address in bytes.

const { fround, sqrt } = Math;

export function plainKernels(buffer) {
  const f = new Float32Array(buffer);
  const bits = new Int32Array(1);
  const power = new Float32Array(bits.buffer);

  // four sums side by side, as the lanes of a vector
  const lanes = [new Float32Array(4), new Float32Array(4)];
  const sum = (v) => fround(fround(v[0] + v[1]) + fround(v[2] + v[3]));

  const LOG2E = fround(1.44269504);
  const LN2_HIGH = fround(0.693359375);
  const LN2_LOW = fround(-2.12194440e-4);
  const C = [
    1.9875691500e-4,
    1.3981999507e-3,
    8.3334519073e-3,
    4.1665795894e-2,
    1.6666665459e-1,
    5.0000001201e-1,
  ].map(fround);

  function exponential(x) {
    if (x > 88) x = 88;
    if (x < -87) x = -87;
    const n = fround(fround(fround(x * LOG2E) + 12582912) - 12582912);
    const r = fround(fround(x - fround(n * LN2_HIGH)) - fround(n * LN2_LOW));
    let p = fround(fround(r * C[0]) + C[1]);
    p = fround(fround(p * r) + C[2]);
    p = fround(fround(p * r) + C[3]);
    p = fround(fround(p * r) + C[4]);
    p = fround(fround(p * r) + C[5]);
    p = fround(fround(fround(p * fround(r * r)) + r) + 1);
    bits[0] = (n + 127) << 23;
    return fround(p * power[0]);
  }

  const sigmoid = (x) => fround(1 / fround(exponential(-x) + 1));

  const CUBE = fround(0.0713548163);
  const CUBE3 = fround(0.214064449);
  const ROOT = fround(1.59576912);

  function matmul(c, cRow, a, aRow, aColumn, b, bRow, bColumn, start, startRow, M, N, K) {
    const [c0, a0, b0, s0] = [c >> 2, a >> 2, b >> 2, start >> 2];
    for (let m = 0; m < M; m += 1) {
      let n = 0;
      // four columns side by side, so that no addition waits for the last one
      for (; n + 4 <= N; n += 4) {
        let [t0, t1, t2, t3] = [0, 0, 0, 0];
        if (start) {
          const at = s0 + m * startRow + n;
          [t0, t1, t2, t3] = [f[at], f[at + 1], f[at + 2], f[at + 3]];
        }
        let from = a0 + m * aRow;
        let at = b0 + n * bColumn;
        for (let k = 0; k < K; k += 1, from += aColumn, at += bRow) {
          const x = f[from];
          t0 = fround(t0 + fround(x * f[at]));
          t1 = fround(t1 + fround(x * f[at + bColumn]));
          t2 = fround(t2 + fround(x * f[at + 2 * bColumn]));
          t3 = fround(t3 + fround(x * f[at + 3 * bColumn]));
        }
        const to = c0 + m * cRow + n;
        f[to] = t0;
        f[to + 1] = t1;
        f[to + 2] = t2;
        f[to + 3] = t3;
      }
      for (; n < N; n += 1) {
        let total = start ? f[s0 + m * startRow + n] : 0;
        for (let k = 0; k < K; k += 1) {
          total = fround(
            total + fround(f[a0 + m * aRow + k * aColumn] * f[b0 + k * bRow + n * bColumn]),
          );
        }
        f[c0 + m * cRow + n] = total;
      }
    }
  }

  function silu(y, x, count) {
    for (let i = 0; i < count; i += 1) {
      const v = f[(x >> 2) + i];
      f[(y >> 2) + i] = v * sigmoid(v);
    }
  }

  function siluBackward(dx, dy, x, count) {
    for (let i = 0; i < count; i += 1) {
      const v = f[(x >> 2) + i];
      const s = sigmoid(v);
      f[(dx >> 2) + i] = f[(dy >> 2) + i] * fround(s * fround(fround(v * fround(1 - s)) + 1));
    }
  }

  function gelu(y, s, x, count) {
    for (let i = 0; i < count; i += 1) {
      const v = f[(x >> 2) + i];
      const share = sigmoid(fround(v * fround(fround(fround(v * v) * CUBE) + ROOT)));
      f[(s >> 2) + i] = share;
      f[(y >> 2) + i] = v * share;
    }
  }

  function geluBackward(dx, dy, s, x, count) {
    for (let i = 0; i < count; i += 1) {
      const v = f[(x >> 2) + i];
      const share = f[(s >> 2) + i];
      const slope = fround(fround(fround(v * v) * CUBE3) + ROOT);
      const inner = fround(fround(fround(v * slope) * fround(1 - share)) + 1);
      f[(dx >> 2) + i] = f[(dy >> 2) + i] * fround(share * inner);
    }
  }

  function add(y, x, z, count) {
    for (let i = 0; i < count; i += 1) f[(y >> 2) + i] = f[(x >> 2) + i] + f[(z >> 2) + i];
  }

  function softmax(x, rows, width, scale) {
    scale = fround(scale);
    for (let v = x >> 2, end = v + rows * width; v < end; v += width) {
      let top = f[v];
      for (let i = 1; i < width; i += 1) if (f[v + i] > top) top = f[v + i];
      let total = 0;
      for (let i = 0; i < width; i += 1) {
        f[v + i] = exponential(fround(fround(f[v + i] - top) * scale));
        total = fround(total + f[v + i]);
      }
      for (let i = 0; i < width; i += 1) f[v + i] /= total;
    }
  }

  function softmaxBackward(d, a, rows, width, scale) {
    scale = fround(scale);
    let s = a >> 2;
    for (let v = d >> 2, end = v + rows * width; v < end; v += width, s += width) {
      let total = 0;
      for (let i = 0; i < width; i += 1) total = fround(total + fround(f[v + i] * f[s + i]));
      for (let i = 0; i < width; i += 1) {
        f[v + i] = fround(f[s + i] * fround(f[v + i] - total)) * scale;
      }
    }
  }

  function layerNorm(y, inverse, x, rows, width) {
    const [total, squares] = lanes;
    for (let row = 0; row < rows; row += 1) {
      const [from, to] = [(x >> 2) + row * width, (y >> 2) + row * width];
      total.fill(0);
      squares.fill(0);
      for (let i = 0; i < width; i += 1) total[i & 3] += f[from + i];
      const mean = fround(sum(total) / width);
      for (let i = 0; i < width; i += 1) {
        const centred = fround(f[from + i] - mean);
        squares[i & 3] += fround(centred * centred);
      }
      const factor = fround(1 / fround(sqrt(fround(fround(sum(squares) / width) + fround(1e-6)))));
      f[(inverse >> 2) + row] = factor;
      for (let i = 0; i < width; i += 1) f[to + i] = fround(f[from + i] - mean) * factor;
    }
  }

  function layerNormBackward(dx, dy, y, inverse, rows, width) {
    const [total, along] = lanes;
    for (let row = 0; row < rows; row += 1) {
      const [to, d, v] = [dx, dy, y].map((pointer) => (pointer >> 2) + row * width);
      total.fill(0);
      along.fill(0);
      for (let i = 0; i < width; i += 1) {
        total[i & 3] += f[d + i];
        along[i & 3] += fround(f[d + i] * f[v + i]);
      }
      const [mean, share] = [fround(sum(total) / width), fround(sum(along) / width)];
      const factor = f[(inverse >> 2) + row];
      for (let i = 0; i < width; i += 1) {
        f[to + i] += fround(fround(fround(f[d + i] - mean) - fround(f[v + i] * share)) * factor);
      }
    }
  }

  function modulate(y, x, shift, scale, one, stride, groups, rows, width) {
    for (let row = 0; row < groups * rows; row += 1) {
      const at = row * width;
      const vector = Math.floor(row / rows) * stride;
      for (let i = 0; i < width; i += 1) {
        const factor = fround(f[(scale >> 2) + vector + i] + one);
        f[(y >> 2) + at + i] = fround(f[(x >> 2) + at + i] * factor) + f[(shift >> 2) + vector + i];
      }
    }
  }

  function modulateBackward(d, dShift, dScale, x, scale, one, stride, groups, rows, width) {
    for (let group = 0; group < groups; group += 1) {
      const vector = group * stride;
      for (let i = 0; i < width; i += 1) {
        let [shifts, scales] = [0, 0];
        const factor = fround(f[(scale >> 2) + vector + i] + one);
        for (let row = 0; row < rows; row += 1) {
          const at = (group * rows + row) * width + i;
          const value = f[(d >> 2) + at];
          shifts = fround(shifts + value);
          scales = fround(scales + fround(value * f[(x >> 2) + at]));
          f[(d >> 2) + at] = value * factor;
        }
        f[(dShift >> 2) + vector + i] = shifts;
        f[(dScale >> 2) + vector + i] = scales;
      }
    }
  }

  function addGated(y, x, z, gate, stride, groups, rows, width) {
    for (let row = 0; row < groups * rows; row += 1) {
      const at = row * width;
      const vector = (gate >> 2) + Math.floor(row / rows) * stride;
      for (let i = 0; i < width; i += 1) {
        f[(y >> 2) + at + i] = f[(x >> 2) + at + i] + fround(f[vector + i] * f[(z >> 2) + at + i]);
      }
    }
  }

  function gateBackward(dz, dGate, dy, z, gate, stride, groups, rows, width) {
    for (let group = 0; group < groups; group += 1) {
      const vector = group * stride;
      for (let i = 0; i < width; i += 1) {
        let gates = 0;
        const factor = f[(gate >> 2) + vector + i];
        for (let row = 0; row < rows; row += 1) {
          const at = (group * rows + row) * width + i;
          const value = f[(dy >> 2) + at];
          gates = fround(gates + fround(value * f[(z >> 2) + at]));
          f[(dz >> 2) + at] = value * factor;
        }
        f[(dGate >> 2) + vector + i] = gates;
      }
    }
  }

  function sumRows(y, x, rows, width) {
    const [to, from] = [y >> 2, x >> 2];
    f.fill(0, to, to + width);
    for (let row = 0; row < rows; row += 1) {
      for (let i = 0; i < width; i += 1) f[to + i] += f[from + row * width + i];
    }
  }

  function sumSquares(x, count) {
    const totals = [0, 0, 0, 0];
    for (let i = 0; i < count; i += 1) totals[i & 3] += f[(x >> 2) + i] ** 2;
    return totals[0] + totals[1] + (totals[2] + totals[3]);
  }

  function adamw(w, gradient, m, v, count, clip, beta1, beta2, rate, correction, decay) {
    [clip, beta1, beta2, rate, correction, decay] = [clip, beta1, beta2, rate, correction, decay]
      .map(fround);
    const [w0, g0, m0, v0] = [w >> 2, gradient >> 2, m >> 2, v >> 2];
    const [rest1, rest2, eps] = [fround(1 - beta1), fround(1 - beta2), fround(1e-8)];
    for (let i = 0; i < count; i += 1) {
      const g = fround(f[g0 + i] * clip);
      const first = fround(f[m0 + i] + fround(fround(g - f[m0 + i]) * rest1));
      const second = fround(fround(f[v0 + i] * beta2) + fround(fround(g * g) * rest2));
      f[m0 + i] = first;
      f[v0 + i] = second;
      const root = fround(fround(fround(sqrt(second)) * correction) + eps);
      f[w0 + i] = fround(f[w0 + i] * decay) - fround(fround(first * rate) / root);
    }
  }

  function lerp(average, value, count, share) {
    share = fround(share);
    const [to, from] = [average >> 2, value >> 2];
    for (let i = 0; i < count; i += 1) f[to + i] += fround(fround(f[from + i] - f[to + i]) * share);
  }

  return {
    matmul,
    silu,
    siluBackward,
    gelu,
    geluBackward,
    add,
    softmax,
    softmaxBackward,
    layerNorm,
    layerNormBackward,
    modulate,
    modulateBackward,
    addGated,
    gateBackward,
    sumRows,
    sumSquares,
    adamw,
    lerp,
  };
}
