// The memory of one engine, and the kernels that work on it.  A tensor is an address in bytes; its
// room is a multiple of 16 bytes.  Nothing is given back: an engine takes all it needs when it is
// made, and goes as a whole.

import { plainKernels } from "./kernels_plain.mjs";
import { KERNELS } from "./kernels_wasm.mjs";

const PAGE = 65536;
const DEPTH = 256; // as in kernels.c
const FIRST = PAGE; // below lies the kernels' stack; address 0 means "no tensor"

// The bytes of kernels.c, if the browser can run them
function kernels() {
  const bytes = Uint8Array.from(atob(KERNELS), (character) => character.charCodeAt(0));
  return typeof WebAssembly !== "undefined" && WebAssembly.validate(bytes) ? bytes : null;
}

export class Arena {
  // plain: the kernels in JavaScript, as where the browser has no WebAssembly SIMD
  static async open({ plain = false } = {}) {
    const bytes = plain ? null : kernels();
    if (!bytes) return new Arena();
    const memory = new WebAssembly.Memory({ initial: 1 });
    const { instance } = await WebAssembly.instantiate(bytes, { env: { memory } });
    return new Arena(memory, instance.exports);
  }

  // The same at once, for mathematics that cannot wait; where a browser compiles only what it may
  // wait for, the kernels are those in JavaScript
  static now() {
    const bytes = kernels();
    if (!bytes) return new Arena();
    const memory = new WebAssembly.Memory({ initial: 1 });
    try {
      const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), {
        env: { memory },
      });
      return new Arena(memory, exports);
    } catch {
      return new Arena();
    }
  }

  constructor(memory = null, kernels = null) {
    this.memory = memory;
    this.buffer = memory ? memory.buffer : new ArrayBuffer(PAGE);
    this.kernels = kernels ?? plainKernels(this.buffer);
    this.next = FIRST;
    this.scratch = 0;
    this.scratchSize = 0;
  }

  get plain() {
    return this.memory === null;
  }

  // The address of a new tensor of zeros
  take(count) {
    const at = this.next;
    this.next += 16 * Math.ceil(count / 4);
    const pages = Math.ceil((this.next - this.buffer.byteLength) / PAGE);
    if (pages > 0) this.grow(pages);
    return at;
  }

  grow(pages) {
    if (this.memory) {
      this.memory.grow(pages);
      this.buffer = this.memory.buffer;
    } else {
      const larger = new ArrayBuffer(this.buffer.byteLength + pages * PAGE);
      new Uint8Array(larger).set(new Uint8Array(this.buffer));
      this.buffer = larger;
      this.kernels = plainKernels(larger);
    }
  }

  // The numbers of a tensor, to read and to write; valid until the next `take`
  view(at, count) {
    return new Float32Array(this.buffer, at, count);
  }

  // Room for the panels of products of N columns
  /** @type {(N: number) => void} */
  reserve(N) {
    const size = DEPTH * (16 + 8 * Math.ceil(N / 8));
    if (size <= this.scratchSize) return;
    this.scratch = this.take(size);
    this.scratchSize = size;
  }

  // c = start + a b, see kernels.c
  matmul(c, cRow, a, aRow, aColumn, b, bRow, bColumn, start, startRow, M, N, K) {
    this.kernels.matmul(
      c,
      cRow,
      a,
      aRow,
      aColumn,
      b,
      bRow,
      bColumn,
      start,
      startRow,
      M,
      N,
      K,
      this.scratch,
    );
  }
}
