// The inner loops of the engine, in C with vectors of four floats: tools/build_kernels.py compiles
// them to WebAssembly SIMD.
//
// Every operation is one float32 operation, rounded, in a fixed order: kernels_plain.mjs does the
// same in JavaScript and gives the same bits. A tensor is a pointer to rows of floats, one after
// the other. Its room is a multiple of 16 bytes, so a loop over all its numbers may run over its
// end by up to three. The width of a token is a multiple of four.

typedef float f4 __attribute__((vector_size(16), aligned(4)));
typedef int i4 __attribute__((vector_size(16)));
typedef double d2 __attribute__((vector_size(16)));

#define KERNEL(result, name) __attribute__((export_name(#name))) result name
#define AT(pointer) (*(f4 *)(pointer))
#define READ(pointer) (*(const f4 *)(pointer))

static f4 all(float x) { return (f4){x, x, x, x}; }
static float sum(f4 v) { return (v[0] + v[1]) + (v[2] + v[3]); }

// A panel of 8 columns of b for `depth` values of k: number j of it for k is
// from[j * across + k * along], 0 behind the first `present` ones
__attribute__((noinline))  // measured: the innermost loop then has registers enough
static void pack(float *panel, const float *from, int across, int along, int present, int depth) {
  for (int k = 0; k < depth; k++, from += along, panel += 8)
    for (int j = 0; j < 8; j += 4) {
      if (present < j + 4) {
        for (int i = j; i < j + 4; i++) panel[i] = i < present ? from[i * across] : 0;
      } else {
        const float *p = from + j * across;
        AT(panel + j) = across == 1 ? READ(p) : (f4){p[0], p[across], p[2 * across], p[3 * across]};
      }
    }
}

// A panel of 4 rows of a, each number four times side by side (measured: a product is a fifth
// faster when its innermost loop need not do that); rows behind the present ones repeat the first
__attribute__((noinline))
static void spread(f4 *panel, const float *from, int across, int along, int present, int depth) {
  const float *p1 = from + (present > 1 ? across : 0), *p2 = from + (present > 2 ? 2 * across : 0),
              *p3 = from + (present > 3 ? 3 * across : 0);
  for (int k = 0; k < depth; k++, panel += 4) {
    panel[0] = all(from[k * along]);
    panel[1] = all(p1[k * along]);
    panel[2] = all(p2[k * along]);
    panel[3] = all(p3[k * along]);
  }
}

// 4 x 8 numbers of c from a panel of each factor
__attribute__((always_inline))
static inline void tile(float *c, int cRow, const f4 *a, const f4 *b, const float *start,
                        int startRow, int rows, int columns, int depth) {
  f4 s[4][2] = {};
  int whole = rows == 4 && columns == 8;
  for (int i = 0; start && i < rows; i++)
    for (int j = 0; j < 2; j++) {
      if (whole) s[i][j] = READ(start + i * startRow + 4 * j);
      else
        for (int l = 0; l < 4 && 4 * j + l < columns; l++)
          s[i][j][l] = start[i * startRow + 4 * j + l];
    }
  for (int k = 0; k < depth; k++, a += 4, b += 2) {
    // so that a load has its address in itself: the compiler would add it up for each
    __asm__ volatile("" : "+r"(a), "+r"(b));
#define ROW(i) { s[i][0] += a[i] * b[0]; s[i][1] += a[i] * b[1]; }
    ROW(0) ROW(1) ROW(2) ROW(3)
  }
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < 2; j++) {
      if (whole) AT(c + i * cRow + 4 * j) = s[i][j];
      else for (int l = 0; l < 4 && 4 * j + l < columns; l++) c[i * cRow + 4 * j + l] = s[i][j][l];
    }
}

// c[m][n] = start[m][n] + the sum of a[m][k] b[k][n] over k, from the first k to the last.
//
// a and b are read with any strides (in floats), so a transposed factor needs no copy. start is
// null for nothing, a bias (startRow = 0), or c itself to add to what is there. At most DEPTH
// values of k at a time, so that the panels of b stay in the cache; what they sum to waits in c.
// room: DEPTH (16 + 8 ceil(N / 8)) floats.
#define DEPTH 256
KERNEL(void, matmul)(float *c, int cRow, const float *a, int aRow, int aColumn, const float *b,
                     int bRow, int bColumn, const float *start, int startRow, int M, int N, int K,
                     float *room) {
  float *left = room, *right = room + 16 * DEPTH;
  for (int k = 0; k < K; k += DEPTH) {
    int depth = K - k < DEPTH ? K - k : DEPTH;
    for (int n = 0; n < N; n += 8)
      pack(right + n * depth, b + n * bColumn + k * bRow, bColumn, bRow, N - n, depth);
    for (int m = 0; m < M; m += 4) {
      spread((f4 *)left, a + m * aRow + k * aColumn, aRow, aColumn, M - m, depth);
      for (int n = 0; n < N; n += 8)
        tile(c + m * cRow + n, cRow, (f4 *)left, (f4 *)(right + n * depth),
             start ? start + m * startRow + n : 0, startRow, M - m < 4 ? M - m : 4,
             N - n < 8 ? N - n : 8, depth);
    }
    start = c, startRow = cRow;
  }
}

// e^x = 2^n e^r with n whole and |r| <= ln 2 / 2, e^r by a polynomial (Cephes' expf)
static f4 exponential(f4 x) {
  x = __builtin_wasm_pmax_f32x4(__builtin_wasm_pmin_f32x4(x, all(88)), all(-87));
  f4 n = (x * 1.44269504f + 12582912.0f) - 12582912.0f;  // adding 1.5 * 2^23 rounds to whole
  f4 r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  f4 p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = (p * (r * r) + r) + 1.0f;
  return p * (f4)((__builtin_convertvector(n, i4) + 127) << 23);
}

static f4 sigmoid(f4 x) { return 1.0f / (exponential(-x) + 1.0f); }

KERNEL(void, silu)(float *y, const float *x, int count) {
  for (int i = 0; i < count; i += 4) AT(y + i) = READ(x + i) * sigmoid(READ(x + i));
}

// dx = dy s (1 + x (1 - s)); dx may be dy
KERNEL(void, siluBackward)(float *dx, const float *dy, const float *x, int count) {
  for (int i = 0; i < count; i += 4) {
    f4 v = READ(x + i), s = sigmoid(v);
    AT(dx + i) = READ(dy + i) * (s * (v * (1.0f - s) + 1.0f));
  }
}

// y = x (1 + tanh u) / 2 = x s with s = sigmoid(2u) and u = sqrt(2 / pi) (x + 0.044715 x^3); s is
// kept for the way back
KERNEL(void, gelu)(float *y, float *s, const float *x, int count) {
#pragma unroll 2  // the constants of the exponential serve two vectors
  for (int i = 0; i < count; i += 4) {
    f4 v = READ(x + i), share = sigmoid(v * ((v * v) * 0.0713548163f + 1.59576912f));
    AT(s + i) = share;
    AT(y + i) = v * share;
  }
}

// dx = dy s (1 + x (1 - s) 2u'); dx may be dy
KERNEL(void, geluBackward)(float *dx, const float *dy, const float *s, const float *x, int count) {
  for (int i = 0; i < count; i += 4) {
    f4 v = READ(x + i), share = READ(s + i), slope = (v * v) * 0.214064449f + 1.59576912f;
    AT(dx + i) = READ(dy + i) * (share * ((v * slope) * (1.0f - share) + 1.0f));
  }
}

KERNEL(void, add)(float *y, const float *x, const float *z, int count) {
  for (int i = 0; i < count; i += 4) AT(y + i) = READ(x + i) + READ(z + i);
}

// Each row becomes e^(scale x) over its sum
KERNEL(void, softmax)(float *x, int rows, int width, float scale) {
  for (int row = 0; row < rows; row++) {
    float *v = x + row * width, top = v[0];
    for (int i = 1; i < width; i++) top = v[i] > top ? v[i] : top;
    for (int i = 0; i < width; i++) v[i] = (v[i] - top) * scale;
  }
#pragma unroll 2  // the constants of the exponential serve two vectors
  for (int i = 0; i < rows * width; i += 4) AT(x + i) = exponential(READ(x + i));
  for (int row = 0; row < rows; row++) {
    float *v = x + row * width, total = 0;
    for (int i = 0; i < width; i++) total += v[i];
    for (int i = 0; i < width; i++) v[i] /= total;
  }
}

// d, the gradient by the shares a, becomes that by the scores: scale a (d - sum of d a)
KERNEL(void, softmaxBackward)(float *d, const float *a, int rows, int width, float scale) {
  for (int row = 0; row < rows; row++, d += width, a += width) {
    float total = 0;
    for (int i = 0; i < width; i++) total += d[i] * a[i];
    for (int i = 0; i < width; i++) d[i] = (a[i] * (d[i] - total)) * scale;
  }
}

// y = (x - mean) / sigma for every token, and 1 / sigma
KERNEL(void, layerNorm)(float *y, float *inverse, const float *x, int rows, int width) {
  for (int row = 0; row < rows; row++, x += width, y += width) {
    f4 total = {}, squares = {};
    for (int i = 0; i < width; i += 4) total += READ(x + i);
    f4 mean = all(sum(total) / width);
    for (int i = 0; i < width; i += 4) {
      f4 centred = READ(x + i) - mean;
      squares += centred * centred;
    }
    inverse[row] = 1.0f / __builtin_sqrtf(sum(squares) / width + 1e-6f);
    for (int i = 0; i < width; i += 4) AT(y + i) = (READ(x + i) - mean) * inverse[row];
  }
}

// dx += (dy - mean(dy) - y mean(dy y)) / sigma
KERNEL(void, layerNormBackward)(float *dx, const float *dy, const float *y, const float *inverse,
                                int rows, int width) {
  for (int row = 0; row < rows; row++, dx += width, dy += width, y += width) {
    f4 total = {}, along = {};
    for (int i = 0; i < width; i += 4) {
      total += READ(dy + i);
      along += READ(dy + i) * READ(y + i);
    }
    f4 mean = all(sum(total) / width), share = all(sum(along) / width);
    for (int i = 0; i < width; i += 4)
      AT(dx + i) += ((READ(dy + i) - mean) - READ(y + i) * share) * inverse[row];
  }
}

// From here on the rows come in groups, the tokens of one sample, which share one shift, scale
// and gate; stride is the way from one group's vectors to the next one's.

// y = x (one + scale) + shift; one is 1, or 0 where the scale is a learned weight
KERNEL(void, modulate)(float *y, const float *x, const float *shift, const float *scale, float one,
                       int stride, int groups, int rows, int width) {
  for (int group = 0; group < groups; group++, shift += stride, scale += stride)
    for (int row = 0; row < rows; row++, x += width, y += width)
      for (int i = 0; i < width; i += 4)
        AT(y + i) = READ(x + i) * (READ(scale + i) + one) + READ(shift + i);
}

// d becomes d (one + scale); dShift is the sum of d over the tokens, dScale that of d x
KERNEL(void, modulateBackward)(float *d, float *dShift, float *dScale, const float *x,
                               const float *scale, float one, int stride, int groups, int rows,
                               int width) {
  for (int group = 0; group < groups; group++) {
    for (int i = 0; i < width; i += 4) {
      f4 shifts = {}, scales = {}, factor = READ(scale + i) + one;
      for (int at = i; at < rows * width; at += width) {
        shifts += READ(d + at);
        scales += READ(d + at) * READ(x + at);
        AT(d + at) *= factor;
      }
      AT(dShift + i) = shifts;
      AT(dScale + i) = scales;
    }
    d += rows * width, x += rows * width;
    dShift += stride, dScale += stride, scale += stride;
  }
}

// y = x + gate z
KERNEL(void, addGated)(float *y, const float *x, const float *z, const float *gate, int stride,
                       int groups, int rows, int width) {
  for (int group = 0; group < groups; group++, gate += stride)
    for (int row = 0; row < rows; row++, x += width, y += width, z += width)
      for (int i = 0; i < width; i += 4) AT(y + i) = READ(x + i) + READ(gate + i) * READ(z + i);
}

// dz = gate dy; dGate is the sum of dy z over the tokens
KERNEL(void, gateBackward)(float *dz, float *dGate, const float *dy, const float *z,
                           const float *gate, int stride, int groups, int rows, int width) {
  for (int group = 0; group < groups; group++) {
    for (int i = 0; i < width; i += 4) {
      f4 gates = {}, factor = READ(gate + i);
      for (int at = i; at < rows * width; at += width) {
        gates += READ(dy + at) * READ(z + at);
        AT(dz + at) = READ(dy + at) * factor;
      }
      AT(dGate + i) = gates;
    }
    dz += rows * width, dy += rows * width, z += rows * width;
    dGate += stride, gate += stride;
  }
}

// The sum of all rows: the gradient of a bias
KERNEL(void, sumRows)(float *y, const float *x, int rows, int width) {
  for (int i = 0; i < width; i++) y[i] = 0;
  for (int row = 0; row < rows; row++, x += width) {
    int i = 0;
    for (; i + 4 <= width; i += 4) AT(y + i) += READ(x + i);
    for (; i < width; i++) y[i] += x[i];
  }
}

KERNEL(double, sumSquares)(const float *x, int count) {
  d2 low = {}, high = {};
  for (int i = 0; i < count; i += 4) {
    d2 a = {x[i], x[i + 1]}, b = {x[i + 2], x[i + 3]};
    low += a * a;
    high += b * b;
  }
  return (low[0] + low[1]) + (high[0] + high[1]);
}

// AdamW: w <- decay w - rate m / (sqrt(v) * correction + 1e-8); the gradient is multiplied by clip
KERNEL(void, adamw)(float *w, const float *gradient, float *m, float *v, int count, float clip,
                    float beta1, float beta2, float rate, float correction, float decay) {
  for (int i = 0; i < count; i += 4) {
    f4 g = READ(gradient + i) * clip;
    f4 first = READ(m + i) + (g - READ(m + i)) * (1.0f - beta1);
    f4 second = READ(v + i) * beta2 + (g * g) * (1.0f - beta2);
    AT(m + i) = first;
    AT(v + i) = second;
    AT(w + i) = READ(w + i) * decay -
                (first * rate) / (__builtin_elementwise_sqrt(second) * correction + 1e-8f);
  }
}

// average <- average + share (value - average)
KERNEL(void, lerp)(float *average, const float *value, int count, float share) {
  for (int i = 0; i < count; i += 4)
    AT(average + i) += (READ(value + i) - READ(average + i)) * share;
}
