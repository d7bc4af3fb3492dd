// The inner loops of the engine in C with vectors of four floats, compiled to WebAssembly SIMD by
// tools/build_kernels.py. Every operation is one rounded float32 operation in a fixed order, so
// kernels_plain.mjs, which has the same functions in JavaScript, gives the same bits.
//
// A tensor is a pointer to rows of floats. The arena rounds its room up to 16 bytes: loops over
// all numbers of a tensor may run over its end by up to three.

typedef float f4 __attribute__((vector_size(16)));
typedef float f4u __attribute__((vector_size(16), aligned(4)));
typedef double d2 __attribute__((vector_size(16)));
typedef int i4 __attribute__((vector_size(16)));

#define KERNEL(name) __attribute__((export_name(#name))) void name

static f4 splat(float x) { return (f4){x, x, x, x}; }
static f4 load(const float *p) { return *(const f4u *)p; }
static float total(f4 v) { return (v[0] + v[1]) + (v[2] + v[3]); }

// c[m][n] = start[m][n] + sum over k of a[m][k] b[k][n], k from first to last.
//
// a and b are read with any strides (in floats), so that no product needs a transposed copy.
// start: 0 pointer for nothing, a bias (startRow = 0), or c itself, to add to what is there.
// Both factors are packed into panels, b 8 columns wide and a 4 rows high, filled up with zeros:
// the innermost loop reads both in order and keeps 4 x 8 sums in registers.
KERNEL(matmul)(float *c, int cRow, const float *a, int aRow, int aColumn, const float *b, int bRow,
               int bColumn, const float *start, int startRow, int M, int N, int K, float *room) {
  f4 *left = (f4 *)room, *right = left + K;
  for (int n = 0; n < N; n += 8) {
    float *panel = (float *)(right + n / 4 * K);
    int width = N - n < 8 ? N - n : 8;
    const float *from = b + n * bColumn;
    if (width == 8 && bColumn == 1) {
      for (int k = 0; k < K; k++, panel += 8, from += bRow) {
        *(f4 *)panel = load(from);
        *(f4 *)(panel + 4) = load(from + 4);
      }
    } else {
      for (int k = 0; k < K; k++, panel += 8, from += bRow)
        for (int i = 0; i < 8; i++) panel[i] = i < width ? from[i * bColumn] : 0;
    }
  }
  for (int m = 0; m < M; m += 4) {
    int height = M - m < 4 ? M - m : 4;
    const float *from = a + m * aRow;
    for (int k = 0; k < K; k++, from += aColumn) {
      if (height == 4) left[k] = (f4){from[0], from[aRow], from[2 * aRow], from[3 * aRow]};
      else for (int i = 0; i < 4; i++) ((float *)(left + k))[i] = i < height ? from[i * aRow] : 0;
    }
    for (int n = 0; n < N; n += 8) {
      const f4 *p = left, *q = right + n / 4 * K;
      f4 s[4][2] = {};
      int whole = height == 4 && N - n >= 8;
      const float *s0 = start + m * startRow + n;
      float *out = c + m * cRow + n;
      if (start) {
        if (whole) {
          for (int i = 0; i < 4; i++)
            for (int j = 0; j < 2; j++) s[i][j] = load(s0 + i * startRow + 4 * j);
        } else {
          for (int i = 0; i < height; i++)
            for (int j = 0; j < N - n && j < 8; j++) s[i][j / 4][j % 4] = s0[i * startRow + j];
        }
      }
      for (int k = 0; k < K; k++, q += 2) {
        const float *x = (const float *)(p + k);
        for (int i = 0; i < 4; i++) {
          f4 ai = splat(x[i]);
          s[i][0] += ai * q[0];
          s[i][1] += ai * q[1];
        }
      }
      if (whole) {
        for (int i = 0; i < 4; i++)
          for (int j = 0; j < 2; j++) *(f4u *)(out + i * cRow + 4 * j) = s[i][j];
      } else {
        for (int i = 0; i < height; i++)
          for (int j = 0; j < N - n && j < 8; j++) out[i * cRow + j] = s[i][j / 4][j % 4];
      }
    }
  }
}
