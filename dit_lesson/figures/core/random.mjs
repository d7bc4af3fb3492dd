// Random numbers that a seed repeats, the same in every browser: mulberry32, and Box-Muller.

export class Random {
  /** @param {number} seed a whole number */
  constructor(seed) {
    this.state = seed >>> 0;
    /** @type {number | null} */
    this.spare = null;
  }

  // From 0 (not 0 itself) to 1
  uniform() {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let bits = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return (((bits ^ (bits >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  }

  // Below n
  /** @type {(n: number) => number} */
  whole(n) {
    return Math.floor(this.uniform() * n);
  }

  // N(0, 1)
  normal() {
    if (this.spare !== null) {
      const value = this.spare;
      this.spare = null;
      return value;
    }
    const radius = Math.sqrt(-2 * Math.log(this.uniform()));
    const angle = 2 * Math.PI * this.uniform();
    this.spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }

  /** @type {(count: number) => Float32Array} */
  normals(count) {
    return new Float32Array(count).map(() => this.normal());
  }

  // The numbers below n in random order
  /** @type {(n: number) => Int32Array} */
  permutation(n) {
    const order = Int32Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i -= 1) {
      const other = this.whole(i + 1);
      [order[i], order[other]] = [order[other], order[i]];
    }
    return order;
  }
}
